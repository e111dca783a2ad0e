"""Settings of pretraining."""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, ConfigDict, Field, SerializeAsAny, create_model, model_validator

from prime.catalogue.losses import LOSSES, LossSettings
from prime.precision import Precision
from prime.settings.strict import Strict

LEARNED_TEMPERATURE = (0.01, 0.5)  # a learned temperature is held within it


def _every_loss(given: Any) -> dict[str, LossSettings]:
    """The settings of every registered loss, in the registry's order; its defaults where none are given."""
    if isinstance(given, dict):
        for name in given:
            LOSSES.find(str(name))
    fields: dict[str, Any] = {name: (loss.settings, loss.settings()) for name, loss in LOSSES.items()}
    return dict(create_model("Losses", __config__=ConfigDict(extra="forbid"), **fields).model_validate(given))


class PretrainConfig(Strict):
    """Pretraining (paper III-E, IV-C2); the text that we had lost its numbers, so all defaults are assumed.

    `losses`: by name; one that is not given keeps its default weight, which is 0 for those that are ours.
    `temperature`: of both InfoNCE losses. `hide_input`: the share of input tokens hidden from the tokenizers.
    `kappa`, `top_k`, `dirichlet_*`, `dropped_assignment`: the mixtures that replace dropped tokens (Eq. 12).
    """

    epochs: int = Field(default=100, ge=1)
    batch_size: int = Field(default=256, ge=2)
    learning_rate: float = Field(default=1e-4, gt=0)
    weight_decay: float = Field(default=1e-2, ge=0)
    warmup: float = Field(default=0.05, ge=0, lt=1)
    gradient_clip: float = Field(default=1.0, gt=0)
    precision: Precision = "auto"
    validation_share: float = Field(default=0.2, gt=0, lt=1)
    patients: Literal["all", "complete"] = "all"
    within_type: float = Field(default=0.0, ge=0, le=1)
    losses: Annotated[dict[str, SerializeAsAny[LossSettings]], BeforeValidator(_every_loss)] = Field(
        default_factory=lambda: _every_loss({})
    )
    temperature: float = Field(default=0.2, gt=0)
    learn_temperature: bool = False
    hide_input: float = Field(default=0.0, ge=0, lt=1)
    drop_modality: float = Field(default=0.3, ge=0, lt=1)
    drop_token: float = Field(default=0.2, ge=0, lt=1)
    kappa: float = Field(default=50.0, gt=0)
    top_k: int = Field(default=8, ge=1)
    dirichlet_noise: bool = True
    dirichlet_missing: bool = True
    dropped_assignment: Literal["own", "consensus"] = "own"

    @property
    def used_losses(self) -> dict[str, Any]:
        """Settings of the losses with a weight above 0, in the registry's order."""
        return {name: settings for name, settings in self.losses.items() if settings.weight > 0}

    @property
    def sufficient_losses(self) -> list[str]:
        """The losses in use that pretraining could learn from alone."""
        return [name for name in self.used_losses if LOSSES[name].sufficient]

    @model_validator(mode="after")
    def _something_to_learn_from(self) -> "PretrainConfig":
        if not self.sufficient_losses:
            names = ", ".join(name for name, loss in LOSSES.items() if loss.sufficient)
            raise ValueError(f"losses: nothing to learn from; give one of {names} a weight above 0")
        return self

    @model_validator(mode="after")
    def _temperature_in_range(self) -> "PretrainConfig":
        low, high = LEARNED_TEMPERATURE
        if self.learn_temperature and not low <= self.temperature <= high:
            raise ValueError(
                f"temperature {self.temperature:g}: a learned temperature starts within {low:g} and {high:g};"
                " choose one there, or set learn_temperature to false"
            )
        return self

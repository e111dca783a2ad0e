"""Settings of pretraining."""

from typing import Literal

from pydantic import Field, model_validator

from prime.settings.strict import Strict

LEARNED_TEMPERATURE = (0.01, 0.5)  # a learned temperature is held within it


class PretrainConfig(Strict):
    """Settings of paper III-E and IV-C2; the paper lost its values, so all of them are assumed."""

    epochs: int = Field(default=100, ge=1)
    batch_size: int = Field(default=256, ge=2)
    learning_rate: float = Field(default=1e-4, gt=0)
    weight_decay: float = Field(default=1e-2, ge=0)
    warmup: float = Field(default=0.05, ge=0, lt=1)
    gradient_clip: float = Field(default=1.0, gt=0)
    precision: Literal["bf16-mixed", "32-true"] = "bf16-mixed"
    validation_share: float = Field(default=0.2, gt=0, lt=1)
    patients: Literal["all", "complete"] = "all"
    within_type: float = Field(default=0.0, ge=0, le=1)
    alignment_weight: float = Field(default=0.5, ge=0)
    consistency_weight: float = Field(default=0.5, ge=0)
    balance_weight: float = Field(default=0.01, ge=0)
    prediction_weight: float = Field(default=0.0, ge=0)
    retention_weight: float = Field(default=0.0, ge=0)
    retention_components: int = Field(default=32, ge=1)
    hide_input: float = Field(default=0.0, ge=0, lt=1)
    temperature: float = Field(default=0.2, gt=0)
    learn_temperature: bool = False
    pair_weighting: Literal["pairs", "patients"] = "pairs"
    negatives: Literal["other_view", "both_views"] = "other_view"
    drop_modality: float = Field(default=0.3, ge=0, lt=1)
    drop_token: float = Field(default=0.2, ge=0, lt=1)
    kappa: float = Field(default=50.0, gt=0)
    top_k: int = Field(default=8, ge=1)
    dirichlet_noise: bool = True
    dirichlet_missing: bool = True
    dropped_assignment: Literal["own", "consensus"] = "own"
    balance_imputed: bool = True

    @model_validator(mode="after")
    def _temperature_in_range(self) -> "PretrainConfig":
        low, high = LEARNED_TEMPERATURE
        if self.learn_temperature and not low <= self.temperature <= high:
            raise ValueError(
                f"temperature {self.temperature:g}: a learned temperature starts within {low:g} and {high:g};"
                " choose one there, or set learn_temperature to false"
            )
        return self

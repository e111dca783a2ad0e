"""The losses that pretraining can learn from: the settings of each, and where its code is.

The settings stand here, and not beside the code, so that an experiment is read without importing torch. A new
loss takes a file in `prime.pretraining.losses` and an entry here; settings, training, log, curves and
ablations follow from the entry.
"""

from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from prime.catalogue.registry import Registry, load


class LossSettings(BaseModel):
    """The settings of a loss; the first line says in an experiment file what the loss is.

    `weight`: its factor in the sum. A loss of weight 0 is neither built nor computed.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    weight: float = Field(default=0.0, ge=0)


class AlignmentSettings(LossSettings):
    """InfoNCE between the modalities of a patient, before fusion (paper III-E1, Eq. 11).

    `pair_weighting`: pairs of modalities count alike, or by the number of patients who have both.
    """

    weight: float = Field(default=0.5, ge=0)
    pair_weighting: Literal["pairs", "patients"] = "pairs"


class ConsistencySettings(LossSettings):
    """InfoNCE between two augmented views of a patient, after fusion (paper III-E3, Eq. 15).

    `negatives`: the other patients of the other view, or of both views.
    """

    weight: float = Field(default=0.5, ge=0)
    negatives: Literal["other_view", "both_views"] = "other_view"


class BalanceSettings(LossSettings):
    """Even use of the experts (paper III-D).

    `imputed`: tokens that stand for dropped and missing ones count too.
    """

    weight: float = Field(default=0.01, ge=0)
    imputed: bool = True


class PredictionSettings(LossSettings):
    """Hidden tokens predicted from the fused ones; ours."""


class RetentionSettings(LossSettings):
    """Tokens decode to the principal components of their sources within cancer types; ours.

    `components`: of each source. `of`: each modality's own tokens, the fused tokens of a view, where it is
    asked of modalities that the view hides as well, or both.
    """

    components: int = Field(default=32, ge=1)
    of: tuple[Literal["tokens", "fused"], ...] = Field(default=("tokens",), min_length=1)


@dataclass(frozen=True)
class Loss:
    """What pretraining, its log and its ablations need to know of a loss.

    Attributes:
        name: in settings, logs and tables.
        place: its class, a `prime.pretraining.losses.interface.PretrainingLoss`, as `module:class`.
        settings: its weight and options.
        sufficient: pretraining can learn from it alone; a loss that only regularises the others is not.
    """

    name: str
    place: str
    settings: type[LossSettings] = LossSettings
    sufficient: bool = True

    @property
    def build(self) -> Any:
        """The class that computes it; imports it."""
        return load(self.place)


LOSSES: Registry[Loss] = Registry(
    "loss",
    Loss("alignment", "prime.pretraining.losses.alignment:Alignment", AlignmentSettings),
    Loss("consistency", "prime.pretraining.losses.consistency:Consistency", ConsistencySettings),
    Loss("balance", "prime.pretraining.losses.balance:Balance", BalanceSettings, sufficient=False),
    Loss("prediction", "prime.pretraining.losses.prediction:Prediction", PredictionSettings),
    Loss("retention", "prime.pretraining.losses.retention:Retention", RetentionSettings),
)

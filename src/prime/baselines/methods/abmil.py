"""Attention-based multiple instance learning (Ilse et al. 2018), as pathology models use it.

In one picture:

    rows of all image sources -> Linear, ReLU -> instances h_i
    a_i = softmax_i( w . tanh(V h_i) * sigmoid(U h_i) )
    sum_i a_i h_i -> head
"""

from pydantic import Field
from torch import Tensor

from prime.baselines.attention_pooling import GatedAttentionPooling
from prime.baselines.instances import Instances
from prime.baselines.registry import FusionNetwork, MethodFacts, neural
from prime.cohort.batch import Batch
from prime.cohort.config import Strict
from prime.model.config import InputSpec, ModelConfig
from prime.model.heads import HazardHead, Prediction


class AbmilSettings(Strict):
    """`hidden`: width of the two attention branches (128 in the original)."""

    hidden: int = Field(default=128, ge=1)


@neural(
    MethodFacts(
        name="abmil",
        title="ABMIL",
        reference="Ilse, Tomczak and Welling, Attention-based Deep Multiple Instance Learning, ICML 2018",
        roles=("image",),
        missing="not applicable: it reads images alone; an absent source adds no instances to the bag",
        departs="the gated variant with the dropout of pathology models; a vector source gives one instance a"
        " feature group, and the loss is that of survival in time bins",
        settings=AbmilSettings(),
    )
)
class Abmil(FusionNetwork):
    """All instances of all sources in one bag, gated attention pooling, head."""

    def __init__(
        self, inputs: InputSpec, config: ModelConfig, settings: AbmilSettings, baseline: Tensor
    ) -> None:
        super().__init__(inputs, config, settings, baseline)
        (modality,) = inputs.modalities
        self.instances = Instances(inputs, modality, config)
        self.pooling = GatedAttentionPooling(config.dim, settings.hidden, config.dropout)
        self.head = HazardHead(config.dim, baseline)

    def forward(self, batch: Batch) -> Prediction:
        """Hazard logits of a batch."""
        bag, mask = self.instances(batch)  # (B, S, D), (B, S)
        return Prediction(self.head(self.pooling(bag, mask)))

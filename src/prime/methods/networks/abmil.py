"""Attention-based multiple instance learning (Ilse et al. 2018), as pathology models use it.

In one picture:

    rows of all image sources -> Linear, ReLU -> instances h_i
    a_i = softmax_i( w . tanh(V h_i) * sigmoid(U h_i) )
    sum_i a_i h_i -> head
"""

from pydantic import Field
from torch import Tensor

from prime.methods.interface import FusionNetwork
from prime.methods.layers.attention_pooling import GatedAttentionPooling
from prime.methods.layers.instances import Instances
from prime.model.heads import HazardHead, Prediction
from prime.settings.model import ModelConfig
from prime.settings.strict import Strict
from prime.store.batch import Batch
from prime.store.inputs import InputSpec


class AbmilSettings(Strict):
    """`hidden`: width of the two attention branches (128 in the original)."""

    hidden: int = Field(default=128, ge=1)


class Abmil(FusionNetwork):
    """All instances of all sources in one bag, gated attention pooling, head."""

    Settings = AbmilSettings

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

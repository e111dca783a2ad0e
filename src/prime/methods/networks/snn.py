"""Self-normalising network (Klambauer et al. 2017) on the vectors of one modality.

In one picture:

    vectors of all RNA sources, joined -> 4 x (Linear -> ELU -> AlphaDropout) -> head
"""

from itertools import pairwise
from typing import Annotated

from pydantic import Field
from torch import Tensor, nn

from prime.methods.interface import FusionNetwork
from prime.methods.layers.snn_blocks import Activation, SelfNormalisingBlock
from prime.methods.layers.source_vectors import SourceVectors
from prime.model.heads import HazardHead, Prediction
from prime.settings.model import ModelConfig
from prime.settings.strict import Strict
from prime.store.batch import Batch
from prime.store.inputs import InputSpec


class SnnSettings(Strict):
    """`widths` of the hidden layers, and their activation: ELU as in pathology models, or SELU."""

    activation: Activation = "elu"
    widths: tuple[Annotated[int, Field(ge=1)], ...] = Field(default=(256, 256, 256, 256), min_length=1)


class Snn(FusionNetwork):
    """The vectors of all sources as one, self-normalising blocks, head."""

    Settings = SnnSettings

    def __init__(
        self, inputs: InputSpec, config: ModelConfig, settings: SnnSettings, baseline: Tensor
    ) -> None:
        super().__init__(inputs, config, settings, baseline)
        self.vectors = SourceVectors(inputs)
        widths = (self.vectors.width, *settings.widths)
        self.blocks = nn.Sequential(
            *(SelfNormalisingBlock(a, b, settings.activation, config.dropout) for a, b in pairwise(widths))
        )
        self.head = HazardHead(widths[-1], baseline)

    def forward(self, batch: Batch) -> Prediction:
        """Hazard logits of a batch."""
        return Prediction(self.head(self.blocks(self.vectors(batch))))

"""Self-normalising network (Klambauer et al. 2017) on the vectors of one modality.

In one picture:

    vectors of all RNA sources, joined -> 4 x (Linear -> ELU -> AlphaDropout) -> head
"""

from itertools import pairwise
from typing import Annotated

from pydantic import Field
from torch import Tensor, nn

from prime.baselines.registry import FusionNetwork, MethodFacts, neural
from prime.baselines.snn_blocks import Activation, SelfNormalisingBlock
from prime.baselines.source_vectors import SourceVectors
from prime.cohort.batch import Batch
from prime.cohort.config import Strict
from prime.model.config import InputSpec, ModelConfig
from prime.model.heads import HazardHead, Prediction


class SnnSettings(Strict):
    """`widths` of the hidden layers, and their activation: ELU as in pathology models, or SELU."""

    activation: Activation = "elu"
    widths: tuple[Annotated[int, Field(ge=1)], ...] = Field(default=(256, 256, 256, 256), min_length=1)


@neural(
    MethodFacts(
        name="snn",
        title="SNN",
        reference="Klambauer, Unterthiner, Mayr and Hochreiter, Self-Normalizing Neural Networks,"
        " NeurIPS 2017",
        roles=("rna",),
        missing="not applicable: it reads RNA alone; zeros stand for an absent source",
        departs="ELU instead of SELU by default, as in the SNN of pathology models, but without their L1"
        " penalty; the rows of a sequence source are averaged",
        settings=SnnSettings(),
    )
)
class Snn(FusionNetwork):
    """The vectors of all sources as one, self-normalising blocks, head."""

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

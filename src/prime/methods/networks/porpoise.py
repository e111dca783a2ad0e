"""Porpoise (Chen et al. 2022): attention pooling of images, a network of genes, gated bilinear fusion.

In one picture:

    image -> instances -> attention pooling -> h_1 --+
                                                    +--> gates -> [1; o_1] x [1; o_2] -> MLP -> head
    rna   -> SNN -------------------------> h_2 ----+    (h_1 and h_2 skip to the MLP as well)
"""

from itertools import chain

import torch
from pydantic import Field
from torch import Tensor, nn

from prime.methods.interface import FusionNetwork
from prime.methods.layers.attention_pooling import GatedAttentionPooling
from prime.methods.layers.instances import Instances
from prime.methods.layers.snn_blocks import SelfNormalisingBlock
from prime.methods.layers.source_vectors import SourceVectors
from prime.model.heads import HazardHead, Prediction
from prime.settings.model import ModelConfig
from prime.settings.strict import Strict
from prime.store.batch import Batch
from prime.store.inputs import InputSpec


class PorpoiseSettings(Strict):
    """`l1`: weight of the sum of absolute parameters of the RNA branch and the fusion; 0 turns it off."""

    l1: float = Field(default=1e-5, ge=0)


def product_with_ones(a: Tensor, b: Tensor) -> Tensor:
    """The outer product of [a, 1] and [b, 1], flat: a (B, p), b (B, q) to (B, (p + 1) * (q + 1)).

    It holds all products, and a and b themselves (tensor fusion, Zadeh et al., EMNLP 2017).
    """
    one = a.new_ones((len(a), 1))
    left, right = torch.cat([a, one], dim=1), torch.cat([b, one], dim=1)
    return (left[:, :, None] * right[:, None, :]).flatten(1)


class GatedReduction(nn.Module):
    """ReLU(W h) of h = sigmoid(gate(both)) * ReLU(reduce(one)): one side made small, gated by both."""

    def __init__(self, dim: int, reduced: int, dropout: float) -> None:
        super().__init__()
        self.reduce, self.gate = nn.Linear(dim, reduced), nn.Linear(2 * dim, reduced)
        self.mix = nn.Linear(reduced, reduced)
        self.dropout = nn.Dropout(dropout)

    def forward(self, one: Tensor, both: Tensor) -> Tensor:
        """one (B, D), both (B, 2 D). Returns (B, R)."""
        hidden = torch.sigmoid(self.gate(both)) * self.reduce(one).relu()
        return self.dropout(self.mix(hidden).relu())


class GatedBilinearFusion(nn.Module):
    """The outer product of two gated reductions (R = D / 8, four or more), a layer, the skip connection."""

    def __init__(self, dim: int, dropout: float) -> None:
        super().__init__()
        reduced = max(4, dim // 8)
        self.sides = nn.ModuleList(GatedReduction(dim, reduced, dropout) for _ in range(2))
        self.joint = nn.Sequential(
            nn.Dropout(dropout), nn.Linear((reduced + 1) ** 2, dim), nn.ReLU(), nn.Dropout(dropout)
        )
        self.output = nn.Sequential(nn.Linear(3 * dim, dim), nn.ReLU(), nn.Dropout(dropout))

    def forward(self, vectors: Tensor, there: Tensor) -> Tensor:
        """vectors (B, 2, D), zero where the side is not `there` (B, 2) bool. Returns (B, D).

        The reduction of a side that is not there is zero, so that the product leaves the other side's own
        terms alone.
        """
        both = vectors.flatten(1)  # (B, 2 D)
        a, b = (
            torch.where(there[:, i, None], side(vectors[:, i], both).float(), 0.0)
            for i, side in enumerate(self.sides)
        )  # (B, R) each
        joint = self.joint(product_with_ones(a, b))  # (B, D)
        return self.output(torch.cat([joint, both], dim=1))


class Porpoise(FusionNetwork):
    """Attention pooling of the image, self-normalising blocks of RNA, gated bilinear fusion, head."""

    Settings = PorpoiseSettings

    def __init__(
        self, inputs: InputSpec, config: ModelConfig, settings: PorpoiseSettings, baseline: Tensor
    ) -> None:
        super().__init__(inputs, config, settings, baseline)
        image, rna = inputs.modalities
        dim, dropout = config.dim, config.dropout
        self.l1 = settings.l1
        self.instances = Instances(inputs, image, config)
        self.pooling = GatedAttentionPooling(dim, max(1, dim // 2), dropout)
        self.image_layer = nn.Sequential(nn.Linear(dim, dim), nn.ReLU(), nn.Dropout(dropout))
        self.vectors = SourceVectors(
            InputSpec(modalities={rna: inputs.modalities[rna]}, sources=inputs.sources)
        )
        self.rna_layers = nn.Sequential(
            SelfNormalisingBlock(self.vectors.width, dim, "elu", dropout),
            SelfNormalisingBlock(dim, dim, "elu", dropout),
        )
        self.fusion = GatedBilinearFusion(dim, dropout)
        self.head = HazardHead(dim, baseline)

    def forward(self, batch: Batch) -> Prediction:
        """Hazard logits of a batch, and the penalty."""
        there = batch.observed  # (B, 2)
        image = self.image_layer(self.pooling(*self.instances(batch)))
        rna = self.rna_layers(self.vectors(batch))
        vectors = torch.stack([image.float(), rna.float()], dim=1)  # (B, 2, D)
        vectors = torch.where(there[..., None], vectors, 0.0)
        return Prediction(self.head(self.fusion(vectors, there)), self._penalty())

    def _penalty(self) -> dict[str, Tensor]:
        if self.l1 == 0:
            return {}
        penalised = chain(self.rna_layers.parameters(), self.fusion.parameters())
        return {"l1": self.l1 * torch.stack([p.abs().sum() for p in penalised]).sum()}

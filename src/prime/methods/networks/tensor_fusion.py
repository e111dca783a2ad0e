"""Tensor fusion: the outer product of one vector a modality, each with a leading 1.

In one picture:

    image  -> tokenizer -> mean -> Linear -> [1; u] --+
    rna    -> tokenizer -> mean -> Linear -> [1; v] --+--> u x v x w -> 2 x (Linear, ReLU) -> head
    report -> tokenizer -> mean -> Linear -> [1; w] --+
"""

from typing import Any

import torch
from pydantic import Field
from torch import Tensor, nn

from prime.errors import InputError
from prime.methods.interface import FusionNetwork
from prime.methods.layers.tokens import Tokenizers
from prime.model.attention import module_key
from prime.model.heads import HazardHead, Prediction
from prime.settings.model import ModelConfig
from prime.settings.strict import Strict
from prime.store.batch import Batch
from prime.store.inputs import InputSpec

MOST_PRODUCTS = 300_000


class TensorFusionSettings(Strict):
    """`width` d: numbers of each modality that enter the product, which has (d + 1)^M entries."""

    width: int = Field(default=16, ge=1)


def outer_product(vectors: Tensor) -> Tensor:
    """All products of one entry a modality, each vector with a leading 1 (Zadeh et al. 2017).

    vectors (B, M, d). Returns (B, (d + 1)^M), the first modality's index slowest; entry 0 is 1. A modality
    whose vector is zero leaves the products of the others.
    """
    padded = nn.functional.pad(vectors, (1, 0), value=1.0)  # (B, M, d + 1)
    product = padded[:, 0]
    for m in range(1, padded.shape[1]):
        product = (product[:, :, None] * padded[:, m, None, :]).flatten(1)  # (B, (d + 1)^(m + 1))
    return product


class TensorFusion(FusionNetwork):
    """Mean of each modality's tokens, Linear to d, outer product, two layers, head."""

    Settings = TensorFusionSettings

    def __init__(self, inputs: InputSpec, config: ModelConfig, settings: Any, baseline: Tensor) -> None:
        super().__init__(inputs, config, settings, baseline)
        count, size = len(inputs.modalities), (settings.width + 1) ** len(inputs.modalities)
        if size > MOST_PRODUCTS:
            raise InputError(
                f"tensor_fusion: width {settings.width} with {count} modalities makes {size:,} products, more"
                f" than {MOST_PRODUCTS:,}; set comparison.settings.tensor_fusion.width lower"
            )
        self.tokenizers = Tokenizers(inputs, config)
        self.reduce = nn.ModuleDict(
            {module_key(name): nn.Linear(config.dim, settings.width) for name in inputs.modalities}
        )
        self.layers = nn.Sequential(
            nn.Dropout(config.dropout),
            nn.Linear(size, config.dim),
            nn.ReLU(),
            nn.Linear(config.dim, config.dim),
            nn.ReLU(),
        )
        self.head = HazardHead(config.dim, baseline)

    def vectors(self, tokens: Tensor, observed: Tensor) -> Tensor:
        """tokens (B, M, K, D), observed (B, M) bool. Returns (B, M, d), zeros where missing."""
        pooled = tokens.mean(dim=2)  # (B, M, D)
        reduced = [layer(pooled[:, m]) for m, layer in enumerate(self.reduce.values())]
        return torch.where(observed[..., None], torch.stack(reduced, dim=1), 0.0)

    def forward(self, batch: Batch) -> Prediction:
        """Hazard logits of a batch."""
        vectors = self.vectors(self.tokenizers(batch), batch.observed).float()
        return Prediction(self.head(self.layers(outer_product(vectors))))

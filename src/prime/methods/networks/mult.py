"""MulT: every modality is enriched by every other one through directed cross-attention.

In one picture:

    for each modality m:  m attends to j, for every other j -> M - 1 results side by side ((M - 1) * D)
                          -> 3 blocks -> Linear -> mean --+
    all modalities' means -------------------------------+--> joined -> head
"""

from typing import Any

import torch
from torch import Tensor, nn

from prime.errors import InputError
from prime.methods.interface import FusionNetwork
from prime.methods.layers.tokens import CrossBlock, Tokenizers, VanillaBlock, masked_mean, token_mask
from prime.model.heads import HazardHead, Prediction
from prime.settings.model import ModelConfig
from prime.store.batch import Batch
from prime.store.inputs import InputSpec


class Stream(nn.Module):
    """One target: a cross block for each other modality, then vanilla blocks at their joint width."""

    def __init__(self, others: int, config: ModelConfig) -> None:
        super().__init__()
        width = others * config.dim
        self.cross = nn.ModuleList(CrossBlock(config.dim, config) for _ in range(others))
        self.blocks = nn.ModuleList(VanillaBlock(width, config) for _ in range(config.blocks))
        self.out = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, width))

    def forward(self, target: Tensor, others: Tensor, there: Tensor) -> Tensor:
        """target (B, K, D), others (B, M-1, K, D), there (B, M-1) bool. Returns (B, K, (M-1) D).

        A target's tokens are either all there or all without meaning, so none is masked from another.
        """
        results = [
            block(target, others[:, m], token_mask(there[:, [m]], others.shape[2]))
            for m, block in enumerate(self.cross)
        ]
        x = torch.cat(results, dim=-1)  # (B, K, (M-1) D)
        everything = there.new_ones(x.shape[:2])
        for block in self.blocks:
            x = block(x, everything)
        return self.out(x)


class MulT(FusionNetwork):
    """M streams of M - 1 cross blocks each; their means side by side go to the head."""

    def __init__(self, inputs: InputSpec, config: ModelConfig, settings: Any, baseline: Tensor) -> None:
        super().__init__(inputs, config, settings, baseline)
        count = len(inputs.modalities)
        if count < 2:
            raise InputError("mult attends from one modality to another; it needs two or more modalities")
        self.others = [[s for s in range(count) if s != target] for target in range(count)]
        self.tokenizers = Tokenizers(inputs, config)
        self.streams = nn.ModuleList(Stream(count - 1, config) for _ in range(count))
        self.head = HazardHead(count * (count - 1) * config.dim, baseline)

    def fuse(self, tokens: Tensor, observed: Tensor) -> Tensor:
        """tokens (B, M, K, D), observed (B, M) bool. Returns (B, M (M-1) D); zeros for missing targets."""
        means: list[Tensor] = []
        for target, stream in enumerate(self.streams):
            others = self.others[target]
            x = stream(tokens[:, target], tokens[:, others], observed[:, others])
            means.append(masked_mean(x, token_mask(observed[:, [target]], x.shape[1])))
        return torch.cat(means, dim=-1)

    def forward(self, batch: Batch) -> Prediction:
        """Hazard logits of a batch."""
        return Prediction(self.head(self.fuse(self.tokenizers(batch), batch.observed)))

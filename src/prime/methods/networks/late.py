"""Late fusion: every modality through blocks of its own; features or logits are joined at the end.

In one picture:

    image  -> tokenizer -> 3 blocks -> mean --+
    rna    -> tokenizer -> 3 blocks -> mean --+--> joined (M * D) -> head
    report -> tokenizer -> 3 blocks -> mean --+

    decision: a head on each mean, and the hazard logits of what is there are averaged
"""

from typing import Any

import torch
from torch import Tensor, nn

from prime.methods.interface import FusionNetwork
from prime.methods.layers.tokens import Tokenizers, VanillaBlock, masked_mean
from prime.model.heads import HazardHead, Prediction
from prime.settings.model import ModelConfig
from prime.store.batch import Batch
from prime.store.inputs import InputSpec

REFERENCE = "Late fusion; Transformer blocks of Vaswani et al., Attention is all you need, NeurIPS 2017"


class Stream(nn.Module):
    """Vanilla blocks over the K tokens of one modality, and their mean."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(VanillaBlock(config.dim, config) for _ in range(config.blocks))
        self.norm = nn.LayerNorm(config.dim)

    def forward(self, tokens: Tensor) -> Tensor:
        """Tokens (B, K, D), all of which count, to features (B, D)."""
        mask = torch.ones(tokens.shape[:2], dtype=torch.bool, device=tokens.device)
        for block in self.blocks:
            tokens = block(tokens, mask)
        return self.norm(tokens).mean(dim=1)


class Streams(nn.Module):
    """Tokenizers and one stream a modality: they share nothing."""

    def __init__(self, inputs: InputSpec, config: ModelConfig) -> None:
        super().__init__()
        self.tokenizers = Tokenizers(inputs, config)
        self.each = nn.ModuleList(Stream(config) for _ in inputs.modalities)

    def forward(self, batch: Batch) -> Tensor:
        """Features (B, M, D) of a batch; zeros where a patient lacks the modality."""
        tokens = self.tokenizers(batch)  # (B, M, K, D)
        features = torch.stack([stream(tokens[:, m]) for m, stream in enumerate(self.each)], dim=1)
        return torch.where(batch.observed[..., None], features.float(), 0.0)


class Late(FusionNetwork):
    """Blocks and mean for each modality, concatenation of the M means, head."""

    def __init__(self, inputs: InputSpec, config: ModelConfig, settings: Any, baseline: Tensor) -> None:
        super().__init__(inputs, config, settings, baseline)
        self.streams = Streams(inputs, config)
        self.head = HazardHead(len(inputs.modalities) * config.dim, baseline)

    def forward(self, batch: Batch) -> Prediction:
        """Hazard logits of a batch."""
        return Prediction(self.head(self.streams(batch)))


class LateDecision(FusionNetwork):
    """Blocks, mean and head for each modality; the mean of the logits of those that are there."""

    def __init__(self, inputs: InputSpec, config: ModelConfig, settings: Any, baseline: Tensor) -> None:
        super().__init__(inputs, config, settings, baseline)
        self.streams = Streams(inputs, config)
        self.heads = nn.ModuleList(HazardHead(config.dim, baseline) for _ in inputs.modalities)

    def forward(self, batch: Batch) -> Prediction:
        """Hazard logits of a batch."""
        features = self.streams(batch)  # (B, M, D)
        logits = torch.stack([head(features[:, m]) for m, head in enumerate(self.heads)], dim=1)  # (B, M, T)
        return Prediction(masked_mean(logits, batch.observed))

"""The fusion backbone: vanilla and mixture-of-experts Transformer blocks in turn (paper III-D, Eq. 8)."""

import torch
from torch import Tensor, nn

from prime.model.attention import FeedForward, MultiHeadAttention
from prime.model.moe import MixtureOfExperts, Routing
from prime.settings.model import ModelConfig


class FusionBlock(nn.Module):
    """Pre-norm self-attention, then a feed-forward network or a mixture of experts."""

    def __init__(self, modalities: int, config: ModelConfig, sparse: bool) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(config.dim)
        self.attention = MultiHeadAttention(config.dim, config.heads, config.attention)
        self.norm = nn.LayerNorm(config.dim)
        self.dropout = nn.Dropout(config.dropout)
        self.dense = None if sparse else FeedForward(config.dim, config.mlp_ratio, config.dropout)
        self.experts = MixtureOfExperts(modalities, config) if sparse else None

    def forward(self, x: Tensor, modality: Tensor) -> tuple[Tensor, Routing | None]:
        """x (B, S, D), modality (S,) int64. Returns (B, S, D) and the routing of a sparse block."""
        h = self.attention_norm(x)
        x = x + self.dropout(self.attention(h, h))
        h = self.norm(x)
        if self.experts is None:
            assert self.dense is not None
            return x + self.dropout(self.dense(h)), None
        mixed, routing = self.experts(h.flatten(0, 1), modality.repeat(len(x)))
        return x + self.dropout(mixed.view_as(x)), routing


class Backbone(nn.Module):
    """Blocks 1, 3, ... are vanilla; blocks 2, 4, ... are sparse (the paper: "alternates").

    Without the mixture all are vanilla, of the width of one expert.
    """

    modality: Tensor

    def __init__(self, modalities: int, config: ModelConfig) -> None:
        super().__init__()
        sequence = modalities * config.queries
        self.register_buffer(
            "modality", torch.arange(modalities).repeat_interleave(config.queries), persistent=False
        )
        self.modality_embedding = (
            nn.Parameter(torch.randn(modalities, config.dim) * 0.02) if config.modality_embedding else None
        )
        self.position_embedding = (
            nn.Parameter(torch.randn(sequence, config.dim) * 0.02) if config.position_embedding else None
        )
        sparse = [config.mixture and i % 2 == 1 for i in range(config.blocks)]
        self.blocks = nn.ModuleList(FusionBlock(modalities, config, each) for each in sparse)
        self.norm = nn.LayerNorm(config.dim)

    def forward(self, tokens: Tensor) -> tuple[Tensor, list[Routing]]:
        """tokens (B, M, K, D), joined in modality order (Eq. 8). Returns the same shape, and routings."""
        x = tokens.flatten(1, 2)  # (B, M*K, D)
        if self.modality_embedding is not None:
            x = x + self.modality_embedding[self.modality]
        if self.position_embedding is not None:
            x = x + self.position_embedding
        routings: list[Routing] = []
        for block in self.blocks:
            x, routing = block(x, self.modality)
            if routing is not None:
                routings.append(routing)
        return self.norm(x).view(tokens.shape), routings

"""Modality-specific refinement of observed and imputed tokens (paper III-C3, Eq. 7)."""

from torch import Tensor, nn

from prime.model.attention import FeedForward
from prime.settings.model import ModelConfig


class Refiner(nn.Module):
    """Pre-norm residual MLP of one modality (the paper does not give its form: assumed)."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(config.dim)
        self.feed_forward = FeedForward(config.dim, config.mlp_ratio, config.dropout)

    def forward(self, tokens: Tensor) -> Tensor:
        """(B, K, D) to (B, K, D)."""
        return tokens + self.feed_forward(self.norm(tokens))

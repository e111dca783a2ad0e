"""Projection heads (Eq. 10 and 14) and the prediction head."""

from torch import Tensor, nn

from prime.model.attention import normalise


class ProjectionHead(nn.Module):
    """Linear, LayerNorm, GELU, Linear, and length 1 (LayerNorm, not BatchNorm: no patient sees another)."""

    def __init__(self, dim: int, out: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(dim, dim), nn.LayerNorm(dim), nn.GELU(), nn.Linear(dim, out))

    def forward(self, x: Tensor) -> Tensor:
        """(..., D) to (..., out), float32, on the unit sphere."""
        return normalise(self.layers(x))

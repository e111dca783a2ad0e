"""Projection heads (Eq. 10 and 14) and the prediction head."""

from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from prime.model.attention import normalise


class ProjectionHead(nn.Module):
    """Linear, LayerNorm, GELU, Linear, scaled to unit length.

    LayerNorm and not BatchNorm, so that a patient's output does not depend on the rest of the batch.
    """

    def __init__(self, dim: int, out: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(dim, dim), nn.LayerNorm(dim), nn.GELU(), nn.Linear(dim, out))

    def forward(self, x: Tensor) -> Tensor:
        """(..., D) to (..., out), float32, on the unit sphere."""
        return normalise(self.layers(x))


@dataclass(frozen=True)
class Prediction:
    """What a supervised network gives.

    Attributes:
        logits: (B, T) hazard logits, float32.
        losses: further terms of the training loss by name, scalars; they are not stored on the module.
    """

    logits: Tensor
    losses: dict[str, Tensor] = field(default_factory=dict[str, Tensor])


class HazardHead(nn.Sequential):
    """LayerNorm and Linear to T hazard logits; it starts at the same hazards `baseline` (T,) for everyone.

    The head of PRIME's fine-tuning and of every method that PRIME is compared with.
    """

    def __init__(self, width: int, baseline: Tensor) -> None:
        linear = nn.Linear(width, len(baseline))
        nn.init.zeros_(linear.weight)
        with torch.no_grad():
            linear.bias.copy_(baseline)
        super().__init__(nn.Flatten(), nn.LayerNorm(width), linear)

    def forward(self, features: Tensor) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        """features (B, ...) with `width` numbers a patient. Returns (B, T), float32."""
        flat, norm, linear = self
        return linear(norm(flat(features.float()))).float()

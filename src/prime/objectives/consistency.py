"""Symmetric InfoNCE between two augmented views of the fused patient (paper III-E3, Eq. 15)."""

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from prime.objectives.alignment import info_nce


def consistency_loss(
    a: Tensor, b: Tensor, temperature: Tensor | float, negatives: Literal["other_view", "both_views"]
) -> Tensor:
    """Two views of the same B patients attract, different patients repel (Eq. 15).

    a and b (B, P) float32 on the unit sphere. "other_view": B - 1 negatives, from the other view only.
    "both_views": 2B - 2 negatives, as SimCLR counts them (the paper does not say: assumed). Returns a
    scalar; an exact zero attached to the graph where B < 2.
    """
    if len(a) < 2:
        return (a.sum() + b.sum()) * 0.0
    if negatives == "other_view":
        return info_nce(a, b, temperature)
    z = torch.cat([a, b])  # (2B, P)
    logits = (z @ z.T / temperature).fill_diagonal_(float("-inf"))
    target = torch.arange(len(z), device=z.device).roll(len(a))
    return F.cross_entropy(logits, target)

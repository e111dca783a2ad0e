"""Retention of a source's principal components in the tokens of its modality; ours, not the paper's."""

import torch
from torch import Tensor


def retention_loss(predicted: Tensor, target: Tensor, present: Tensor, components: Tensor) -> Tensor:
    """Mean squared error of decoded principal components, a mean over sources.

    predicted and target (B, S, C), padded beyond each source's own components; present (B, S) bool: the
    patient has the source; components (S,) int64: how many of the C count. The target has unit variance, so
    1 is what a constant guess gives. Sources without a patient in the batch are left out; an exact zero
    attached to the graph where there is none.
    """
    counted = torch.arange(target.shape[2], device=target.device) < components[:, None]  # (S, C)
    valid = present[..., None] & counted
    error = torch.where(valid, predicted - target, 0.0).square().sum(dim=(0, 2))  # (S,)
    number = valid.sum(dim=(0, 2))
    used = number > 0
    if not bool(used.any()):
        return error.sum()
    return (error[used] / number[used]).mean()

"""Prediction of hidden tokens; ours, not the paper's."""

import torch
import torch.nn.functional as F
from torch import Tensor


def prediction_loss(predicted: Tensor, target: Tensor, hidden: Tensor) -> Tensor:
    """Smooth L1 between predicted and real tokens, over tokens that exist but were hidden from the view.

    predicted and target (B, M, K, D); hidden (B, M, K) bool. The target is detached and standardised over D,
    so that the network cannot lower the loss by making its tokens constant or small. Returns a scalar; an
    exact zero attached to the graph where nothing is hidden.
    """
    if not bool(hidden.any()):
        return torch.where(hidden[..., None], predicted, 0.0).sum()
    goal = F.layer_norm(target[hidden].detach(), target.shape[-1:])
    return F.smooth_l1_loss(predicted[hidden], goal)

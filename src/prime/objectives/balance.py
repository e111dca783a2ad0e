"""Load balancing of the experts (paper III-D; the form of Switch Transformer, Fedus et al. 2022, Eq. 4-6)."""

import torch.nn.functional as F
from torch import Tensor


def balance_loss(probabilities: Tensor, experts: Tensor, valid: Tensor | None = None) -> Tensor:
    """E * sum_e f_e P_e, which is 1 under even routing and grows to E under collapse.

    probabilities (S, E): the router's full softmax, before the top-k, so that its gradient does not vanish.
    experts (S, k) int64: the chosen. valid (S,) bool: tokens that count; all where None. f_e is the share of
    routed slots that went to expert e, P_e the mean probability. Returns a scalar.
    """
    if valid is not None:
        probabilities, experts = probabilities[valid], experts[valid]
    if len(probabilities) == 0:
        return probabilities.sum() * 0.0
    count = probabilities.shape[1]
    share = F.one_hot(experts.flatten(), count).to(probabilities.dtype).mean(dim=0)
    return count * (share * probabilities.mean(dim=0)).sum()

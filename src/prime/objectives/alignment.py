"""Masked pairwise InfoNCE between modalities, before fusion (paper III-E1, Eq. 11)."""

from itertools import combinations
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor


def info_nce(a: Tensor, b: Tensor, temperature: Tensor | float) -> Tensor:
    """Symmetric InfoNCE of n matched pairs: row i of `a` belongs to row i of `b`, all others are negatives.

    a and b (n, P) float32 on the unit sphere. Each direction has n - 1 negatives. Returns a scalar: the mean
    of both directions' cross-entropies.
    """
    logits = a @ b.T / temperature
    target = torch.arange(len(a), device=a.device)
    return 0.5 * (F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target))


def alignment_loss(
    embeddings: Tensor,
    observed: Tensor,
    temperature: Tensor | float,
    weighting: Literal["pairs", "patients"] = "pairs",
) -> Tensor:
    """InfoNCE over all pairs of modalities, each on the patients who naturally have both (Eq. 11).

    embeddings (B, M, P) float32 on the unit sphere; observed (B, M) bool. Embeddings of missing
    modalities are never read.
    `weighting`: every valid pair counts alike ("pairs"), or by its number of patients ("patients"; assumed,
    the paper does not say). A pair with fewer than two patients is left out; without any valid pair the
    result is an exact zero that is still attached to the graph.
    """
    total, weight_sum = embeddings.new_zeros(()), 0.0
    for a, b in combinations(range(embeddings.shape[1]), 2):
        both = observed[:, a] & observed[:, b]
        count = int(both.sum())
        if count < 2:
            continue
        weight = float(count) if weighting == "patients" else 1.0
        total = total + weight * info_nce(embeddings[both, a], embeddings[both, b], temperature)
        weight_sum += weight
    if weight_sum == 0.0:
        return torch.where(observed[..., None], embeddings, 0.0).sum() * 0.0
    return total / weight_sum

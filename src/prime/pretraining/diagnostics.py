"""How a run is doing beside its losses: retrieval, spread, use of experts and prototypes; pure functions."""

from itertools import combinations
from typing import Any

import torch
from torch import Tensor

from prime.model.attention import normalise


def retrieval(
    embeddings: Tensor, observed: Tensor, groups: Tensor | None, names: list[str]
) -> dict[str, float]:
    """Top-1 retrieval between each pair of modalities, both directions averaged, and its chance level.

    embeddings (B, M, P) on the unit sphere, observed (B, M). With `groups` (B,) int64 a patient competes
    only with patients of its own group (cancer type), which is the harder question. Returns "a-b" and
    "a-b/chance".
    """
    result: dict[str, float] = {}
    for a, b in combinations(range(len(names)), 2):
        both = observed[:, a] & observed[:, b]
        if int(both.sum()) < 2:
            continue
        scores = embeddings[both, a] @ embeddings[both, b].T
        allowed = torch.ones_like(scores, dtype=torch.bool)
        if groups is not None:
            allowed = groups[both][:, None] == groups[both][None, :]
        scores = scores.masked_fill(~allowed, -torch.inf)
        truth = torch.arange(len(scores), device=scores.device)
        hits = [(s.argmax(dim=1) == truth).float().mean() for s in (scores, scores.T)]
        key = f"{names[a]}-{names[b]}"
        result[key] = float(torch.stack(hits).mean())
        result[f"{key}/chance"] = float((1.0 / allowed.sum(dim=1)).mean())
    return result


def neighbour_accuracy(embeddings: Tensor, labels: Tensor, k: int = 5) -> float:
    """Leave-one-out accuracy of a k-nearest-neighbour vote, by cosine.

    embeddings (B, D), labels (B,) int64.
    """
    z = normalise(embeddings)
    near = (z @ z.T).fill_diagonal_(-torch.inf).topk(min(k, len(z) - 1), dim=1).indices
    votes = torch.nn.functional.one_hot(labels[near]).sum(dim=1)
    return float((votes.argmax(dim=1) == labels).float().mean())


def perplexity(distribution: Tensor) -> float:
    """exp(entropy) of a distribution (N,): N where all entries are used evenly, 1 where a single one is."""
    p = distribution.double()
    return float(torch.exp(-(p * p.clamp_min(1e-12).log()).sum()))


def spread(embeddings: Tensor) -> float:
    """Mean standard deviation of unit-length embeddings (B, D) over patients, times sqrt(D).

    1 where they point in all directions alike, 0 where they all point in the same one.
    """
    return float(normalise(embeddings).std(dim=0).mean() * embeddings.shape[-1] ** 0.5)


def prototype_use(consensus: Tensor) -> dict[str, Any]:
    """How many prototypes are used: consensus (B, N). One is dead below a tenth of an even share."""
    use = consensus.mean(dim=0)
    dead = int((use < 0.1 / len(use)).sum())
    return {"prototype_perplexity": perplexity(use), "prototypes_dead": dead}


def expert_use(experts: Tensor, modality: Tensor, modalities: int, count: int) -> dict[str, Any]:
    """Share of each modality's routed tokens that each of `count` experts got, a mean over L sparse blocks.

    experts (B, L, S, k) int64; modality (S,) int64. An expert of a block is dead below a hundredth of an even
    share of all its tokens. Without a sparse block, (B, 0), the shares are an empty list.
    """
    counts = torch.zeros(experts.shape[1], modalities, count)
    for block, of_block in enumerate(experts.unbind(1)):
        for m in range(modalities):
            counts[block, m] = torch.bincount(of_block[:, modality == m].flatten(), minlength=count).float()
    if not len(counts):
        return {"expert_use": [], "experts_dead": 0}
    share = counts / counts.sum(dim=2, keepdim=True).clamp_min(1)
    dead = counts.sum(dim=1) < 0.01 * counts.sum(dim=(1, 2))[:, None] / count
    return {"expert_use": share.mean(dim=0).tolist(), "experts_dead": int(dead.sum())}

"""Structured missingness for the two views (paper III-E2, Eq. 12)."""

import torch
from torch import Tensor


def sample_kept(observed: Tensor, queries: int, drop_modality: float, drop_token: float) -> Tensor:
    """Which query tokens a view keeps: modality dropout, then token dropout; at least one token a patient.

    observed (B, M) bool. Returns (B, M, K) bool, False wherever a modality is not observed. A patient who
    would lose all modalities keeps one observed modality at random, and one who would lose all of its tokens
    keeps one token of it at random.
    """
    noise = torch.rand(observed.shape, device=observed.device)
    modality = observed & (noise >= drop_modality)
    rescued = torch.where(observed, noise, -1.0).argmax(dim=1, keepdim=True)  # that with the largest draw
    lost = ~modality.any(dim=1, keepdim=True)
    modality = modality | torch.zeros_like(modality).scatter(
        1, rescued, lost & observed.any(dim=1, keepdim=True)
    )
    noise = torch.rand((*observed.shape, queries), device=observed.device)
    kept = modality[..., None] & (noise >= drop_token)
    flat = torch.where(modality[..., None], noise, -1.0).flatten(1)
    lost = ~kept.flatten(1).any(dim=1, keepdim=True) & modality.any(dim=1, keepdim=True)
    rescue = torch.zeros_like(flat, dtype=torch.bool).scatter(1, flat.argmax(dim=1, keepdim=True), lost)
    return kept | rescue.view_as(kept)


def sparsify(assignment: Tensor, top_k: int) -> tuple[Tensor, Tensor]:
    """The `top_k` largest entries of a simplex (..., N), renormalised, and their positions, both (..., k)."""
    top, index = assignment.topk(min(top_k, assignment.shape[-1]), dim=-1)
    return top / top.sum(dim=-1, keepdim=True), index


def dirichlet_weights(assignment: Tensor, kappa: float, top_k: int, noise: bool = True) -> Tensor:
    """Mixture weights w ~ Dirichlet(kappa * sparse assignment), scattered over all N prototypes (Eq. 12).

    assignment (..., N), rows on the simplex. Only the kept entries are sampled: a Dirichlet needs strictly
    positive concentrations. Sampled in float32 (no bfloat16 kernel exists on a CPU); gradients reach the
    concentrations. Without noise the mean, the sparse assignment itself. Returns (..., N) float32.
    """
    sparse, index = sparsify(assignment.float(), top_k)
    if noise:
        concentration = (kappa * sparse).clamp_min(1e-3)
        sparse = torch.distributions.Dirichlet(concentration, validate_args=False).rsample()
    return torch.zeros_like(assignment, dtype=torch.float32).scatter(-1, index, sparse)


def fill_dropped(tokens: Tensor, filling: Tensor, kept: Tensor) -> Tensor:
    """A view: own tokens where kept, the prototype mixture elsewhere (Eq. 12).

    tokens and filling (B, M, K, D), kept (B, M, K) bool.
    """
    return torch.where(kept[..., None], tokens, filling)

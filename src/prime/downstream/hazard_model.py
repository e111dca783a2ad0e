"""Ridge discrete-time hazard models, many at once: the head of a linear probe.

logit h_k(x) = b_k + x . w_k, with w_k = w in every bin where hazards are proportional. The loss is the mean
censored negative log-likelihood (paper IV-B; see objectives/survival.py) plus ridge / 2 * |w|^2; it is convex
and Newton's method finds its only minimum, so nothing depends on a learning rate, an epoch count or a seed.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

MAX_STEPS, TOLERANCE = 50, 1e-9


@dataclass(frozen=True)
class HazardModels:
    """H fitted heads: weight (H, p, T) and bias (H, T), float64; iterations used by the slowest."""

    weight: Tensor
    bias: Tensor
    iterations: int

    def logits(self, features: Tensor) -> Tensor:
        """Features (H, n, p) to logits (H, n, T)."""
        return features @ self.weight + self.bias[:, None]


def person_periods(bin_index: Tensor, event: Tensor, bins: int) -> tuple[Tensor, Tensor]:
    """At-risk and event indicators (..., T) of patients with a time bin and an event flag (...)."""
    k = torch.arange(bins, device=bin_index.device)
    at_risk = (k <= bin_index[..., None]).double()
    died = ((k == bin_index[..., None]) & event[..., None]).double()
    return at_risk, died


def baseline_logits(at_risk: Tensor, died: Tensor) -> Tensor:
    """Hazard logits (..., T) of everyone together, half an event added; indicators are (..., n, T)."""
    return torch.logit((died.sum(-2) + 0.5) / (at_risk.sum(-2) + 1.0))


def _loss(
    features: Tensor, at_risk: Tensor, died: Tensor, ridge: Tensor, weight: Tensor, bias: Tensor
) -> Tensor:
    logits = features @ weight + bias[:, None]  # (H, n, T)
    terms = at_risk * F.softplus(logits) - died * logits
    return terms.sum(dim=(1, 2)) + 0.5 * ridge * weight[..., 0].square().sum(dim=1)


def _newton_direction(
    features: Tensor, at_risk: Tensor, died: Tensor, ridge: Tensor, weight: Tensor, bias: Tensor
) -> tuple[Tensor, Tensor]:
    """Gradient and Newton step of proportional hazards, both (H, p + T)."""
    hazard = (features @ weight + bias[:, None]).sigmoid()  # (H, n, T)
    residual = at_risk * hazard - died
    curvature = at_risk * hazard * (1 - hazard)
    gradient = torch.cat(
        [
            (features.mT @ residual.sum(2, keepdim=True)).squeeze(2) + ridge[:, None] * weight[..., 0],
            residual.sum(1),
        ],
        dim=1,
    )
    top = features.mT @ (curvature.sum(2, keepdim=True) * features)  # (H, p, p)
    top = top + torch.diag_embed(ridge[:, None].expand(-1, features.shape[2]))
    side = features.mT @ curvature  # (H, p, T)
    corner = torch.diag_embed(curvature.sum(1) + 1e-8)
    hessian = torch.cat([torch.cat([top, side], 2), torch.cat([side.mT, corner], 2)], 1)
    # Cholesky, not torch.linalg.solve: the batched LU of this torch build fails from n = 256.
    step = torch.cholesky_solve(gradient[..., None], torch.linalg.cholesky(hessian)).squeeze(2)
    return gradient, step


def _fit_proportional(features: Tensor, at_risk: Tensor, died: Tensor, ridge: Tensor) -> HazardModels:
    heads, _, p = features.shape
    bins = at_risk.shape[2]
    bias = baseline_logits(at_risk, died)
    weight = features.new_zeros(heads, p, 1)
    loss = _loss(features, at_risk, died, ridge, weight, bias)
    for iteration in range(1, MAX_STEPS + 1):
        gradient, step = _newton_direction(features, at_risk, died, ridge, weight, bias)
        scale = features.new_ones(heads)
        for _ in range(30):  # halve the step of those heads whose loss would rise
            new_weight = weight - (scale[:, None] * step[:, :p])[..., None]
            new_bias = bias - scale[:, None] * step[:, p:]
            new_loss = _loss(features, at_risk, died, ridge, new_weight, new_bias)
            worse = new_loss > loss + 1e-12 * loss.abs()
            if not bool(worse.any()):
                break
            scale = torch.where(worse, scale * 0.5, scale)
        weight, bias, loss = new_weight, new_bias, new_loss  # pyright: ignore[reportPossiblyUnboundVariable]
        if float((gradient * step).sum(1).abs().max()) < TOLERANCE:
            return HazardModels(weight.expand(-1, -1, bins), bias, iteration)
    return HazardModels(weight.expand(-1, -1, bins), bias, MAX_STEPS)


def fit_hazard_models(
    features: Tensor,
    bin_index: Tensor,
    event: Tensor,
    used: Tensor,
    ridge: Tensor,
    bins: int,
    proportional: bool,
) -> HazardModels:
    """Fit H heads at once.

    features (H, n, p), bin_index (H, n) int64, event (H, n) bool; used (H, n) float, the weight of a row: 0
    for padding. ridge (H,) is relative to the mean loss: it is multiplied by the number of used rows.
    Free hazards are T independent logistic regressions. Returns float64 weights.
    """
    x = torch.where(used[..., None] > 0, features, 0.0).double()
    at_risk, died = person_periods(bin_index, event, bins)
    at_risk, died = at_risk * used[..., None], died * used[..., None]
    penalty = ridge.double() * used.double().sum(dim=1)
    if proportional:
        return _fit_proportional(x, at_risk, died, penalty)
    heads = len(x)

    def by_bin(t: Tensor) -> Tensor:
        return t.permute(2, 0, 1).flatten(0, 1)[..., None]  # (T*H, n, 1)

    fitted = _fit_proportional(x.repeat(bins, 1, 1), by_bin(at_risk), by_bin(died), penalty.repeat(bins))
    weight = fitted.weight.squeeze(2).view(bins, heads, -1).permute(1, 2, 0)  # (H, p, T)
    return HazardModels(weight, fitted.bias.view(bins, heads).T, fitted.iterations)

"""Discrete-time survival: the censored likelihood, survival curves, the risk score and the time bins.

Time is cut into T bins. A head gives one logit h_k a bin; the hazard of bin k is sigmoid(h_k) and the
probability of outliving bins 0..k is S_k = prod_{j<=k} (1 - sigmoid(h_j)). Source: Zadeh and Schmid,
"Bias in cross-entropy-based training of deep survival networks" (2021); the equations are written in logs,
so no epsilon is needed and saturated logits keep their gradient.
"""

from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import logsigmoid, pad

from prime.errors import InputError


def nll(
    logits: Tensor,
    bin: Tensor,
    event: Tensor,
    alpha: float = 0.0,
    reduction: Literal["mean", "none"] = "mean",
) -> Tensor:
    """Negative log likelihood of right-censored, discrete times.

    A patient with an event in bin y costs -(log S_{y-1} + log hazard_y); one censored in bin y costs
    -log S_y, weighted by 1 - alpha: alpha = 0 counts censored patients in full, alpha near 1 hardly at all.

    Args:
        logits: (..., T) floating; the likelihood is computed in float32 or wider.
        bin: (...) int64, the bin of each time, in 0..T-1.
        event: (...) bool, True where the event was observed, False where the patient was censored.
        alpha: in [0, 1).
        reduction: "mean" over the patients, or "none".

    Returns:
        A scalar, or (...) losses, in nats; float32 or wider.

    Raises:
        ValueError: alpha outside [0, 1), an event that is not bool, shapes that disagree, or no patient.
    """
    _check_likelihood_input(logits, bin, event, alpha, reduction)
    wide = logits.to(torch.promote_types(logits.dtype, torch.float32))
    log_survival = pad(logsigmoid(-wide).cumsum(-1), (1, 0))  # (..., T + 1): log S_{-1} = 0 comes first
    at = bin.unsqueeze(-1)
    before = log_survival.gather(-1, at).squeeze(-1)
    through = log_survival.gather(-1, at + 1).squeeze(-1)
    log_hazard = logsigmoid(wide.gather(-1, at)).squeeze(-1)
    loss = torch.where(event, -(before + log_hazard), -(1.0 - alpha) * through)
    return loss.mean() if reduction == "mean" else loss


def _check_likelihood_input(logits: Tensor, bin: Tensor, event: Tensor, alpha: float, reduction: str) -> None:
    if not 0.0 <= alpha < 1.0:
        raise ValueError(
            f"alpha must be in [0, 1), found {alpha}: at 1 the censored patients would not count"
        )
    if event.dtype != torch.bool:
        raise ValueError(f"event must be bool (True = event observed), found {event.dtype}")
    if bin.dtype != torch.int64:
        raise ValueError(f"bin must be int64, found {bin.dtype}")
    if not (logits.shape[:-1] == bin.shape == event.shape):
        shapes = f"{tuple(logits.shape)}, {tuple(bin.shape)}, {tuple(event.shape)}"
        raise ValueError(f"logits (..., T), bin (...) and event (...) disagree: {shapes}")
    if reduction not in ("mean", "none"):
        raise ValueError(f"reduction must be 'mean' or 'none', found {reduction!r}")
    if reduction == "mean" and bin.numel() == 0:
        raise ValueError("the mean over no patient is undefined")


def hazards(logits: Tensor) -> Tensor:
    """Probability of the event in each bin given survival up to it: (..., T) logits to (..., T) in [0, 1]."""
    return torch.sigmoid(logits)


def survival(logits: Tensor) -> Tensor:
    """Probability of outliving each bin, S_k: (..., T) logits to (..., T) in [0, 1], never increasing.

    S_k belongs to the upper edge of bin k.
    """
    wide = logits.to(torch.promote_types(logits.dtype, torch.float32))
    return logsigmoid(-wide).cumsum(-1).exp()


def risk(logits: Tensor) -> Tensor:
    """Risk score -sum_k S_k: (..., T) logits to (...) in [-T, 0]; higher = worse.

    It ranks patients as the negative mean survival restricted to the T bins does.
    """
    return -survival(logits).sum(-1)


def bin_edges(time_days: NDArray[np.floating], event: NDArray[np.bool_], bins: int) -> NDArray[np.float64]:
    """Edges of the time bins, from the event times of the TRAINING split alone.

    The inner edges are the quantiles 1/bins, 2/bins, ... of the event times. An edge that no event precedes
    moves to the next later event time; one that would leave a bin without an event (ties, few events) is
    dropped, so that fewer than `bins` bins may come back, but two or more where there are two event times.

    Args:
        time_days: (n,) days; censored patients' times are not used.
        event: (n,) bool.
        bins: bins wanted, at least 1.

    Returns:
        (T + 1,) float64 days, strictly increasing, first -inf, last +inf, 1 <= T <= bins.

    Raises:
        InputError: no events.
        ValueError: bins < 1, event not bool, shapes that disagree, or an event time that is not finite.
    """
    time = np.asarray(time_days, dtype=np.float64)
    observed = np.asarray(event)
    if bins < 1:
        raise ValueError(f"bins must be at least 1, found {bins}")
    if observed.dtype != np.bool_:
        raise ValueError(f"event must be bool (True = event observed), found {observed.dtype}")
    if time.ndim != 1 or time.shape != observed.shape:
        raise ValueError(
            f"time_days {time.shape} and event {observed.shape} must be one vector each, as long"
        )
    times = np.sort(time[observed])
    if not times.size:
        raise InputError(
            f"no events among the {time.size} training patients: time bins need at least one; "
            "choose another endpoint or leave this cohort out"
        )
    if not np.isfinite(times).all():
        raise ValueError("time_days has an event time that is not finite")
    inner = np.quantile(times, np.arange(1, bins) / bins)
    second = times[min(np.searchsorted(times, times[0], side="right"), times.size - 1)]
    inner = np.where(inner <= times[0], second, inner)
    events_before = np.searchsorted(times, inner, side="left")
    _, first = np.unique(events_before, return_index=True)
    kept = inner[first][events_before[first] > 0]
    return np.concatenate([[-np.inf], kept, [np.inf]])


def assign_bins(time_days: NDArray[np.floating], edges: NDArray[np.float64]) -> NDArray[np.int64]:
    """The bin of each time: k where edges[k] <= time < edges[k + 1]. Any finite time has one.

    Args:
        time_days: (n,) days.
        edges: (T + 1,) days, as `bin_edges` gives them.

    Returns:
        (n,) int64 in 0..T-1.

    Raises:
        ValueError: a time that is not finite, or edges that do not rise from -inf to +inf.
    """
    time = np.asarray(time_days, dtype=np.float64)
    limits = np.asarray(edges, dtype=np.float64)
    if limits.ndim != 1 or limits.size < 2 or limits[0] != -np.inf or limits[-1] != np.inf:
        raise ValueError("edges must be one vector from -inf to +inf")
    if not (limits[1:] > limits[:-1]).all():
        raise ValueError("edges must increase strictly")
    if not np.isfinite(time).all():
        raise ValueError("time_days has a time that is not finite")
    return np.searchsorted(limits[1:-1], time, side="right").astype(np.int64)

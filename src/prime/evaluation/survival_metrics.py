"""Survival predictions in time: Uno's concordance, time-dependent AUC and Brier scores, all weighted by
the inverse probability of censoring (IPCW). Pure functions of arrays.

The censoring distribution G(t) = P(C > t) is the Kaplan-Meier estimate from the training patients, with
events before censorings at a tied time; a patient with an event at t weighs 1 / G(t). A weight is defined
where G is: up to the last training time, and before G reaches zero. Only the weights a value rests on need
to be defined: events of test patients after the last evaluation time play no part. scikit-survival asks for
the weight of every test event; it gives the same values once those later events are marked as censored.

Times are in any one unit (days elsewhere in this project); a higher risk means a worse outcome; risks tie
when they are equal (scikit-survival: when they differ by at most 1e-8). What is undefined is NaN.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from prime.arrays import Flags, Floats
from prime.evaluation.argument_checks import (
    check_probabilities,
    finite_matrix,
    finite_vector,
    survival_arrays,
)
from prime.evaluation.metrics import Score
from prime.evaluation.product_limit import product_limit

_CHUNK = 1 << 22  # pairs compared at once; bounds the memory for large cohorts
DELAYED_ENTRY = "delayed entry: weights for censoring do not hold"  # why there is no value
_UNTRAINED = "no events among the training patients"
_OUTSIDE = "an event outside the follow-up of the training patients"


@dataclass(frozen=True)
class TimeDependentAuc:
    """Cumulative/dynamic AUC over time.

    Attributes:
        values: (q,) one a time, NaN where undefined.
        mean: their mean, weighted by the fall of the test patients' Kaplan-Meier curve.
        reasons: (q,) why each value is NaN; None where it is defined.
    """

    values: Floats
    mean: Score
    reasons: tuple[str | None, ...]


def largest_tau(
    train_time: NDArray[np.floating],
    train_event: NDArray[np.bool_],
    time: NDArray[np.floating],
    event: NDArray[np.bool_],
) -> float:
    """The truncation that `ipcw_concordance` uses by default: it keeps the test events before it.

    It is the first test event time without a defined weight, +inf where every test event has one.
    """
    weights, times = _event_weights(train_time, train_event, time, event)
    without = times[np.isnan(weights)]
    return float(without.min()) if len(without) else float("inf")


def ipcw_concordance(
    train_time: NDArray[np.floating],
    train_event: NDArray[np.bool_],
    time: NDArray[np.floating],
    event: NDArray[np.bool_],
    risk: NDArray[np.floating],
    tau: float | None = None,
) -> Score:
    """Uno's C: Harrell's pairs, each weighted by 1 / G(t)^2 at its event's time t, for events before tau.

    Comparable pairs are those of `metrics.concordance`, as in scikit-survival: an event is comparable with
    a censoring at the same time. Uno's formula, like survAUC in R, takes strictly later times only, so the
    values differ where an event and a censoring tie. Source: Uno et al., "On the C-statistics for evaluating
    overall adequacy of risk prediction procedures with censored survival data", Stat. Med. 2011.

    Args:
        train_time: (m,) of the training patients.
        train_event: (m,) bool, True = observed.
        time: (n,) of the test patients.
        event: (n,) bool.
        risk: (n,).
        tau: only events before it count; None = `largest_tau`.

    Returns:
        The score, `events` counting the test events before tau; NaN with a reason where undefined.

    Raises:
        ValueError: shapes that disagree, an event that is not bool, or a value that is not finite.
    """
    times, events = survival_arrays(time, event)
    risks = finite_vector(risk, len(times), "risk")
    weights, _ = _event_weights(train_time, train_event, times, events)
    limit = largest_tau(train_time, train_event, times, events) if tau is None else float(tau)
    counted = events & (times < limit)
    n, used = len(times), int(counted.sum())
    if n < 2:
        return _undefined("fewer than two patients", n, used)
    if not np.any(train_event):
        return _undefined(_UNTRAINED, n, used)
    if not used:
        short = "no events" if not events.any() else "no events before tau"
        inside = "no events inside the follow-up of the training patients"
        return _undefined(inside if tau is None and events.any() else short, n, used)
    if np.isnan(weights[counted]).any():
        return _undefined("tau is beyond the follow-up of the training patients", n, used)
    pairs, points = _weighted_pairs(times, events, risks, np.flatnonzero(counted), weights**2)
    if not pairs:
        return _undefined("no comparable pair", n, used)
    return Score(points / pairs, n, used)


def time_dependent_auc(
    train_time: NDArray[np.floating],
    train_event: NDArray[np.bool_],
    time: NDArray[np.floating],
    event: NDArray[np.bool_],
    risk: NDArray[np.floating],
    times: NDArray[np.floating],
) -> TimeDependentAuc:
    """The chance that a patient with an event by t has a higher risk than one followed beyond t.

    Cases (event at or before t) weigh 1 / G of their event's time; controls (time > t) weigh equally; equal
    risks count one half. Undefined where t has no case, no control, or a case without a defined weight. The
    mean weighs each time by the fall of the Kaplan-Meier curve since the time before, and is NaN where any
    of the values is. Sources: Uno et al., JASA 2007; Hung and Chiang, Can. J. Stat. 2010; Lambert and
    Chevret, Stat. Methods Med. Res. 2016 (the mean).

    Args:
        train_time: (m,) of the training patients.
        train_event: (m,) bool, True = observed.
        time: (n,) of the test patients.
        event: (n,) bool.
        risk: (n,), or (n, q) for a risk of its own at each time.
        times: (q,), increasing.

    Raises:
        ValueError: as `ipcw_concordance`; no time, or times that do not increase.
    """
    own, events = survival_arrays(time, event)
    grid = _grid(times)
    risks = np.asarray(risk, dtype=np.float64)
    risks = np.repeat(risks[:, None], len(grid), axis=1) if risks.ndim == 1 else risks
    risks = finite_matrix(risks, (len(own), len(grid)), "risk")
    weights, _ = _event_weights(train_time, train_event, own, events)
    trained = bool(np.any(train_event))
    found = [
        _auc_at(t, own, events, weights, risks[:, column]) if trained else (float("nan"), _UNTRAINED)
        for column, t in enumerate(grid)
    ]
    values = np.array([value for value, _ in found])
    reasons = tuple(reason for _, reason in found)
    return TimeDependentAuc(values, _mean_auc(own, events, grid, values, reasons), reasons)


def brier_score(
    train_time: NDArray[np.floating],
    train_event: NDArray[np.bool_],
    time: NDArray[np.floating],
    event: NDArray[np.bool_],
    survival: NDArray[np.floating],
    times: NDArray[np.floating],
) -> Floats:
    """(q,) the mean weighted squared error of the predicted survival at each time.

    A patient with an event at or before t adds S(t)^2 / G(own time), one followed beyond t adds
    (1 - S(t))^2 / G(t), one censored before nothing. NaN where no test or training patient has an event, t
    is outside the test patients' follow-up [min, max), or G(t) is zero or not defined. scikit-survival
    drops the patients whose G is zero and returns the sum of the others. Source: Graf et al., "Assessment
    and comparison of prognostic classification schemes for survival data", Stat. Med. 1999.

    Args:
        train_time: (m,) of the training patients.
        train_event: (m,) bool, True = observed.
        time: (n,) of the test patients.
        event: (n,) bool.
        survival: (n, q), S(t) of each patient at each time, within [0, 1].
        times: (q,), increasing.

    Raises:
        ValueError: as `time_dependent_auc`; a survival outside [0, 1].
    """
    return _brier(train_time, train_event, time, event, survival, times)[0]


def integrated_brier_score(
    train_time: NDArray[np.floating],
    train_event: NDArray[np.bool_],
    time: NDArray[np.floating],
    event: NDArray[np.bool_],
    survival: NDArray[np.floating],
    times: NDArray[np.floating],
) -> Score:
    """The mean of `brier_score` over [times[0], times[-1]], by the trapezoidal rule.

    NaN with a reason for fewer than two times, or where the Brier score is undefined at any of them.
    Arguments and errors are those of `brier_score`.
    """
    values, reasons = _brier(train_time, train_event, time, event, survival, times)
    grid, n, events = _grid(times), len(np.asarray(time)), int(np.sum(event))
    if len(grid) < 2:
        return _undefined("fewer than two times", n, events)
    if any(reasons):
        return _undefined(_some(reasons), n, events)
    return Score(float(np.trapezoid(values, grid) / (grid[-1] - grid[0])), n, events)


def _undefined(reason: str, n: int, events: int) -> Score:
    return Score(float("nan"), n, events, reason)


def _some(reasons: tuple[str | None, ...]) -> str:
    """One reason for a summary over times: how many are undefined, and why the first is."""
    given = [reason for reason in reasons if reason]
    return (
        given[0]
        if len(given) == len(reasons)
        else f"undefined at {len(given)} of {len(reasons)} times: {given[0]}"
    )


def _grid(times: NDArray[np.floating]) -> Floats:
    grid = finite_vector(times, None, "times")
    if not len(grid) or (np.diff(grid) <= 0).any():
        raise ValueError("times must hold at least one time and increase strictly")
    return grid


def _event_weights(
    train_time: NDArray[np.floating],
    train_event: NDArray[np.bool_],
    time: NDArray[np.floating],
    event: NDArray[np.bool_],
) -> tuple[Floats, Floats]:
    """(n,) 1 / G at each test event, 0 for a censoring, NaN where undefined; and the (n,) times."""
    times, events = survival_arrays(time, event)
    free = product_limit(train_time, train_event, censoring=True).at(times)
    weights = np.divide(1.0, free, out=np.full(len(times), np.nan), where=free > 0)
    return np.where(events, weights, 0.0), times


def _weighted_pairs(
    time: Floats, event: Flags, risk: Floats, cases: NDArray[np.int64], weights: Floats
) -> tuple[float, float]:
    """Weight of the comparable pairs of these events, and of the concordant ones with ties at one half."""
    pairs = points = 0.0
    step = max(1, _CHUNK // max(len(time), 1))
    for start in range(0, len(cases), step):
        rows = cases[start : start + step, None]
        comparable = (time[rows] < time) | ((time[rows] == time) & ~event)
        right = (comparable & (risk[rows] > risk)) + 0.5 * (comparable & (risk[rows] == risk))
        pairs += float(weights[rows[:, 0]] @ comparable.sum(axis=1))
        points += float(weights[rows[:, 0]] @ right.sum(axis=1))
    return pairs, points


def _auc_at(t: float, time: Floats, event: Flags, weights: Floats, risk: Floats) -> tuple[float, str | None]:
    cases, controls = event & (time <= t), time > t
    if not cases.any():
        return float("nan"), "no events by then"
    if not controls.any():
        return float("nan"), "nobody followed beyond"
    if np.isnan(weights[cases]).any():
        return float("nan"), _OUTSIDE
    below = np.sort(risk[controls])
    left = np.searchsorted(below, risk[cases], side="left")
    right = np.searchsorted(below, risk[cases], side="right")
    share = (left + right) / (2.0 * len(below))
    return float(weights[cases] @ share / weights[cases].sum()), None


def _mean_auc(
    time: Floats, event: Flags, grid: Floats, values: Floats, reasons: tuple[str | None, ...]
) -> Score:
    n, events = len(time), int(event.sum())
    if any(reasons):
        return _undefined(_some(reasons), n, events)
    if len(grid) == 1:
        return Score(float(values[0]), n, events)
    fall = -np.diff(product_limit(time, event).at(grid), prepend=1.0)
    return Score(float(values @ fall / fall.sum()), n, events)


def _brier(
    train_time: NDArray[np.floating],
    train_event: NDArray[np.bool_],
    time: NDArray[np.floating],
    event: NDArray[np.bool_],
    survival: NDArray[np.floating],
    times: NDArray[np.floating],
) -> tuple[Floats, tuple[str | None, ...]]:
    own, events = survival_arrays(time, event)
    grid = _grid(times)
    predicted = finite_matrix(np.asarray(survival, dtype=np.float64), (len(own), len(grid)), "survival")
    check_probabilities(predicted, "survival")
    weights, _ = _event_weights(train_time, train_event, own, events)
    free = product_limit(train_time, train_event, censoring=True).at(grid)
    reasons = tuple(_brier_reason(t, g, own, events, train_event) for t, g in zip(grid, free, strict=True))
    values = np.full(len(grid), np.nan)
    for column in (k for k, reason in enumerate(reasons) if reason is None):
        cases, controls = events & (own <= grid[column]), own > grid[column]
        lost = weights[cases] @ predicted[cases, column] ** 2
        kept = ((1.0 - predicted[controls, column]) ** 2).sum() / free[column]
        values[column] = (lost + kept) / len(own)
    return values, reasons


def _brier_reason(
    t: float, free: float, time: Floats, event: Flags, train_event: NDArray[np.bool_]
) -> str | None:
    if not np.any(train_event):
        return _UNTRAINED
    if not event.any():
        return "no events"
    if not time.min() <= t < time.max():
        return "a time outside the follow-up of the test patients"
    return None if free > 0 else "a time beyond the follow-up of the training patients"

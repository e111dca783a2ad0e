"""High against low risk: the groups, the log-rank test and the hazard ratio.

Times may be in any one unit, days elsewhere in this package. Where a figure is undefined it is NaN with the
reason.
"""

from collections.abc import Generator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import chdtrc, ndtr, ndtri

from prime.evaluation.argument_checks import (
    check_level,
    entry_times,
    finite_vector,
    follow_up_times,
    sized_bool_vector,
)
from prime.evaluation.cox import cox_coefficient
from prime.evaluation.kaplan_meier import numbers_at_risk

_NAN = float("nan")
_NO_PATIENT_HIGH = "no patient in the high-risk group"
_NO_PATIENT_LOW = "no patient in the low-risk group"
_NO_EVENTS = "no events"
_NEVER_BOTH = "no event while both groups were at risk"
_SEPARATED = "perfect separation: while both groups were at risk, all events fell in the {} group"
_LACKS = {
    "flat": _NEVER_BOTH,
    "rising": _SEPARATED.format("high-risk"),
    "falling": _SEPARATED.format("low-risk"),
    "not reached": "the Cox fit did not converge",
}


@dataclass(frozen=True)
class LogRank:
    """The log-rank test of two groups, with one degree of freedom.

    Attributes:
        statistic: chi-squared; NaN where undefined.
        p_value: two-sided.
        n, events: patients in both groups and events among them.
        reason: why it is NaN; None where it is defined.
    """

    statistic: float
    p_value: float
    n: int
    events: int
    reason: str | None = None


@dataclass(frozen=True)
class HazardRatio:
    """Hazard of the high-risk group over that of the low-risk group.

    Attributes:
        ratio: above 1 where the high-risk group fares worse; NaN where undefined.
        low, high: Wald interval, on the scale of the ratio.
        p_value: Wald test of ratio = 1, two-sided.
        reason: why it is NaN; None where it is defined.
    """

    ratio: float
    low: float
    high: float
    p_value: float
    reason: str | None = None


@dataclass(frozen=True)
class _EventTimes:
    """Counts at the distinct event times of one stratum, each (times,)."""

    at_risk: NDArray[np.float64]
    at_risk_high: NDArray[np.float64]
    events: NDArray[np.float64]
    events_high: NDArray[np.float64]


def high_risk(risk: NDArray[np.floating], fold: NDArray[np.generic] | None = None) -> NDArray[np.bool_]:
    """Who is in the high-risk group: (n,) bool, True where risk > median; ties at the median are low.

    Without `fold` the median is that of all risks, as papers pool their test folds. Each fold's model has its
    own scale, so that split partly separates folds; with `fold` each patient is held against the median of
    its own fold.

    Args:
        risk: (n,), higher = worse.
        fold: (n,) of any type that compares equal; None pools all patients.

    Raises:
        ValueError: shapes that disagree, or a risk that is not finite.
    """
    risks = finite_vector(risk, None, "risk")
    labels = _labels(fold, len(risks), "fold")
    high = np.zeros(len(risks), dtype=np.bool_)
    for label in np.unique(labels):
        rows = labels == label
        high[rows] = risks[rows] > np.median(risks[rows])
    return high


def log_rank(
    time: NDArray[np.floating],
    event: NDArray[np.bool_],
    high: NDArray[np.bool_],
    strata: NDArray[np.generic] | None = None,
    entry: NDArray[np.floating] | None = None,
) -> LogRank:
    """Log-rank test of the high-risk against the low-risk group, one degree of freedom.

    With U the events observed less those expected in the high-risk group, and V its hypergeometric variance,
    the statistic is U^2 / V. Given strata (folds, whose models differ), U and V are summed over them,
    so that patients are compared only within a stratum. Source: Mantel, "Evaluation of survival data and two
    new rank order statistics", Cancer Chemother. Rep. 1966.

    Args:
        time: (n,) >= 0.
        event: (n,) bool, True = event observed.
        high: (n,) bool, as `high_risk` gives it.
        strata: (n,) of any type that compares equal; None for none.
        entry: (n,) delayed entry, before the time: each is at risk in (entry, time].

    Returns:
        The test; NaN with a reason where a group is empty, there are no events, or no event fell at a time
        when both groups were at risk.

    Raises:
        ValueError: shapes that disagree, event or high not bool, a time that is negative or not finite, or an
            entry that is not before its time.
    """
    times, events, groups, labels = _grouped(time, event, high, strata)
    late = np.full(len(times), -1.0) if entry is None else entry_times(entry, times)
    n, total = len(times), int(events.sum())
    reason = _degenerate(events, groups)
    if reason is not None:
        return LogRank(_NAN, _NAN, n, total, reason)
    excess = variance = 0.0
    for counts in _by_stratum(times, events, groups, labels, late):
        share = counts.at_risk_high / counts.at_risk
        excess += float((counts.events_high - counts.events * share).sum())
        several = np.maximum(counts.at_risk - 1.0, 1.0)  # with one patient at risk the share is 0 or 1
        variance += float(
            (counts.events * share * (1.0 - share) * (counts.at_risk - counts.events) / several).sum()
        )
    if variance <= 0.0:
        return LogRank(_NAN, _NAN, n, total, _NEVER_BOTH)
    statistic = excess**2 / variance
    return LogRank(statistic, float(chdtrc(1, statistic)), n, total)


def hazard_ratio(
    time: NDArray[np.floating],
    event: NDArray[np.bool_],
    high: NDArray[np.bool_],
    strata: NDArray[np.generic] | None = None,
    level: float = 0.95,
    entry: NDArray[np.floating] | None = None,
) -> HazardRatio:
    """Hazard ratio of the high-risk group by a Cox model with that one covariate, ties by Efron's method.

    The likelihood has a finite maximum exactly when, at times when both groups of a stratum are at risk,
    events fall in both groups. Elsewhere a solver would stop at some huge ratio; here it is NaN.
    Source: Cox, "Regression models and life-tables", JRSS B 1972.

    Args:
        time, event, high, strata: as for `log_rank`; each stratum has its own baseline hazard.
        level: coverage of the interval, in (0, 1).
        entry: (n,) delayed entry, before the time.

    Returns:
        The ratio; NaN with a reason where a group is empty, there are no events, the groups are perfectly
        separated, or the fit did not converge.

    Raises:
        ValueError: as for `log_rank`, or level outside (0, 1).
    """
    times, events, groups, labels = _grouped(time, event, high, strata)
    check_level(level)
    late = None if entry is None else entry_times(entry, times)
    reason = _degenerate(events, groups)
    if reason is not None:
        return HazardRatio(_NAN, _NAN, _NAN, _NAN, reason)
    found = cox_coefficient(groups.astype(np.float64), times, events, labels, late)
    if found.lack is not None:
        return HazardRatio(_NAN, _NAN, _NAN, _NAN, _LACKS[found.lack])
    reach = float(ndtri((1.0 + level) / 2.0)) * found.error
    return HazardRatio(
        ratio=float(np.exp(found.value)),
        low=float(np.exp(found.value - reach)),
        high=float(np.exp(found.value + reach)),
        p_value=float(2.0 * ndtr(-abs(found.value) / found.error)),
    )


def _degenerate(event: NDArray[np.bool_], high: NDArray[np.bool_]) -> str | None:
    if not high.any():
        return _NO_PATIENT_HIGH
    if high.all():
        return _NO_PATIENT_LOW
    return None if event.any() else _NO_EVENTS


def _by_stratum(
    time: NDArray[np.float64],
    event: NDArray[np.bool_],
    high: NDArray[np.bool_],
    labels: NDArray[np.generic],
    entry: NDArray[np.float64],
) -> Generator[_EventTimes]:
    for label in np.unique(labels):
        rows = labels == label
        yield _event_times(time[rows], event[rows], high[rows], entry[rows])


def _event_times(
    time: NDArray[np.float64],
    event: NDArray[np.bool_],
    high: NDArray[np.bool_],
    entry: NDArray[np.float64],
) -> _EventTimes:
    at, position = np.unique(time[event], return_inverse=True)
    return _EventTimes(
        at_risk=numbers_at_risk(time, at, entry).astype(np.float64),
        at_risk_high=numbers_at_risk(time[high], at, entry[high]).astype(np.float64),
        events=np.bincount(position, minlength=len(at)).astype(np.float64),
        events_high=np.bincount(position[high[event]], minlength=len(at)).astype(np.float64),
    )


def _grouped(
    time: NDArray[np.floating],
    event: NDArray[np.bool_],
    high: NDArray[np.bool_],
    strata: NDArray[np.generic] | None,
) -> tuple[NDArray[np.float64], NDArray[np.bool_], NDArray[np.bool_], NDArray[np.generic]]:
    times = follow_up_times(time)
    events = sized_bool_vector(event, len(times), "event")
    return times, events, sized_bool_vector(high, len(times), "high"), _labels(strata, len(times), "strata")


def _labels(values: NDArray[np.generic] | None, n: int, name: str) -> NDArray[np.generic]:
    if values is None:
        return np.zeros(n, dtype=np.int64)
    array = np.asarray(values)
    if array.shape != (n,):
        raise ValueError(f"{name} must be of shape ({n},), found {array.shape}")
    return array

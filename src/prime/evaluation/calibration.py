"""Do predicted probabilities mean what they say: slopes and curves, pure functions of arrays.

Wherever a quantity is undefined (one class, no finite maximum of the likelihood, too short a follow-up) it
is NaN, with its reason. D-calibration is in `d_calibration`.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from prime.arrays import Flags, Floats
from prime.evaluation.argument_checks import (
    bool_vector,
    entry_times,
    probability_vector,
    survival_arrays,
)
from prime.evaluation.cox import cox_coefficient
from prime.evaluation.logistic import logistic_constant, logistic_regression, separated
from prime.evaluation.metrics import Score
from prime.evaluation.product_limit import ProductLimit, product_limit

_Z = float(ndtri(0.975))
_ZERO_OR_ONE = "a predicted probability of exactly 0 or 1"
_EQUAL = "all predicted probabilities are equal"
_NOT_REACHED = "the fit did not reach the maximum of the likelihood"
_LACKS = {
    "flat": "nobody at risk together with an event has another prediction",
    "rising": "the likelihood has no finite maximum",
    "falling": "the likelihood has no finite maximum",
    "not reached": _NOT_REACHED,
}


@dataclass(frozen=True)
class Calibration:
    """Logistic recalibration of a binary prediction.

    Attributes:
        slope: coefficient of logit(p); 1 is ideal, below 1 the predictions are too extreme.
        intercept: the constant fitted together with the slope; 0 is ideal.
        in_the_large: the constant with the slope held at 1; above 0 the predictions are too low.
    """

    slope: Score
    intercept: Score
    in_the_large: Score


@dataclass(frozen=True)
class CalibrationCurve:
    """Groups of patients in order of predicted risk; every array is (groups,).

    Attributes:
        predicted: mean predicted risk.
        observed: observed risk; NaN where undefined.
        low, high: 95% interval of the observed risk; NaN where undefined.
        n: int64, patients; 0 where equal predictions leave a group empty.
        events: int64, events (by the horizon), or positives.
    """

    predicted: Floats
    observed: Floats
    low: Floats
    high: Floats
    n: NDArray[np.int64]
    events: NDArray[np.int64]


def binary_calibration(label: NDArray[np.bool_], probability: NDArray[np.floating]) -> Calibration:
    """Slope and intercept of the unpenalised logistic regression of the label on logit(probability).

    Source: Cox, "Two further applications of a model for binary regression", Biometrika 1958.

    Args:
        label: (n,) bool, True = positive.
        probability: (n,), predicted chance of a positive, within [0, 1].

    Returns:
        Scores, `events` counting the positives. All are NaN where a class is absent or a probability is
        exactly 0 or 1; slope and intercept also where all probabilities are equal or the classes can be
        told apart by a threshold, as the likelihood then has no finite maximum.

    Raises:
        ValueError: shapes that disagree, a label that is not bool, or a probability outside [0, 1].
    """
    labels = bool_vector(label, "label")
    chances = probability_vector(probability, len(labels), "probability")
    n, positives = len(labels), int(labels.sum())

    def score(value: float, reason: str | None) -> Score:
        return Score(float("nan") if reason else value, n, positives, reason)

    reason = _one_class(n, positives) or (_ZERO_OR_ONE if not _inside(chances) else None)
    if reason:
        return Calibration(*(score(0.0, reason) for _ in range(3)))
    logit = np.log(chances) - np.log1p(-chances)
    constant = score(logistic_constant(logit, positives), None)
    reason = (
        _EQUAL
        if np.ptp(logit) == 0
        else "a threshold separates the classes"
        if separated(labels, logit)
        else None
    )
    if reason:
        return Calibration(score(0.0, reason), score(0.0, reason), constant)
    found = logistic_regression(labels, logit)
    if found is None:
        return Calibration(score(0.0, _NOT_REACHED), score(0.0, _NOT_REACHED), constant)
    intercept, slope = found
    return Calibration(score(slope, None), score(intercept, None), constant)


def survival_calibration_slope(
    time: NDArray[np.floating],
    event: NDArray[np.bool_],
    survival: NDArray[np.floating],
    horizon: float | None = None,
    entry: NDArray[np.floating] | None = None,
) -> Score:
    """The Cox coefficient of log(-log S(horizon | x)): 1 is ideal, below 1 predictions are too extreme.

    Efron's ties. Sources: van Houwelingen, "Validation, calibration, revision and combination of prognostic
    survival models", Stat. Med. 2000; Efron, JASA 1977.

    Args:
        time: (n,) in any one unit.
        event: (n,) bool, True = event observed.
        survival: (n,), the predicted S at the horizon, within [0, 1].
        horizon: in the unit of time; follow-up beyond it is cut off there. None uses all follow-up.
        entry: (n,) delayed entry, before the time; who enters at the horizon or later is left out.

    Returns:
        The score, `events` counting the events used; NaN with a reason for fewer than two patients, no
        events, an S of exactly 0 or 1, equal predictions wherever they would be compared, or a likelihood
        that rises for ever (the event is always the patient at highest, or lowest, predicted risk).

    Raises:
        ValueError: shapes that disagree, event not bool, values that are not finite or outside [0, 1].
    """
    times, events = survival_arrays(time, event)
    chances = probability_vector(survival, len(times), "survival")
    late = None if entry is None else entry_times(entry, times)
    if late is not None and horizon is not None:
        kept = late < horizon
        times, events, chances, late = times[kept], events[kept], chances[kept], late[kept]
    if horizon is not None:
        times, events = np.minimum(times, horizon), events & (times <= horizon)
    n, used = len(times), int(events.sum())
    if n < 2 or not used or not _inside(chances):
        reason = "fewer than two patients" if n < 2 else _ZERO_OR_ONE if used else "no events"
        return Score(float("nan"), n, used, reason)
    found = cox_coefficient(np.log(-np.log(chances)), times, events, entry=late)
    return Score(found.value, n, used, _LACKS[found.lack] if found.lack else None)


def calibration_curve(
    label: NDArray[np.bool_], probability: NDArray[np.floating], groups: int = 10
) -> CalibrationCurve:
    """Predicted and observed share of positives in groups by quantiles of the prediction.

    The interval is Wilson's (JASA 1927). Patients with equal predictions share a group.

    Args:
        label: (n,) bool. probability: (n,), within [0, 1]. groups: at least 1.

    Raises:
        ValueError: shapes that disagree, label not bool, a probability outside [0, 1], or groups < 1.
    """
    labels = bool_vector(label, "label")
    chances = probability_vector(probability, len(labels), "probability")
    return _curve(chances, groups, lambda rows: (*_share(labels[rows]), int(labels[rows].sum())))


def survival_calibration_curve(
    time: NDArray[np.floating],
    event: NDArray[np.bool_],
    probability: NDArray[np.floating],
    horizon: float,
    groups: int = 10,
    entry: NDArray[np.floating] | None = None,
) -> CalibrationCurve:
    """Predicted and Kaplan-Meier risk of an event by the horizon, in groups by quantiles of the prediction.

    The interval is the log(-log) one with Greenwood's variance, undefined where the observed risk is 0 or
    1. The observed risk is undefined in a group whose follow-up ends with a censoring before the horizon, and
    in one whose early risk set died out before others entered.

    Args:
        time: (n,) in any one unit. event: (n,) bool, True = event observed.
        probability: (n,), predicted risk of an event by the horizon, 1 - S(horizon), within [0, 1].
        horizon: in the unit of time. groups: at least 1.
        entry: (n,) delayed entry, before the time; None where all were under observation from the beginning.

    Raises:
        ValueError: shapes that disagree, event not bool, values not finite or outside [0, 1], groups < 1.
    """
    times, events = survival_arrays(time, event)
    chances = probability_vector(probability, len(times), "probability")
    late = None if entry is None else entry_times(entry, times)
    by_then = events & (times <= horizon)

    def observe(rows: Flags) -> tuple[float, float, float, int]:
        curve = product_limit(times[rows], events[rows], entry=None if late is None else late[rows])
        return (*_risk_by(curve, horizon), int(by_then[rows].sum()))

    return _curve(chances, groups, observe)


def _curve(
    chances: Floats, groups: int, observe: Callable[[Flags], tuple[float, float, float, int]]
) -> CalibrationCurve:
    """Groups (a, b] between quantiles; `observe` gives a group's risk, its interval and its events."""
    if groups < 1:
        raise ValueError(f"groups must be at least 1, found {groups}")
    inner = np.quantile(chances, np.arange(1, groups) / groups) if len(chances) else np.empty(0)
    group = np.searchsorted(inner, chances, side="left")
    values = np.full((4, groups), np.nan)
    counts = np.zeros((2, groups), dtype=np.int64)
    for k in np.unique(group):
        rows = group == k
        *found, events = observe(rows)
        values[:, k] = [chances[rows].mean(), *found]
        counts[:, k] = rows.sum(), events
    return CalibrationCurve(*values, *counts)


def _share(labels: Flags) -> tuple[float, float, float]:
    """Share of positives with Wilson's interval."""
    n, share = len(labels), float(labels.mean())
    centre = (share + _Z**2 / (2 * n)) / (1 + _Z**2 / n)
    half = _Z * np.sqrt(share * (1 - share) / n + _Z**2 / (4 * n**2)) / (1 + _Z**2 / n)
    return share, max(0.0, centre - half), min(1.0, centre + half)


def _risk_by(curve: ProductLimit, horizon: float) -> tuple[float, float, float]:
    """Risk by the horizon with its interval."""
    alive = float(curve.at(np.array([horizon]))[0])
    if not 0 < alive < 1:
        return 1.0 - alive, float("nan"), float("nan")
    reached = int(np.searchsorted(curve.times, horizon, side="right")) - 1
    low, high = (float(end[reached]) for end in curve.interval())
    return 1.0 - alive, 1.0 - high, 1.0 - low


def _inside(chances: Floats) -> bool:
    """Whether log(-log) and logit are finite."""
    return bool(((chances > 0) & (chances < 1)).all())


def _one_class(n: int, positives: int) -> str | None:
    if 0 < positives < n:
        return None
    return "nobody" if not n else "no positive" if not positives else "no negative"

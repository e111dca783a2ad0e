"""Do predicted probabilities mean what they say: slopes, curves and D-calibration, pure functions of arrays.

Wherever a quantity is undefined (one class, no finite maximum of the likelihood, too short a follow-up) it
is NaN, with its reason.
"""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportMissingTypeStubs=false

from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import chdtrc, ndtri

from prime.evaluation.metrics import Score
from prime.evaluation.survival_metrics import bool_vector, finite_vector, kaplan_meier, survival_arrays

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
_Derivatives = tuple[float, Floats, Floats]  # value, gradient (p,), information (p, p)

_Z = float(ndtri(0.975))
_STEPS = 200
_DECREMENT = 1e-20  # squared distance to the maximum, in standard errors, at which Newton stops
_ZERO_OR_ONE = "a predicted probability of exactly 0 or 1"
_EQUAL = "all predicted probabilities are equal"
_NO_MAXIMUM = "the likelihood has no finite maximum"


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
class DCalibration:
    """A chi-square test that the predicted survival at each patient's own time is uniform.

    Attributes:
        statistic: Pearson's, on bins - 1 degrees of freedom.
        p_value: small where the prediction is not calibrated.
        n: patients.
        observed: (bins,) expected patients in each bin of predicted survival; they sum to n.
        reason: why the statistic is NaN; None where it is defined.
    """

    statistic: float
    p_value: float
    n: int
    observed: Floats
    reason: str | None = None


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
    chances = _probabilities(probability, len(labels), "probability")
    n, positives = len(labels), int(labels.sum())

    def score(value: float, reason: str | None) -> Score:
        return Score(float("nan") if reason else value, n, positives, reason)

    reason = _one_class(n, positives) or (_ZERO_OR_ONE if not _inside(chances) else None)
    if reason:
        return Calibration(*(score(0.0, reason) for _ in range(3)))
    logit = np.log(chances) - np.log1p(-chances)
    constant = score(_shift(logit, positives), None)
    reason = (
        _EQUAL
        if np.ptp(logit) == 0
        else "a threshold separates the classes"
        if _apart(logit, labels)
        else None
    )
    if reason:
        return Calibration(score(0.0, reason), score(0.0, reason), constant)
    centre, scale = logit.mean(), logit.std()
    design = np.column_stack([np.ones(n), (logit - centre) / scale])
    found = _maximise(_logistic(design, labels), 2)
    if found is None:
        return Calibration(score(0.0, _NO_MAXIMUM), score(0.0, _NO_MAXIMUM), constant)
    slope = float(found[1] / scale)
    return Calibration(score(slope, None), score(float(found[0] - slope * centre), None), constant)


def survival_calibration_slope(
    time: NDArray[np.floating],
    event: NDArray[np.bool_],
    survival: NDArray[np.floating],
    horizon: float | None = None,
) -> Score:
    """The Cox coefficient of log(-log S(horizon | x)): 1 is ideal, below 1 predictions are too extreme.

    Efron's ties. Sources: van Houwelingen, "Validation, calibration, revision and combination of prognostic
    survival models", Stat. Med. 2000; Efron, JASA 1977.

    Args:
        time: (n,) in any one unit.
        event: (n,) bool, True = event observed.
        survival: (n,), the predicted S at the horizon, within [0, 1].
        horizon: in the unit of time; follow-up beyond it is cut off there. None uses all follow-up.

    Returns:
        The score, `events` counting the events used; NaN with a reason for fewer than two patients, no
        events, an S of exactly 0 or 1, equal predictions wherever they would be compared, or a likelihood
        that rises for ever (the event is always the patient at highest, or lowest, predicted risk).

    Raises:
        ValueError: shapes that disagree, event not bool, values that are not finite or outside [0, 1].
    """
    times, events = survival_arrays(time, event)
    chances = _probabilities(survival, len(times), "survival")
    if horizon is not None:
        times, events = np.minimum(times, horizon), events & (times <= horizon)
    n, used = len(times), int(events.sum())
    if n < 2 or not used or not _inside(chances):
        reason = "fewer than two patients" if n < 2 else _ZERO_OR_ONE if used else "no events"
        return Score(float("nan"), n, used, reason)
    covariate = np.log(-np.log(chances))
    risk_sets = _risk_sets(times, events, covariate)
    reason = _no_slope(risk_sets)
    scale = float(covariate.std())
    found = None if reason else _maximise(_efron(risk_sets, float(covariate.mean()), scale), 1)
    if found is None:
        return Score(float("nan"), n, used, reason or _NO_MAXIMUM)
    return Score(float(found[0]) / scale, n, used)


def d_calibration(
    time: NDArray[np.floating],
    event: NDArray[np.bool_],
    survival_at_own_time: NDArray[np.floating],
    bins: int = 10,
) -> DCalibration:
    """Is the predicted survival at the own time uniform over [0, 1], as it is for the true model?

    A patient with an event counts in the bin of the predicted S(time). Of one censored at S(time) = c the
    event would come at some S uniform on [0, c): bins below c take their width / c, the bin holding c the
    rest. Bins are [k / bins, (k + 1) / bins), the last one closed. The test is conservative under heavy
    censoring, and rough with fewer than about five patients a bin. Source: Haider et al., "Effective ways
    to build and evaluate individual survival distributions", JMLR 2020.

    Args:
        time: (n,), checked only; it fixes what survival_at_own_time means.
        event: (n,) bool, True = event observed.
        survival_at_own_time: (n,), within [0, 1]; see `survival_metrics.own_time_survival`.
        bins: at least 2.

    Raises:
        ValueError: shapes that disagree, event not bool, a survival outside [0, 1], or bins < 2.
    """
    times, events = survival_arrays(time, event)
    own = _probabilities(survival_at_own_time, len(times), "survival_at_own_time")
    if bins < 2:
        raise ValueError(f"bins must be at least 2, found {bins}")
    n, edges = len(times), np.arange(bins + 1) / bins
    holding = np.clip(np.searchsorted(edges, own, side="right") - 1, 0, bins - 1)
    observed = np.bincount(holding[events], minlength=bins).astype(np.float64)
    for k in range(bins):
        ends = own[~events & (holding == k)]
        within = np.divide(ends - edges[k], ends, out=np.ones(len(ends)), where=ends > 0)
        observed[k] += within.sum()
        if k:
            observed[:k] += (1.0 / bins / ends).sum()
    if not n:
        return DCalibration(float("nan"), float("nan"), 0, observed, "nobody")
    expected = n / bins
    statistic = float(((observed - expected) ** 2).sum() / expected)
    return DCalibration(statistic, float(chdtrc(bins - 1, statistic)), n, observed)


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
    chances = _probabilities(probability, len(labels), "probability")
    return _curve(chances, groups, lambda rows: (*_share(labels[rows]), int(labels[rows].sum())))


def survival_calibration_curve(
    time: NDArray[np.floating],
    event: NDArray[np.bool_],
    probability: NDArray[np.floating],
    horizon: float,
    groups: int = 10,
) -> CalibrationCurve:
    """Predicted and Kaplan-Meier risk of an event by the horizon, in groups by quantiles of the prediction.

    The interval is the log(-log) one with Greenwood's variance, undefined where the observed risk is 0 or
    1. The observed risk is undefined in a group whose follow-up ends with a censoring before the horizon.

    Args:
        time: (n,) in any one unit. event: (n,) bool, True = event observed.
        probability: (n,), predicted risk of an event by the horizon, 1 - S(horizon), within [0, 1].
        horizon: in the unit of time. groups: at least 1.

    Raises:
        ValueError: shapes that disagree, event not bool, values not finite or outside [0, 1], groups < 1.
    """
    times, events = survival_arrays(time, event)
    chances = _probabilities(probability, len(times), "probability")
    by_then = events & (times <= horizon)

    def observe(rows: Flags) -> tuple[float, float, float, int]:
        return (*_kaplan_meier_risk(times[rows], events[rows], horizon), int(by_then[rows].sum()))

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


def _kaplan_meier_risk(times: Floats, events: Flags, horizon: float) -> tuple[float, float, float]:
    curve = kaplan_meier(times, events)
    alive = float(curve.at(np.array([horizon]))[0])
    if not 0 < alive < 1:
        return 1.0 - alive, float("nan"), float("nan")
    reached = int(np.searchsorted(curve.times, horizon, side="right")) - 1
    width = _Z * np.sqrt(curve.variance[reached]) / np.log(alive)  # negative
    return 1.0 - alive, float(1.0 - alive ** np.exp(width)), float(1.0 - alive ** np.exp(-width))


def _probabilities(values: NDArray[np.floating], n: int, name: str) -> Floats:
    array = finite_vector(values, n, name)
    if not ((array >= 0) & (array <= 1)).all():
        raise ValueError(f"{name} must lie within [0, 1]")
    return array


def _inside(chances: Floats) -> bool:
    """Whether log(-log) and logit are finite."""
    return bool(((chances > 0) & (chances < 1)).all())


def _one_class(n: int, positives: int) -> str | None:
    if 0 < positives < n:
        return None
    return "nobody" if not n else "no positive" if not positives else "no negative"


def _apart(logit: Floats, labels: Flags) -> bool:
    """Whether a threshold separates the classes, ties at the threshold allowed."""
    high, low = logit[labels], logit[~labels]
    return bool(high.min() >= low.max() or low.min() >= high.max())


def _shift(logit: Floats, positives: int) -> float:
    """The constant that, added to each logit, makes the mean probability the share of positives."""
    goal = np.log(positives) - np.log(len(logit) - positives)
    low, high = goal - logit.max(), goal - logit.min()
    if low == high:
        return float(low)

    def excess(constant: float) -> float:
        return float(np.exp(-np.logaddexp(0.0, -logit - constant)).sum()) - positives

    return cast(float, brentq(excess, low - 1.0, high + 1.0, xtol=1e-12))


def _logistic(design: Floats, labels: Flags) -> Callable[[Floats], _Derivatives]:
    """The log-likelihood of a logistic regression, as a function of its coefficients."""

    def derivatives(beta: Floats) -> _Derivatives:
        line = design @ beta
        signed = np.where(labels, line, -line)
        chance = np.exp(-np.logaddexp(0.0, -line))
        spread = np.exp(-np.logaddexp(0.0, -line) - np.logaddexp(0.0, line))
        information = design.T @ (design * spread[:, None])
        return float(-np.logaddexp(0.0, -signed).sum()), design.T @ (labels - chance), information

    return derivatives


@dataclass(frozen=True)
class _RiskSets:
    """Patients in descending order of time; per event (e,), by descending time.

    `x` (n,) covariate; `case` (e,) rows of the events; `last` (e,) the last row still at risk; `first` (e,)
    the first event tied with this one and `end` (e,) one past the last, as places in `case`; `done` (e,)
    Efron's share of the tied events taken out of the risk set.
    """

    x: Floats
    case: NDArray[np.int64]
    last: NDArray[np.int64]
    first: NDArray[np.int64]
    end: NDArray[np.int64]
    done: Floats


def _risk_sets(time: Floats, event: Flags, x: Floats) -> _RiskSets:
    order = np.argsort(-time, kind="stable")
    earlier, case = -time[order], np.flatnonzero(event[order])
    tied = earlier[case]
    first, end = (np.searchsorted(tied, tied, side=side) for side in ("left", "right"))
    done = (np.arange(len(case)) - first) / (end - first)
    return _RiskSets(x[order], case, np.searchsorted(earlier, tied, side="right") - 1, first, end, done)


def _no_slope(sets: _RiskSets) -> str | None:
    """Why the partial likelihood has no single finite maximum; None where it has one."""
    highest = np.maximum.accumulate(sets.x)[sets.last]
    lowest = np.minimum.accumulate(sets.x)[sets.last]
    if (highest == lowest).all():
        return "nobody at risk together with an event has another prediction"
    own = sets.x[sets.case]
    return _NO_MAXIMUM if (own == highest).all() or (own == lowest).all() else None


def _efron(sets: _RiskSets, centre: float, scale: float) -> Callable[[Floats], _Derivatives]:
    """Efron's log partial likelihood in the coefficient of (x - centre) / scale."""
    x = (sets.x - centre) / scale

    def sums(weight: Floats) -> Floats:
        """(e,) sum over the risk set, less Efron's share of the sum over the tied events."""
        tied = np.concatenate([[0.0], np.cumsum(weight[sets.case])])
        return np.cumsum(weight)[sets.last] - sets.done * (tied[sets.end] - tied[sets.first])

    def derivatives(beta: Floats) -> _Derivatives:
        line = beta[0] * x
        top = line.max()
        hazard = np.exp(line - top)
        total = sums(hazard)
        mean, square = sums(hazard * x) / total, sums(hazard * x**2) / total
        value = float((line[sets.case] - top - np.log(total)).sum())
        gradient = float((x[sets.case] - mean).sum())
        return value, np.array([gradient]), np.array([[float((square - mean**2).sum())]])

    return derivatives


def _maximise(function: Callable[[Floats], _Derivatives], size: int) -> Floats | None:
    """The maximum of a concave function by Newton's method with halved steps; None if none is reached."""
    beta = np.zeros(size)
    value, gradient, information = function(beta)
    for _ in range(_STEPS):
        try:
            step = np.linalg.solve(information, gradient)
        except np.linalg.LinAlgError:
            return None
        if not np.isfinite(step).all():
            return None
        if float(gradient @ step) < _DECREMENT:
            return beta + step
        found = function(beta + step)
        while found[0] < value - 1e-12 * (1.0 + abs(value)):
            step = step / 2
            found = function(beta + step)
        beta, (value, gradient, information) = beta + step, found
    return None

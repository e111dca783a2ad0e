"""Unpenalised logistic and Cox regression on one covariate, by Newton's method: pure functions of arrays.

Where the likelihood has no finite maximum they say so; no penalty hides it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq

from prime.arrays import Flags, Floats

NO_MAXIMUM = "the likelihood has no finite maximum"

_Derivatives = tuple[float, Floats, Floats]  # value, gradient (p,), information (p, p)

_STEPS = 200
_DECREMENT = 1e-20  # squared distance to the maximum, in standard errors, at which Newton stops


def logistic_regression(label: Flags, x: Floats) -> tuple[float, float] | None:
    """Intercept and slope of the logistic regression of the label on x; None where no maximum is reached.

    Source: Cox, "The regression analysis of binary sequences", JRSS B 1958.

    Args:
        label: (n,), both classes present.
        x: (n,), not all equal.
    """
    centre, scale = x.mean(), x.std()
    design = np.column_stack([np.ones(len(x)), (x - centre) / scale])
    found = _maximise(_logistic(design, label), 2)
    if found is None:
        return None
    slope = float(found[1] / scale)
    return float(found[0] - slope * centre), slope


def logistic_constant(logit: Floats, positives: int) -> float:
    """The constant that, added to each logit, makes the mean probability the share of positives."""
    goal = np.log(positives) - np.log(len(logit) - positives)
    low, high = goal - logit.max(), goal - logit.min()
    if low == high:
        return float(low)

    def excess(constant: float) -> float:
        return float(np.exp(-np.logaddexp(0.0, -logit - constant)).sum()) - positives

    return cast(float, brentq(excess, low - 1.0, high + 1.0, xtol=1e-12))


def separated(label: Flags, x: Floats) -> bool:
    """Whether a threshold separates the classes, ties at the threshold allowed."""
    high, low = x[label], x[~label]
    return bool(high.min() >= low.max() or low.min() >= high.max())


def cox_coefficient(time: Floats, event: Flags, x: Floats) -> tuple[float, str | None]:
    """The coefficient of x in Cox's regression with Efron's ties; or NaN and the reason there is none.

    Sources: Cox, "Regression models and life-tables", JRSS B 1972; Efron, JASA 1977.

    Args:
        time, event, x: (n,), with at least one event.
    """
    sets = _risk_sets(time, event, x)
    reason = _no_slope(sets)
    scale = float(x.std())
    found = None if reason else _maximise(_efron(sets, float(x.mean()), scale), 1)
    if found is None:
        return float("nan"), reason or NO_MAXIMUM
    return float(found[0]) / scale, None


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
    return NO_MAXIMUM if (own == highest).all() or (own == lowest).all() else None


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

"""Ridge Cox regression by Newton's method, and Breslow's baseline hazard: pure functions of arrays.

The penalty counts against the summed log partial likelihood: the estimate maximises
l(b) - penalty / 2 * |b|^2 on the features as they are given. This is scikit-survival's
`CoxPHSurvivalAnalysis(alpha=penalty)`. lifelines' `CoxPHFitter(penalizer=q, l1_ratio=0)` maximises
l(b) / n - q / 2 * |b|^2 on features that it first divides by their standard deviation (n - 1 in the
denominator): the same as penalty = n * q on features divided so.

Sources: Cox, "Regression models and life-tables", JRSS B 1972; Efron, JASA 1977, and Breslow, Biometrics
1974, for tied events; Verweij and van Houwelingen, Statistics in Medicine 1994, for the penalty.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from prime.arrays import Flags, Floats
from prime.methods.statistics.newton import maximise

Ties = Literal["efron", "breslow"]

_LARGEST = 700.0  # log hazard ratio whose exponential is still finite


@dataclass(frozen=True)
class StepHazard:
    """A cumulative hazard that steps at events: times (k,) increasing, hazard (k,) from each time on."""

    times: Floats
    hazard: Floats

    def at(self, times: Floats) -> Floats:
        """The cumulative hazard up to and including each time, same shape; constant beyond the last event."""
        steps = np.concatenate([[0.0], self.hazard])
        return steps[np.searchsorted(self.times, times, side="right")]

    def survival(self, score: Floats, times: Floats) -> Floats:
        """exp(-H(t) exp(score)): score (n,) log hazard ratios, times (q,). Returns (n, q)."""
        return np.exp(-self.at(times) * np.exp(np.minimum(score, _LARGEST))[:, None])


@dataclass(frozen=True)
class CoxModel:
    """A fitted model: weight (p,) and the features' means `centre` (p,), where `baseline` holds."""

    weight: Floats
    centre: Floats
    baseline: StepHazard

    def score(self, x: Floats) -> Floats:
        """Log hazard ratio to the average training patient: x (n, p) to (n,)."""
        return (x - self.centre) @ self.weight

    def survival(self, x: Floats, times: Floats) -> Floats:
        """Survival of x (n, p) at times (q,): (n, q)."""
        return self.baseline.survival(self.score(x), times)


def fit_cox(x: Floats, time: Floats, event: Flags, penalty: float, ties: Ties = "efron") -> CoxModel:
    """Fit the ridge Cox model.

    Args:
        x: (n, p), finite; a constant feature gets weight 0.
        time: (n,).
        event: (n,) bool, True where the event was observed; at least one.
        penalty: above zero, so that there is one maximum, whatever n and p are.
        ties: how tied events count in the partial likelihood.

    Raises:
        ValueError: no event, a penalty that is not above zero, or features that are not finite.
    """
    if not event.any():
        raise ValueError("a Cox model needs an event")
    if not penalty > 0:
        raise ValueError(f"penalty must be above zero, found {penalty}")
    if not np.isfinite(x).all():
        raise ValueError("features must be finite")
    centre = x.mean(axis=0)
    sets = _risk_sets(x - centre, time, event, ties)
    weight = maximise(
        lambda beta: sets.value(beta, penalty), lambda beta: sets.derivatives(beta, penalty), x.shape[1]
    )
    return CoxModel(weight, centre, breslow_hazard((x - centre) @ weight, time, event))


def log_partial_likelihood(score: Floats, time: Floats, event: Flags, ties: Ties = "efron") -> float:
    """The log partial likelihood of log hazard ratios (n,), without a penalty."""
    return _risk_sets(score[:, None], time, event, ties).value(np.ones(1), 0.0)


def breslow_hazard(score: Floats, time: Floats, event: Flags) -> StepHazard:
    """Breslow's cumulative baseline hazard: at each event time, events over the sum of hazard ratios at risk.

    score (n,) log hazard ratios; time (n,); event (n,) bool. Where all scores are 0 it is Nelson and Aalen's.
    """
    times, count = np.unique(time[event], return_counts=True)
    order = np.argsort(-time, kind="stable")
    top = float(score.max())
    at_risk = np.cumsum(np.exp(score[order] - top))[_last_at_risk(time[order], times)]
    return StepHazard(times, np.cumsum(count / at_risk) * np.exp(-top))


def _last_at_risk(descending: Floats, times: Floats) -> NDArray[np.int64]:
    """The last row, times falling, that is still at risk at each time."""
    return np.searchsorted(-descending, -times, side="right") - 1


@dataclass(frozen=True)
class _RiskSets:
    """Patients in falling order of time, n of them; E events among them.

    Attributes:
        x: (n, p) features.
        case: (E,) rows of the events.
        last: (E,) the last row still at risk at each event.
        first, end: (E,) the events tied with this one are numbers first to end - 1 of `case`.
        done: (E,) Efron's share of the tied events that is taken out of the risk set; 0 for Breslow.
    """

    x: Floats
    case: NDArray[np.int64]
    last: NDArray[np.int64]
    first: NDArray[np.int64]
    end: NDArray[np.int64]
    done: Floats

    def sums(self, values: Floats) -> Floats:
        """Sums over the risk set of each event, less Efron's share: (n, ...) to (E, ...)."""
        tied = np.concatenate([np.zeros_like(values[:1]), np.cumsum(values[self.case], axis=0)])
        share = self.done.reshape(-1, *[1] * (values.ndim - 1))
        return np.cumsum(values, axis=0)[self.last] - share * (tied[self.end] - tied[self.first])

    def back(self, values: Floats) -> Floats:
        """The transpose of `sums`: what each patient contributes to all events, (E,) to (n,)."""
        own = np.bincount(self.last, weights=values, minlength=len(self.x))
        total = np.cumsum(own[::-1], dtype=np.float64)[::-1].copy()
        taken = np.bincount(self.first, weights=values * self.done, minlength=len(self.case))
        total[self.case] -= taken[self.first]
        return total

    def value(self, weight: Floats, penalty: float) -> float:
        """The penalised log partial likelihood."""
        line = self.x @ weight
        top = float(line.max())
        total = self.sums(np.exp(line - top))
        with np.errstate(divide="ignore", invalid="ignore"):
            terms = line[self.case] - top - np.log(total)
        found = float(terms.sum()) - 0.5 * penalty * float(weight @ weight)
        return found if np.isfinite(found) else -np.inf

    def derivatives(self, weight: Floats, penalty: float) -> tuple[Floats, Floats]:
        """Gradient (p,) and information (p, p) of the penalised log partial likelihood."""
        line = self.x @ weight
        ratio = np.exp(line - line.max())
        total = self.sums(ratio)
        mean = self.sums(ratio[:, None] * self.x) / total[:, None]  # (E, p)
        share = ratio * self.back(1.0 / total)
        gradient = self.x[self.case].sum(axis=0) - share @ self.x - penalty * weight
        information = self.x.T @ (share[:, None] * self.x) - mean.T @ mean
        return gradient, information + penalty * np.eye(len(weight))


def _risk_sets(x: Floats, time: Floats, event: Flags, ties: Ties) -> _RiskSets:
    order = np.argsort(-time, kind="stable")
    falling, case = time[order], np.flatnonzero(event[order])
    tied = -falling[case]
    first, end = (np.searchsorted(tied, tied, side=side) for side in ("left", "right"))
    done = (np.arange(len(case)) - first) / (end - first)
    last = _last_at_risk(falling, falling[case])
    return _RiskSets(x[order], case, last, first, end, done if ties == "efron" else np.zeros(len(case)))

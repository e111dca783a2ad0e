"""Cox regression with Efron's ties, and Breslow's baseline hazard: pure functions of arrays.

Patients are compared only within their stratum: each has a baseline hazard of its own. With `entry`, patients
came under observation late (left truncation): each is at risk in (entry, time].

A penalty counts against the summed log partial likelihood: the estimate maximises l(w) - penalty / 2 * |w|^2
on the features as they are given. This is scikit-survival's `CoxPHSurvivalAnalysis(alpha=penalty)`.
lifelines' `CoxPHFitter(penalizer=q, l1_ratio=0)` maximises l(w) / n - q / 2 * |w|^2 on features that it first
divides by their standard deviation (n - 1 in the denominator): the same as penalty = n * q on such features.

Sources: Cox, "Regression models and life-tables", JRSS B 1972; Efron, JASA 1977, for tied events; Breslow,
Biometrics 1974, for the baseline; Verweij and van Houwelingen, Statistics in Medicine 1994, for the penalty.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from prime.arrays import Flags, Floats
from prime.evaluation.newton import Derivatives, finite_maximum, maximise

Lack = Literal["flat", "rising", "falling", "not reached"]


@dataclass(frozen=True)
class Coefficient:
    """The log hazard ratio of one covariate, by its unit.

    Attributes:
        value: NaN where there is none.
        error: its standard error, from the information at the maximum; NaN where there is none.
        lack: why there is none. `flat`: nobody at risk together with an event has another value, so the
            likelihood is constant. `rising`: no event had a lower value than anybody at risk with it, so the
            likelihood rises for ever with the coefficient; `falling`: no event a higher one, so it falls for
            ever. `not reached`: there is a maximum, but Newton's method did not come to it.
    """

    value: float
    error: float
    lack: Lack | None = None


@dataclass(frozen=True)
class PartialLikelihood:
    """The log partial likelihood as a function of weights (p,), less penalty / 2 * |weights|^2."""

    strata: tuple["_RiskSets", ...]
    penalty: float

    def __call__(self, weight: Floats) -> Derivatives:
        """Value, gradient and information at these weights (p,)."""
        parts = [sets.derivatives(weight) for sets in self.strata]
        values, gradients, informations = zip(*parts, strict=True)
        value = sum(values) - 0.5 * self.penalty * float(weight @ weight)
        return Derivatives(
            value if np.isfinite(value) else -np.inf,
            np.sum(gradients, axis=0) - self.penalty * weight,
            np.sum(informations, axis=0) + self.penalty * np.eye(len(weight)),
        )

    def lack(self) -> Lack | None:
        """Why the likelihood of one feature, unpenalised, has no single finite maximum; None if it has."""
        own, highest, lowest = np.concatenate([sets.extremes() for sets in self.strata], axis=1)
        if (highest == lowest).all():
            return "flat"
        return "rising" if (own == highest).all() else "falling" if (own == lowest).all() else None


def partial_likelihood(
    x: Floats,
    time: Floats,
    event: Flags,
    penalty: float = 0.0,
    strata: NDArray[np.generic] | None = None,
    entry: Floats | None = None,
) -> PartialLikelihood:
    """The log partial likelihood of log hazard ratios x @ weights.

    Args:
        x: (n, p) features.
        time, event: (n,), with at least one event.
        penalty: zero or more.
        strata: (n,) of any type that compares equal; None for one stratum.
        entry: (n,) before the time; None where all are at risk from the beginning.
    """
    labels = np.zeros(len(time)) if strata is None else strata
    late = np.full(len(time), -np.inf) if entry is None else entry
    parts = (labels == label for label in np.unique(labels[event]))
    sets = tuple(_risk_sets(x[rows], time[rows], event[rows], late[rows]) for rows in parts)
    return PartialLikelihood(sets, penalty)


def fit_cox(x: Floats, time: Floats, event: Flags, penalty: float, entry: Floats | None = None) -> Floats:
    """Weights (p,) of the ridge Cox regression.

    Args:
        x: (n, p), finite; a constant feature gets weight 0.
        time: (n,).
        event: (n,) bool, True where the event was observed; at least one.
        penalty: above zero, so that there is one maximum, whatever n and p are.
        entry: (n,) before the time; None where all are at risk from the beginning.

    Raises:
        ValueError: no event, a penalty that is not above zero, or features that are not finite.
    """
    if not event.any():
        raise ValueError("a Cox model needs an event")
    if not penalty > 0:
        raise ValueError(f"penalty must be above zero, found {penalty}")
    if not np.isfinite(x).all():
        raise ValueError("features must be finite")
    likelihood = partial_likelihood(x - x.mean(axis=0), time, event, penalty, entry=entry)
    return maximise(likelihood, x.shape[1]).point


def cox_coefficient(
    x: Floats,
    time: Floats,
    event: Flags,
    strata: NDArray[np.generic] | None = None,
    entry: Floats | None = None,
) -> Coefficient:
    """The coefficient of one covariate x (n,) without a penalty, if the likelihood has a finite maximum.

    time (n,); event (n,) bool, with at least one event; strata (n,) of any type that compares equal; entry
    (n,) before the time.
    """
    lack = partial_likelihood(x[:, None], time, event, 0.0, strata, entry).lack()
    if lack:
        return Coefficient(float("nan"), float("nan"), lack)
    scale = float(x.std())
    likelihood = partial_likelihood((x[:, None] - x.mean()) / scale, time, event, 0.0, strata, entry)
    found = finite_maximum(likelihood, 1)
    if found is None:
        return Coefficient(float("nan"), float("nan"), "not reached")
    information = float(likelihood(found).information[0, 0])
    return Coefficient(float(found[0]) / scale, float(1.0 / np.sqrt(information)) / scale)


def breslow_hazard(
    score: Floats, time: Floats, event: Flags, at: Floats, entry: Floats | None = None
) -> Floats:
    """Breslow's cumulative baseline hazard up to and including the times `at` (q,): (q,).

    It steps at each event time by the events over the sum of hazard ratios at risk, and stays constant beyond
    the last event. Where all scores are 0 it is Nelson and Aalen's. score (n,) log hazard ratios; time (n,);
    event (n,) bool; entry (n,) before the time.
    """
    times, count = np.unique(time[event], return_counts=True)
    order = np.argsort(-time, kind="stable")
    top = float(score.max())
    ratio = np.exp(score - top)
    at_risk = np.cumsum(ratio[order])[_last_at_risk(time[order], times)]
    if entry is not None:
        falling = np.argsort(-entry, kind="stable")
        outside = np.append(0.0, np.cumsum(ratio[falling]))
        at_risk = at_risk - outside[_not_entered(entry[falling], times)]
    steps = np.concatenate([[0.0], np.cumsum(count / at_risk) * np.exp(-top)])
    return steps[np.searchsorted(times, at, side="right")]


def _last_at_risk(descending: Floats, times: Floats) -> NDArray[np.int64]:
    """The last row, times falling, that is still at risk at each time."""
    return np.searchsorted(-descending, -times, side="right") - 1


def _not_entered(descending: Floats, times: Floats) -> NDArray[np.int64]:
    """How many, entries falling, are not yet at risk at each time: entry >= time."""
    return np.searchsorted(-descending, -times, side="right")


@dataclass(frozen=True)
class _RiskSets:
    """The n patients of a stratum in falling order of time; E events among them.

    Attributes:
        x: (n, p) features.
        case: (E,) rows of the events.
        last: (E,) the last row still at risk at each event.
        first, end: (E,) the events tied with this one are numbers first to end - 1 of `case`.
        done: (E,) Efron's share of the tied events that is taken out of the risk set.
        by_entry: (n,) rows in falling order of entry.
        outside: (E,) how many of them have not entered by each event.
    """

    x: Floats
    case: NDArray[np.int64]
    last: NDArray[np.int64]
    first: NDArray[np.int64]
    end: NDArray[np.int64]
    done: Floats
    by_entry: NDArray[np.int64]
    outside: NDArray[np.int64]

    def sums(self, values: Floats) -> Floats:
        """Sums over the risk set of each event, less Efron's share: (n, ...) to (E, ...)."""
        tied = np.concatenate([np.zeros_like(values[:1]), np.cumsum(values[self.case], axis=0)])
        share = self.done.reshape(-1, *[1] * (values.ndim - 1))
        found = np.cumsum(values, axis=0)[self.last] - share * (tied[self.end] - tied[self.first])
        if not self.outside.any():
            return found
        late = np.concatenate([np.zeros_like(values[:1]), np.cumsum(values[self.by_entry], axis=0)])
        return found - late[self.outside]

    def back(self, values: Floats) -> Floats:
        """The transpose of `sums`: what each patient contributes to all events, (E,) to (n,)."""
        own = np.bincount(self.last, weights=values, minlength=len(self.x))
        total = np.cumsum(own[::-1], dtype=np.float64)[::-1].copy()
        taken = np.bincount(self.first, weights=values * self.done, minlength=len(self.case))
        total[self.case] -= taken[self.first]
        if self.outside.any():
            late = np.bincount(self.outside, weights=values, minlength=len(self.x) + 1)
            total[self.by_entry] -= np.cumsum(late[::-1], dtype=np.float64)[::-1][1:]
        return total

    @np.errstate(divide="ignore", invalid="ignore")
    def derivatives(self, weight: Floats) -> Derivatives:
        """The log partial likelihood of the stratum; its value is not finite where the hazards underflow."""
        line = self.x @ weight
        top = line.max()
        ratio = np.exp(line - top)
        total = self.sums(ratio)
        value = (line[self.case] - top - np.log(total)).sum()
        mean = self.sums(ratio[:, None] * self.x) / total[:, None]  # (E, p)
        share = ratio * self.back(1.0 / total)
        gradient = self.x[self.case].sum(axis=0) - share @ self.x
        information = self.x.T @ (share[:, None] * self.x) - mean.T @ mean
        return Derivatives(float(value), gradient, information)

    def extremes(self) -> Floats:
        """Of the only feature: each event's own value, and the highest and lowest at risk with it, (3, E)."""
        x = self.x[:, 0]
        if self.outside.any():
            return self._extremes_late(x)
        highest, lowest = np.maximum.accumulate(x)[self.last], np.minimum.accumulate(x)[self.last]
        return np.stack([x[self.case], highest, lowest])

    def _extremes_late(self, x: Floats) -> Floats:
        """The same with delayed entry, event by event."""
        place = np.empty(len(x), dtype=np.int64)
        place[self.by_entry] = np.arange(len(x))
        found = np.empty((3, len(self.case)))
        for k, (case, last, outside) in enumerate(zip(self.case, self.last, self.outside, strict=True)):
            at_risk = x[: last + 1][place[: last + 1] >= outside]
            found[:, k] = x[case], at_risk.max(), at_risk.min()
        return found


def _risk_sets(x: Floats, time: Floats, event: Flags, entry: Floats) -> _RiskSets:
    order = np.argsort(-time, kind="stable")
    falling, case = time[order], np.flatnonzero(event[order])
    tied = -falling[case]
    first, end = (np.searchsorted(tied, tied, side=side) for side in ("left", "right"))
    done = (np.arange(len(case)) - first) / (end - first)
    by_entry = np.argsort(-entry[order], kind="stable")
    outside = _not_entered(entry[order][by_entry], falling[case])
    return _RiskSets(
        x[order], case, _last_at_risk(falling, falling[case]), first, end, done, by_entry, outside
    )

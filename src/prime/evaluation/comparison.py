"""Is one method better than another on the same patients: the paired bootstrap.

Metrics here are such that higher is better (Harrell's C, the area under the ROC curve). Where a figure is
undefined it is NaN with the reason. Tests over folds are in `fold_tests`, ranks of several methods in
`ranking`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from prime.arrays import Floats
from prime.evaluation.argument_checks import bool_vector, check_level

Metric = Literal["concordance", "auroc"]

_NAN = float("nan")
_CELLS = 1 << 23  # weights held at once; bounds the memory for many replicates


@dataclass(frozen=True)
class CohortPredictions:
    """A method's test predictions for the patients of one cohort, one row a patient.

    Attributes:
        fold: (n,) the test fold of each patient, of any type that compares equal.
        event: (n,) bool, True = event observed; for AUROC the label, True = positive.
        risk: (n,) or (n, seeds), higher = worse (more likely positive).
        time: (n,) for the concordance, in any one unit; not used for AUROC.
        entry: (n,) delayed entry: an event is compared with who had entered before it.
    """

    fold: NDArray[np.generic]
    event: NDArray[np.bool_]
    risk: NDArray[np.floating]
    time: NDArray[np.floating] | None = None
    entry: NDArray[np.floating] | None = None


@dataclass(frozen=True)
class Draws:
    """A method's metric in each cohort, on the patients themselves and on draws of them.

    Attributes:
        observed: (cohorts,), NaN where a cohort has no comparable pair.
        drawn: (cohorts, replicates), NaN where a draw has none. With one seed, methods on the same patients
            are given the same draws.
    """

    observed: Floats
    drawn: Floats


@dataclass(frozen=True)
class Difference:
    """Method a less method b, with a percentile bootstrap interval.

    Attributes:
        value: the difference on the patients themselves, above 0 where a is better; NaN where undefined.
        low, high: ends of the interval.
        p_value: two-sided: twice the smaller share of replicates on either side of 0, (count + 1) /
            (replicates + 1), at most 1. It is 1 where the methods are identical.
        replicates: replicates that interval and p value rest on.
        undefined: replicates left out because a cohort had no comparable pair.
        reason: why the value is NaN; None where it is defined.
    """

    value: float
    low: float
    high: float
    p_value: float
    replicates: int
    undefined: int
    reason: str | None = None


@dataclass(frozen=True)
class _FoldPairs:
    """One fold: pairs (case, other) that count, and the credit that the method earns on them.

    comparable: (cases, n); credit: (cases, n) mean over seeds, 1 concordant, 0.5 tied, 0 else. The number of
    comparable pairs is the same for every seed, so the mean over seeds may be taken first.
    """

    cases: NDArray[np.int64]
    comparable: Floats
    credit: Floats

    def sums(self, weights: Floats) -> tuple[Floats, Floats]:
        """(replicates,) comparable pairs, and credit on them, for integer weights (replicates, n)."""
        return self._sum(self.comparable, weights), self._sum(self.credit, weights)

    def _sum(self, matrix: Floats, weights: Floats) -> Floats:
        return ((weights @ matrix.T) * weights[:, self.cases]).sum(axis=1)


def bootstrap_draws(
    metric: Metric, cohorts: Sequence[CohortPredictions], replicates: int = 1000, seed: int = 0
) -> Draws:
    """The metric of each cohort, pooled within folds, on patients drawn with replacement.

    Patients are drawn within each fold. A draw is a vector w of integer weights; with P the comparable pairs
    of a fold and C the credit on them, a cohort's value is the sum over folds of w'Cw divided by that of
    w'Pw: a fold counts by its pairs, and one that has none in a draw adds nothing to it. Source: Efron &
    Tibshirani, "An Introduction to the Bootstrap", 1993.

    Args:
        metric: "concordance" (Harrell's C, as `metrics.concordance`) or "auroc" (as `metrics.auroc`).
        cohorts: the cohorts.
        replicates: draws, at least 1.
        seed: of the draws; the same seed gives the same draws whatever the risks are.

    Raises:
        ValueError: an unknown metric, shapes that disagree, event not bool, no time for the concordance, a
            time or risk that is not finite, or replicates < 1.
    """
    if metric not in ("concordance", "auroc"):
        raise ValueError(f"metric must be 'concordance' or 'auroc', found {metric!r}")
    if replicates < 1:
        raise ValueError(f"replicates must be positive, found {replicates}")
    pairs = [_fold_pairs(metric, cohort) for cohort in cohorts]
    generator = np.random.default_rng(seed)
    observed = np.array([_pooled(folds, None, 1)[0] for folds in pairs])
    drawn = np.array([_pooled(folds, generator, replicates) for folds in pairs])
    return Draws(observed, drawn.reshape(len(pairs), replicates))


def difference(a: Draws, b: Draws, level: float = 0.95) -> Difference:
    """The macro mean (over cohorts) of a less that of b, from draws of the same patients.

    A cohort with no value on the patients themselves is left out throughout. The interval says how sure the
    difference is over patients, for these fitted models: training again is not part of it.

    Returns:
        The difference; NaN with a reason where no cohort has a value, or no replicate has.

    Raises:
        ValueError: draws of other cohorts or replicates, or level outside (0, 1).
    """
    check_level(level)
    if a.drawn.shape != b.drawn.shape or (np.isnan(a.observed) != np.isnan(b.observed)).any():
        raise ValueError("a and b must be draws of the same patients")
    kept = ~np.isnan(a.observed)
    if not kept.any():
        replicates = a.drawn.shape[1]
        return Difference(_NAN, _NAN, _NAN, _NAN, 0, replicates, "no cohort with a comparable pair")
    value = float((a.observed - b.observed)[kept].mean())
    return _percentile(value, (a.drawn - b.drawn)[kept].mean(axis=0), level)


def _percentile(value: float, drawn: Floats, level: float) -> Difference:
    defined = drawn[~np.isnan(drawn)]
    used, undefined = int(defined.size), int(drawn.size - defined.size)
    if not used:
        return Difference(value, _NAN, _NAN, _NAN, 0, undefined, "no replicate has a value in every cohort")
    low, high = np.quantile(defined, [(1.0 - level) / 2.0, (1.0 + level) / 2.0])
    smaller = min(int((defined <= 0.0).sum()), int((defined >= 0.0).sum()))
    p_value = min(1.0, 2.0 * (smaller + 1) / (used + 1))
    return Difference(value, float(low), float(high), p_value, used, undefined)


def _pooled(folds: list[_FoldPairs], generator: np.random.Generator | None, replicates: int) -> Floats:
    """(replicates,) credit over pairs of all folds, NaN without any; no generator: nothing is drawn."""
    pairs, credit = np.zeros(replicates), np.zeros(replicates)
    for fold in folds:
        n = fold.comparable.shape[1]
        step = max(1, _CELLS // n)
        for start in range(0, replicates, step):
            rows = slice(start, min(start + step, replicates))
            size = rows.stop - rows.start
            weights = np.ones((size, n)) if generator is None else _weights(generator, size, n)
            comparable, earned = fold.sums(weights)
            pairs[rows] += comparable
            credit[rows] += earned
    pairs[pairs == 0.0] = np.nan
    return credit / pairs


def _weights(generator: np.random.Generator, replicates: int, n: int) -> Floats:
    """(replicates, n) how often each of n patients is drawn in n draws with replacement."""
    rows = generator.integers(0, n, (replicates, n)) + n * np.arange(replicates)[:, None]
    counts = np.bincount(rows.ravel(), minlength=replicates * n)
    return counts.reshape(replicates, n).astype(np.float64)


def _fold_pairs(metric: Metric, cohort: CohortPredictions) -> list[_FoldPairs]:
    event = bool_vector(cohort.event, "event")
    n = len(event)
    fold = np.asarray(cohort.fold)
    if fold.shape != (n,):
        raise ValueError(f"fold must be of shape ({n},), found {fold.shape}")
    time = np.zeros(n) if metric == "auroc" else _finite(cohort.time, n, "time")[:, 0]
    risk = _finite(cohort.risk, n, "risk")
    delayed = metric == "concordance" and cohort.entry is not None
    entry = _finite(cohort.entry, n, "entry")[:, 0] if delayed else None
    parts: list[_FoldPairs] = []
    for label in np.unique(fold):
        rows = fold == label
        cases = np.flatnonzero(event[rows])
        comparable = _comparable(time[rows], event[rows])[cases]
        if entry is not None:
            comparable = comparable * (entry[rows] < time[rows][cases, None])
        parts.append(_FoldPairs(cases, comparable, _credit(risk[rows], cases) * comparable))
    return parts


def _comparable(time: Floats, event: NDArray[np.bool_]) -> Floats:
    """(n, n) 1 where the row's event comes before the column's time, or at it with the column censored.

    With all times equal these are the pairs of a positive and a negative, as the AUROC needs them.
    """
    earlier = time[:, None] < time
    at_once = (time[:, None] == time) & ~event
    return (event[:, None] & (earlier | at_once)).astype(np.float64)


def _credit(risk: Floats, cases: NDArray[np.int64]) -> Floats:
    """(cases, n) 1 where the case has the higher risk, 0.5 where equal; mean over the seeds of risk."""
    n, seeds = risk.shape
    total = np.zeros((len(cases), n))
    for seed in range(seeds):
        values = risk[:, seed]
        total += (values[cases, None] > values) + 0.5 * (values[cases, None] == values)
    return total / seeds


def _finite(values: NDArray[np.floating] | None, n: int, name: str) -> Floats:
    """(n, columns) of finite numbers, at least one column."""
    if values is None:
        raise ValueError(f"{name} is needed for this metric")
    array = np.asarray(values, dtype=np.float64)
    array = array[:, None] if array.ndim == 1 else array
    if array.ndim != 2 or array.shape[0] != n or not array.shape[1]:
        raise ValueError(f"{name} must have {n} rows, found shape {np.shape(values)}")
    if not np.isfinite(array).all():
        raise ValueError(f"{name} has {int((~np.isfinite(array)).sum())} values that are not finite")
    return array

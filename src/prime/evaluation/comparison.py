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

from prime.evaluation.argument_checks import bool_vector

Metric = Literal["concordance", "auroc"]

_NAN = float("nan")
_CELLS = 1 << 23  # weights held at once; bounds the memory for many replicates


@dataclass(frozen=True)
class PairedCohort:
    """Two methods' test predictions for the same patients of one cohort, one row a patient.

    Attributes:
        fold: (n,) the test fold of each patient, of any type that compares equal.
        event: (n,) bool, True = event observed; for AUROC the label, True = positive.
        risk_a, risk_b: (n,) or (n, seeds), higher = worse (more likely positive); seeds may differ in number.
        time: (n,) for the concordance, in any one unit; not used for AUROC.
    """

    fold: NDArray[np.generic]
    event: NDArray[np.bool_]
    risk_a: NDArray[np.floating]
    risk_b: NDArray[np.floating]
    time: NDArray[np.floating] | None = None


@dataclass(frozen=True)
class Difference:
    """Method a less method b, with a percentile bootstrap interval.

    Attributes:
        value: the difference on the patients themselves, above 0 where a is better; NaN where undefined.
        low, high: ends of the interval.
        p_value: two-sided: twice the smaller share of replicates on either side of 0, (count + 1) /
            (replicates + 1), at most 1. It is 1 where the methods are identical.
        replicates: replicates that interval and p value rest on.
        undefined: replicates left out because a cohort had no fold with a value.
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
    """One fold: pairs (case, other) that count, and the credit that each method earns on them.

    comparable: (cases, n); credit_a, credit_b: (cases, n) mean over seeds, 1 concordant, 0.5 tied, 0 else.
    The number of comparable pairs is the same for every seed, so the mean over seeds may be taken first.
    """

    cases: NDArray[np.int64]
    comparable: NDArray[np.float64]
    credit_a: NDArray[np.float64]
    credit_b: NDArray[np.float64]

    def values(self, weights: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """(replicates,) a's and b's metric for integer weights (replicates, n); NaN without a pair."""
        pairs = self._sum(self.comparable, weights)
        pairs[pairs == 0.0] = np.nan
        return self._sum(self.credit_a, weights) / pairs, self._sum(self.credit_b, weights) / pairs

    def _sum(self, matrix: NDArray[np.float64], weights: NDArray[np.float64]) -> NDArray[np.float64]:
        return ((weights @ matrix.T) * weights[:, self.cases]).sum(axis=1)


def paired_bootstrap(
    metric: Metric,
    groups: Sequence[PairedCohort],
    replicates: int = 1000,
    seed: int = 0,
    level: float = 0.95,
) -> Difference:
    """Difference of the macro means of two methods, patients drawn with replacement.

    Patients are drawn within each fold of each cohort, and both methods see the same draws. A cohort's value
    is the metric's mean over seeds and over the folds with a value; the macro mean is over cohorts. A cohort
    with no value on the patients themselves is left out throughout. A draw of patients is a vector w of
    integer weights, for which the metric is w'Cw / w'Pw, with P the comparable pairs and C the credit.
    The interval says how sure the difference is over patients, for these fitted models: training again is
    not part of it. Source: Efron & Tibshirani, "An Introduction to the Bootstrap", 1993.

    Args:
        metric: "concordance" (Harrell's C, as `metrics.concordance`) or "auroc" (as `metrics.auroc`).
        groups: the cohorts.
        replicates: draws, at least 1.
        seed: of the draws; the same seed gives the same draws whatever the risks are.
        level: coverage wanted, in (0, 1).

    Returns:
        The difference; NaN with a reason where no cohort has a value, or no replicate has.

    Raises:
        ValueError: an unknown metric, shapes that disagree, event not bool, no time for the concordance, a
            time or risk that is not finite, replicates < 1, or level outside (0, 1).
    """
    if metric not in ("concordance", "auroc"):
        raise ValueError(f"metric must be 'concordance' or 'auroc', found {metric!r}")
    if replicates < 1 or not 0.0 < level < 1.0:
        raise ValueError(f"replicates must be positive and level in (0, 1), found {replicates} and {level}")
    cohorts = [_fold_pairs(metric, group) for group in groups]
    observed = np.array([_cohort_difference(folds, None, 1)[0] for folds in cohorts])
    kept = ~np.isnan(observed)
    if not kept.any():
        return Difference(_NAN, _NAN, _NAN, _NAN, 0, replicates, "no cohort with a fold that has a value")
    generator = np.random.default_rng(seed)
    drawn = np.array([_cohort_difference(folds, generator, replicates) for folds in cohorts])
    values = drawn[kept].mean(axis=0)
    return _percentile(float(observed[kept].mean()), values, level)


def _percentile(value: float, drawn: NDArray[np.float64], level: float) -> Difference:
    defined = drawn[~np.isnan(drawn)]
    used, undefined = int(defined.size), int(drawn.size - defined.size)
    if not used:
        return Difference(value, _NAN, _NAN, _NAN, 0, undefined, "no replicate has a value in every cohort")
    low, high = np.quantile(defined, [(1.0 - level) / 2.0, (1.0 + level) / 2.0])
    smaller = min(int((defined <= 0.0).sum()), int((defined >= 0.0).sum()))
    p_value = min(1.0, 2.0 * (smaller + 1) / (used + 1))
    return Difference(value, float(low), float(high), p_value, used, undefined)


def _cohort_difference(
    folds: list[_FoldPairs], generator: np.random.Generator | None, replicates: int
) -> NDArray[np.float64]:
    """(replicates,) a less b over the folds with a value; NaN where none has. No generator: the patients."""
    total_a, total_b, count = np.zeros(replicates), np.zeros(replicates), np.zeros(replicates)
    for fold in folds:
        n = fold.comparable.shape[1]
        step = max(1, _CELLS // n)
        for start in range(0, replicates, step):
            rows = slice(start, min(start + step, replicates))
            size = rows.stop - rows.start
            weights = np.ones((size, n)) if generator is None else _weights(generator, size, n)
            value_a, value_b = fold.values(weights)
            defined = ~np.isnan(value_a)
            total_a[rows] += np.where(defined, value_a, 0.0)
            total_b[rows] += np.where(defined, value_b, 0.0)
            count[rows] += defined
    count[count == 0.0] = np.nan
    return total_a / count - total_b / count


def _weights(generator: np.random.Generator, replicates: int, n: int) -> NDArray[np.float64]:
    """(replicates, n) how often each of n patients is drawn in n draws with replacement."""
    rows = generator.integers(0, n, (replicates, n)) + n * np.arange(replicates)[:, None]
    counts = np.bincount(rows.ravel(), minlength=replicates * n)
    return counts.reshape(replicates, n).astype(np.float64)


def _fold_pairs(metric: Metric, group: PairedCohort) -> list[_FoldPairs]:
    event = bool_vector(group.event, "event")
    n = len(event)
    fold = np.asarray(group.fold)
    if fold.shape != (n,):
        raise ValueError(f"fold must be of shape ({n},), found {fold.shape}")
    time = np.zeros(n) if metric == "auroc" else _finite(group.time, n, "time")[:, 0]
    risk_a, risk_b = _finite(group.risk_a, n, "risk_a"), _finite(group.risk_b, n, "risk_b")
    parts: list[_FoldPairs] = []
    for label in np.unique(fold):
        rows = fold == label
        cases = np.flatnonzero(event[rows])
        comparable = _comparable(time[rows], event[rows])[cases]
        credit_a, credit_b = (_credit(risk[rows], cases) * comparable for risk in (risk_a, risk_b))
        parts.append(_FoldPairs(cases, comparable, credit_a, credit_b))
    return parts


def _comparable(time: NDArray[np.float64], event: NDArray[np.bool_]) -> NDArray[np.float64]:
    """(n, n) 1 where the row's event comes before the column's time, or at it with the column censored.

    With all times equal these are the pairs of a positive and a negative, as the AUROC needs them.
    """
    earlier = time[:, None] < time
    at_once = (time[:, None] == time) & ~event
    return (event[:, None] & (earlier | at_once)).astype(np.float64)


def _credit(risk: NDArray[np.float64], cases: NDArray[np.int64]) -> NDArray[np.float64]:
    """(cases, n) 1 where the case has the higher risk, 0.5 where equal; mean over the seeds of risk."""
    n, seeds = risk.shape
    total = np.zeros((len(cases), n))
    for seed in range(seeds):
        values = risk[:, seed]
        total += (values[cases, None] > values) + 0.5 * (values[cases, None] == values)
    return total / seeds


def _finite(values: NDArray[np.floating] | None, n: int, name: str) -> NDArray[np.float64]:
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

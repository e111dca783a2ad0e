"""Is one method better than another on the same patients: paired bootstrap, tests over folds, rank tests.

Metrics here are such that higher is better (Harrell's C, the area under the ROC curve). Where a figure is
undefined it is NaN with the reason. Folds of one cross-validation share training patients and are not
independent, so the tests over folds say less than their number of folds suggests; `corrected_paired_test`
allows for it.
"""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportMissingTypeStubs=false

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

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
class PairedTest:
    """A test of whether paired differences centre on 0.

    Attributes:
        mean: mean difference; NaN where there is none.
        low, high: interval of the mean; NaN for a rank test, which gives none.
        statistic: t, or the smaller of Wilcoxon's rank sums.
        p_value: two-sided.
        n: pairs used.
        undefined: pairs left out because a value was NaN.
        reason: why the p value is NaN; None where it is defined.
    """

    mean: float
    low: float
    high: float
    statistic: float
    p_value: float
    n: int
    undefined: int
    reason: str | None = None


@dataclass(frozen=True)
class CriticalDifference:
    """Several methods ranked over several data sets.

    Attributes:
        ranks: each method's mean rank, best first; 1 = best, ties share their mean rank.
        friedman_p: p value that all methods rank alike: Friedman's, or Wilcoxon's for two methods.
        distance: Nemenyi's critical difference of mean ranks; NaN for two methods.
        groups: the largest sets of two or more methods not told apart, best first. Where the first test finds
            no difference they are all one group, whatever the distance.
        n: data sets used.
        dropped: data sets left out because a method had no value.
        reason: why the p value is NaN; None where it is defined.
    """

    ranks: dict[str, float]
    friedman_p: float
    distance: float
    groups: list[tuple[str, ...]]
    n: int
    dropped: int
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


def corrected_paired_test(
    differences: NDArray[np.floating], test_share: float, level: float = 0.95
) -> PairedTest:
    """Student's t test over folds, its variance enlarged because folds share training patients.

    The variance of the mean of k differences is taken as (1/k + test/train) times their sample variance, with
    k - 1 degrees of freedom. Source: Nadeau & Bengio, "Inference for the generalization error", Machine
    Learning 2003.

    Args:
        differences: (k,) a less b, one a fold (repeat); NaN is left out and counted.
        test_share: test patients over test and training patients together, in (0, 1): 0.2 for five folds.
            Validation patients count on neither side.
        level: coverage of the interval, in (0, 1).

    Returns:
        The test; NaN with a reason for fewer than two differences, or for equal ones other than 0. Where all
        are 0 the p value is 1.

    Raises:
        ValueError: differences not one vector or infinite, test_share or level outside (0, 1).
    """
    if not 0.0 < test_share < 1.0 or not 0.0 < level < 1.0:
        raise ValueError(f"test_share and level must be in (0, 1), found {test_share} and {level}")
    values, undefined = _defined(np.asarray(differences, dtype=np.float64))
    n = len(values)
    mean = float(values.mean()) if n else _NAN
    if n < 2:
        return PairedTest(mean, _NAN, _NAN, _NAN, _NAN, n, undefined, "fewer than two differences")
    if not values.any():
        return PairedTest(0.0, 0.0, 0.0, 0.0, 1.0, n, undefined)
    variance = float(values.var(ddof=1))
    if np.ptp(values) == 0.0 or variance == 0.0:
        return PairedTest(mean, _NAN, _NAN, _NAN, _NAN, n, undefined, "all differences are equal")
    from scipy.stats import t

    error = float(np.sqrt((1.0 / n + test_share / (1.0 - test_share)) * variance))
    reach = float(t.ppf((1.0 + level) / 2.0, n - 1)) * error
    p_value = float(2.0 * t.sf(abs(mean) / error, n - 1))
    return PairedTest(mean, mean - reach, mean + reach, mean / error, p_value, n, undefined)


def wilcoxon_folds(a: NDArray[np.floating], b: NDArray[np.floating]) -> PairedTest:
    """Wilcoxon's signed-rank test over cohort-folds, two-sided; pairs with equal values say nothing.

    The p value is exact for up to 50 differences without ties or zeros (13 with them), else by the normal
    approximation. Source: Wilcoxon, "Individual comparisons by ranking methods", Biometrics 1945.

    Args:
        a, b: (k,) values of the two methods on the same cohort-folds; pairs with a NaN are left out and
            counted.

    Returns:
        The test; NaN with a reason where there is no pair. Where all pairs are equal the p value is 1.

    Raises:
        ValueError: shapes that disagree, or an infinite value.
    """
    first, second = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    if first.shape != second.shape:
        raise ValueError(f"a {first.shape} must be as long as b {second.shape}")
    values, undefined = _defined(first - second)
    n = len(values)
    if not n:
        return PairedTest(_NAN, _NAN, _NAN, _NAN, _NAN, 0, undefined, "no pair with both values")
    if not values.any():
        return PairedTest(0.0, _NAN, _NAN, 0.0, 1.0, n, undefined)
    from scipy.stats import wilcoxon

    found: Any = wilcoxon(values, zero_method="wilcox", alternative="two-sided", method="auto")
    statistic, p_value = float(found.statistic), float(found.pvalue)
    return PairedTest(float(values.mean()), _NAN, _NAN, statistic, p_value, n, undefined)


def critical_difference(scores: pd.DataFrame, level: float = 0.95) -> CriticalDifference:
    """Friedman's test over data sets, then Nemenyi's critical difference between mean ranks.

    Two methods differ where their mean ranks are at least q sqrt(k (k + 1) / (6 n)) apart, with k methods, n
    data sets, and q the studentized range quantile over sqrt(2). Source: Demsar, "Statistical comparisons of
    classifiers over multiple data sets", JMLR 2006.

    Args:
        scores: a row a data set (a cohort, or a cohort-fold), a column a method; higher = better. Rows with a
            NaN are left out and counted.
        level: 1 - alpha, in (0, 1).

    Returns:
        The ranking; p value and distance NaN with a reason for fewer than two data sets. Two methods are
        compared by Wilcoxon's test, and the distance is NaN.

    Raises:
        ValueError: fewer than two methods, a method named twice, an infinite score, or level outside (0, 1).
    """
    names = [str(name) for name in scores.columns]
    if len(names) < 2 or len(set(names)) < len(names):
        raise ValueError(f"scores must have two or more methods, each once, found {names}")
    if not 0.0 < level < 1.0:
        raise ValueError(f"level must be in (0, 1), found {level}")
    table = scores.to_numpy(dtype=np.float64)
    if np.isinf(table).any():
        raise ValueError(f"scores has {int(np.isinf(table).sum())} infinite values")
    values = table[~np.isnan(table).any(axis=1)]
    n, dropped = len(values), len(table) - len(values)
    ranks = _mean_ranks(names, values)
    if n < 2:
        return CriticalDifference(ranks, _NAN, _NAN, [], n, dropped, "fewer than two data sets")
    p_value = _first_test(values)
    distance = _nemenyi(len(names), n, level)
    if p_value >= 1.0 - level:
        groups = [tuple(ranks)]
    else:
        groups = [] if len(names) == 2 else _not_told_apart(ranks, distance)
    return CriticalDifference(ranks, p_value, distance, groups, n, dropped)


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
    event = np.asarray(group.event)
    if event.dtype != np.bool_ or event.ndim != 1:
        raise ValueError(f"event must be one bool vector, found {event.dtype} of shape {event.shape}")
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


def _defined(differences: NDArray[np.float64]) -> tuple[NDArray[np.float64], int]:
    if differences.ndim != 1 or np.isinf(differences).any():
        raise ValueError(f"need one vector without infinite values, found shape {differences.shape}")
    values = differences[~np.isnan(differences)]
    return values, len(differences) - len(values)


def _mean_ranks(names: list[str], values: NDArray[np.float64]) -> dict[str, float]:
    """Each method's mean rank over the rows, best first; NaN, in the order given, without rows."""
    from scipy.stats import rankdata

    if not len(values):
        return dict.fromkeys(names, _NAN)
    means = np.asarray(rankdata(-values, axis=1)).mean(axis=0)
    return {names[index]: float(means[index]) for index in np.argsort(means, kind="stable")}


def _first_test(values: NDArray[np.float64]) -> float:
    """Friedman's p value, or Wilcoxon's for two methods; 1 where the methods are equal in every row."""
    if (values == values[:, :1]).all():
        return 1.0
    if values.shape[1] == 2:
        return wilcoxon_folds(values[:, 0], values[:, 1]).p_value
    from scipy.stats import friedmanchisquare

    found: Any = friedmanchisquare(*values.T)
    return float(found.pvalue)


def _nemenyi(methods: int, n: int, level: float) -> float:
    """Critical difference of mean ranks; NaN for two methods, which need no such correction."""
    if methods == 2:
        return _NAN
    from scipy.stats import studentized_range

    quantile = float(studentized_range.ppf(level, methods, np.inf)) / np.sqrt(2.0)
    return float(quantile * np.sqrt(methods * (methods + 1) / (6.0 * n)))


def _not_told_apart(ranks: dict[str, float], distance: float) -> list[tuple[str, ...]]:
    """Largest runs of methods, best first, whose ends are less than the distance apart; two or more each."""
    names, values = list(ranks), list(ranks.values())
    groups: list[tuple[str, ...]] = []
    reached = 0
    for start in range(len(names)):
        end = sum(value - values[start] < distance for value in values)
        if end > max(reached, start + 1):
            groups.append(tuple(names[start:end]))
            reached = end
    return groups

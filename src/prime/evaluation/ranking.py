"""Which of several methods can be told apart over several data sets: mean ranks and critical differences.

A higher score is better. Where a figure is undefined it is NaN with the reason.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from prime.evaluation.argument_checks import check_level
from prime.evaluation.fold_tests import wilcoxon_folds

_NAN = float("nan")


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


def identical(scores: pd.DataFrame) -> list[tuple[str, ...]]:
    """The methods in their order, those together whose scores are the same in every data set.

    Args:
        scores: as for `critical_difference`. NaN equals NaN; the thirteenth digit makes no difference.
    """
    groups: dict[tuple[float | None, ...], list[str]] = {}
    for name in scores.columns:
        values = scores[name].to_numpy(dtype=np.float64)
        key = tuple(None if np.isnan(value) else round(float(value), 12) for value in values)
        groups.setdefault(key, []).append(str(name))
    return [tuple(names) for names in groups.values()]


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
    check_level(level)
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

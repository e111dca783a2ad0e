"""Averages over seeds, then folds, then cohorts: pure functions of tables of scores, a row a fold and seed.

A metric that is a share of comparable pairs (`pairs`: Harrell's C and the AUROC) is pooled over the folds of
a cohort: each counts by its pairs, so that a fold with a single negative does not count like the others.
Risks of different folds are never compared. Other metrics are averaged over folds, all alike.
"""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from prime.arrays import Floats

AVERAGES = (
    "mean", "fold_mean", "std", "std_seeds", "low", "high", "n_folds", "n_seeds", "n_cohorts", "undefined",
    "n", "events", "pairs", "fewest_pairs", "constant_folds",
)  # fmt: skip
CONSTANT = "constant prediction"  # the note of a fold in which everybody has the same risk
_REPLICATES = 2000
_COVERAGE = 0.95
_NAN = float("nan")


@dataclass(frozen=True)
class Cohort:
    """The scores of one method in one cohort.

    Attributes:
        values: (folds,) means over seeds, of the folds with a value; by pairs where seeds have folds of their
            own.
        weights: (folds,) comparable pairs of each; ones for a metric without them.
        plain: (folds,) the same means over seeds, every row alike.
        pairs: (folds,) as `weights`, but NaN for a metric without pairs.
        seeds: the mean over folds of each seed that has one.
        n, events: patients and events over all folds, once however many seeds.
        undefined: rows without a value.
        constant: folds with a value in which everybody has the same risk, with every seed.
    """

    values: Floats
    weights: Floats
    plain: Floats
    pairs: Floats
    seeds: dict[Hashable, float]
    n: int
    events: int
    undefined: int
    constant: int

    @property
    def mean(self) -> float:
        """Over folds, by their weights; NaN without any."""
        return float(_weighted(self.values, self.weights)) if len(self.values) else _NAN

    def drawn(self, generator: np.random.Generator, replicates: int) -> Floats:
        """(replicates,) the mean over folds that are drawn with replacement."""
        count = len(self.values)
        rows = generator.integers(0, count, (replicates, count))
        return _weighted(self.values[rows], self.weights[rows])


def _weighted(values: Floats, weights: Floats) -> Floats:
    """Mean over the last axis; to the last digit the plain one where all weights are equal."""
    if np.ptp(weights) == 0:
        return values.mean(axis=-1)
    return (weights * values).sum(axis=-1) / weights.sum(axis=-1)


def weighted_means(scores: pd.DataFrame, keys: Sequence[str]) -> pd.DataFrame:
    """A row a value of `keys`: `value`, the mean of its rows by their pairs, `plain`, their plain mean, and
    `weight`, the mean of their pairs. Rows of a metric without pairs weigh one; rows without a value nothing.
    """
    value = scores["value"].astype(np.float64)
    weight = scores["pairs"].astype(np.float64).fillna(1.0).where(value.notna())
    frame = scores[list(keys)].assign(value=value, weight=weight, product=weight * value)
    grouped = frame.groupby(list(keys), sort=False)
    plain, weights = grouped["value"].mean(), grouped["weight"]
    even = weights.min() == weights.max()
    pooled = grouped["product"].sum() / weights.sum()
    means = pd.DataFrame({"value": plain.where(even, pooled), "plain": plain, "weight": weights.mean()})
    return means.reset_index()


def fold_means(scores: pd.DataFrame, by: Sequence[str]) -> pd.DataFrame:
    """Means over seeds of each fold: columns `by`, cohort, fold, value, plain and weight."""
    return weighted_means(scores, [*by, "cohort", "fold"])


def cohorts_of(scores: pd.DataFrame, by: Sequence[str]) -> dict[tuple[object, ...], dict[str, Cohort]]:
    """The cohorts of each value of `by`, both in the order of the rows.

    Args:
        scores: columns `by` and cohort, fold, seed, value, n, events, pairs and note.
    """
    keys = [*by, "cohort"]
    counts = ["n", "events", "pairs"]
    marked = scores.assign(undefined=scores["value"].isna(), constant=scores["note"] == CONSTANT)
    grouped = marked.astype(dict.fromkeys(counts, np.float64)).groupby([*keys, "fold"], sort=False)
    facts = grouped[counts].mean()
    facts = facts.join(grouped["undefined"].sum()).join(grouped["constant"].all()).reset_index()
    folds = fold_means(scores, by).merge(facts, on=[*keys, "fold"]).sort_values("fold", kind="stable")
    columns = ["value", "plain", "weight", *counts, "undefined", "constant"]
    numbers = {name: folds[name].to_numpy(dtype=np.float64) for name in columns}
    seeds = _by_seed(scores, keys)
    places = folds.groupby(keys, sort=False).indices
    found: dict[tuple[object, ...], dict[str, Cohort]] = {}
    for key in scores[keys].drop_duplicates().itertuples(index=False, name=None):
        mine = {name: values[places[key]] for name, values in numbers.items()}
        kept = ~np.isnan(mine["value"])
        value, weight, plain, pairs = (mine[name][kept] for name in ("value", "weight", "plain", "pairs"))
        n, events, undefined = (round(float(mine[name].sum())) for name in ("n", "events", "undefined"))
        constant = int(mine["constant"][kept].sum())
        found.setdefault(key[:-1], {})[str(key[-1])] = Cohort(
            value, weight, plain, pairs, seeds.get(key, {}), n, events, undefined, constant
        )
    return found


def _by_seed(scores: pd.DataFrame, keys: list[str]) -> dict[object, dict[Hashable, float]]:
    """For each value of `keys` the mean over folds of each seed that has one."""
    means = weighted_means(scores, list(dict.fromkeys([*keys, "seed"])))
    means = means.dropna(subset="value").sort_values("seed", kind="stable")
    found: dict[object, dict[Hashable, float]] = {}
    named = means[keys].itertuples(index=False, name=None)
    for key, seed, value in zip(named, means["seed"], means["value"], strict=True):
        found.setdefault(key, {})[seed] = float(value)
    return found


def cohort_row(cohort: Cohort, replicates: int = _REPLICATES) -> dict[str, float]:
    """The columns `AVERAGES` of one cohort, as `summary.summarise` describes them."""
    return macro_row([cohort], replicates) | {"std": _std(cohort.plain)}


def macro_row(cohorts: Sequence[Cohort], replicates: int = _REPLICATES) -> dict[str, float]:
    """The columns `AVERAGES` of the mean of these cohorts."""
    valued = [cohort for cohort in cohorts if len(cohort.values)]
    means = np.array([cohort.mean for cohort in valued])
    seeds = _macro_by_seed(valued)
    low, high = _interval(valued, replicates)
    pairs = np.concatenate([cohort.pairs for cohort in valued]) if valued else np.empty(0)
    counted = len(pairs) and not np.isnan(pairs).any()
    return {
        "mean": _mean(means),
        "fold_mean": _mean(np.array([cohort.plain.mean() for cohort in valued])),
        "std": _std(means),
        "std_seeds": _std(seeds),
        "low": low,
        "high": high,
        "n_folds": sum(len(cohort.values) for cohort in valued),
        "n_seeds": len(seeds),
        "n_cohorts": len(valued),
        "undefined": sum(cohort.undefined for cohort in cohorts),
        "n": sum(cohort.n for cohort in cohorts),
        "events": sum(cohort.events for cohort in cohorts),
        "pairs": float(pairs.sum()) if counted else _NAN,
        "fewest_pairs": float(pairs.min()) if counted else _NAN,
        "constant_folds": sum(cohort.constant for cohort in cohorts),
    }


def _macro_by_seed(cohorts: Sequence[Cohort]) -> Floats:
    """(seeds,) macro means of the seeds that have a value in every one of these cohorts."""
    first = cohorts[0].seeds if cohorts else {}
    shared = [seed for seed in first if all(seed in cohort.seeds for cohort in cohorts)]
    return np.array([sum(cohort.seeds[seed] for cohort in cohorts) / len(cohorts) for seed in shared])


def _interval(cohorts: Sequence[Cohort], replicates: int) -> tuple[float, float]:
    """Interval of the mean of the cohorts, folds drawn with replacement within each."""
    if not cohorts or max(len(cohort.values) for cohort in cohorts) < 2:
        return _NAN, _NAN
    generator = np.random.default_rng(0)
    draws = [cohort.drawn(generator, replicates) for cohort in cohorts]
    low, high = np.quantile(np.mean(draws, axis=0), [(1 - _COVERAGE) / 2, (1 + _COVERAGE) / 2])
    return float(low), float(high)


def _mean(values: Floats) -> float:
    return float(values.mean()) if len(values) else _NAN


def _std(values: Floats) -> float:
    return float(values.std(ddof=1)) if len(values) > 1 else _NAN

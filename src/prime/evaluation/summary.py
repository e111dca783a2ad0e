"""From one row a fold to one row a cohort and a macro row: pure functions of tables."""

from collections.abc import Hashable

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from prime.errors import InputError

FOLD_COLUMNS = (
    "method", "init", "mode", "train_on", "share", "task", "cohort", "fold", "seed", "pattern", "test_on",
    "metric", "value", "n", "events", "reason",
)  # fmt: skip
SETTING = ("method", "init", "mode", "train_on", "share", "task", "pattern", "test_on", "metric")
PRIMARY = ("c_index", "auroc")  # the paper's metric of a survival and of a binary task
SUMMARY_COLUMNS = (
    *SETTING, "cohort", "mean", "std", "std_seeds", "low", "high",
    "n_folds", "n_seeds", "n_cohorts", "undefined", "n", "events",
)  # fmt: skip
MACRO = "macro"
_REPLICATES = 2000
_LEVEL = 0.95


def summarise(folds: pd.DataFrame) -> pd.DataFrame:
    """One row a setting (the columns `SETTING`) and cohort, then a `macro` row over the cohorts.

    Columns of the result, values in the metric's own unit:
        mean: a cohort's mean over its folds, each fold averaged over seeds first; macro: mean of those means.
        std: sample deviation (ddof 1) over a cohort's folds; macro: over the cohorts' means. The latter is
            what papers print beside a macro average; it says how cohorts differ, not how sure the mean is.
        std_seeds: sample deviation over seeds of that same mean, each seed on its own; NaN for one seed.
        low, high: 95% percentile interval from drawing folds with replacement within each cohort; the same
            draws on every call. With few folds it is somewhat too narrow, as any bootstrap of few values is.
        n_folds: folds with a value (macro: summed over cohorts). n_seeds, n_cohorts: likewise with a value.
        undefined: rows whose value was NaN; they are left out of every mean and only counted here.
        n, events: patients and events over all folds, counted once however many seeds there are.

    Args:
        folds: columns `FOLD_COLUMNS`; value is NaN where the metric was undefined on that fold.

    Raises:
        InputError: a missing column, two rows for one fold and seed, or a cohort named `macro`.
    """
    _check(folds)
    rows: list[dict[str, object]] = []
    for setting, group in folds.groupby(list(SETTING), sort=False):
        labels: dict[str, object] = dict(zip(SETTING, setting, strict=True))
        cohorts = {str(name): part for name, part in group.groupby("cohort", sort=True)}
        rows.extend(labels | _cohort_row(name, part) for name, part in cohorts.items())
        rows.append(labels | macro_row(group, cohorts))
    return pd.DataFrame(rows, columns=list(SUMMARY_COLUMNS))


def primary_macro(summary: pd.DataFrame) -> pd.DataFrame:
    """The macro rows of each task's primary metric, tested on everyone who has something left."""
    chosen = (summary["cohort"] == MACRO) & summary["metric"].isin(PRIMARY)
    return summary[chosen & (summary["test_on"] == "everyone")]


def macro_table(summary: pd.DataFrame) -> pd.DataFrame:
    """The macro means of each task's primary metric as a compact table: a row an init and mode, a column a
    pattern, tested on everyone who has something left.

    Other parts of the setting become further index levels only where the summary holds several of them.
    Patterns come full set first, then one taken away, then pairs, then single ones. A cell is NaN where
    nothing was defined.

    Args:
        summary: as `summarise` gives it.
    """
    macro = primary_macro(summary)
    levels = ("task", "metric", "method", "train_on", "share")
    varying = [name for name in levels if macro[name].nunique() > 1]
    index = [*varying, "init", "mode"]
    columns = sorted(pd.unique(macro["pattern"]), key=_pattern_rank)
    order = list(macro[index].drop_duplicates().itertuples(index=False, name=None))
    table = macro.pivot(index=index, columns="pattern", values="mean")
    return table.loc[order, columns]


def _pattern_rank(name: str) -> int:
    if name == "all":
        return 0
    return 1 if name.startswith("-") else 2 if "+" in name else 3


def _check(folds: pd.DataFrame) -> None:
    absent = [name for name in FOLD_COLUMNS if name not in folds.columns]
    if absent:
        raise InputError(
            f"folds table: no column {', '.join(absent)}; found {', '.join(map(str, folds.columns))}"
        )
    key = [*SETTING, "cohort", "fold", "seed"]
    twice = folds.duplicated(key)
    if twice.any():
        first = folds.loc[twice, key].iloc[0].to_dict()
        raise InputError(
            f"folds table: {int(twice.sum())} rows repeat a fold and seed, first {first}; remove them"
        )
    if (folds["cohort"] == MACRO).any():
        raise InputError(
            f"folds table: a cohort is named {MACRO!r}, which is the name of the mean row; rename it"
        )


def _fold_values(part: pd.DataFrame) -> NDArray[np.float64]:
    """(folds,) values averaged over seeds, folds without any value left out."""
    return part.groupby("fold", sort=True)["value"].mean().dropna().to_numpy(dtype=np.float64)


def _seed_means(part: pd.DataFrame) -> dict[Hashable, float]:
    """The mean over folds of each seed that has a value."""
    means = part.groupby("seed", sort=True)["value"].mean().dropna()
    return {seed: float(mean) for seed, mean in means.items()}


def _counts(part: pd.DataFrame) -> dict[str, int]:
    """Patients and events over the folds of one cohort, once however many seeds."""
    by_fold = part.groupby("fold")[["n", "events"]].mean().sum()
    return {"n": round(float(by_fold["n"])), "events": round(float(by_fold["events"]))}


def _cohort_row(name: str, part: pd.DataFrame) -> dict[str, object]:
    values = _fold_values(part)
    seeds = _seed_means(part)
    low, high = _interval([values])
    return {
        "cohort": name,
        "mean": _mean(values),
        "std": _std(values),
        "std_seeds": _std(np.array(list(seeds.values()))),
        "low": low,
        "high": high,
        "n_folds": len(values),
        "n_seeds": len(seeds),
        "n_cohorts": int(len(values) > 0),
        "undefined": int(part["value"].isna().sum()),
        **_counts(part),
    }


def macro_row(
    group: pd.DataFrame, cohorts: dict[str, pd.DataFrame], replicates: int = _REPLICATES
) -> dict[str, object]:
    """The `macro` row of a setting, as `summarise` describes it; `cohorts` are its rows by cohort."""
    values = [found for part in cohorts.values() if len(found := _fold_values(part))]
    means = np.array([_mean(found) for found in values])
    seeds = _macro_by_seed(cohorts)
    counts = [_counts(part) for part in cohorts.values()]
    low, high = _interval(values, replicates)
    return {
        "cohort": MACRO,
        "mean": _mean(means),
        "std": _std(means),
        "std_seeds": _std(seeds),
        "low": low,
        "high": high,
        "n_folds": sum(len(found) for found in values),
        "n_seeds": len(seeds),
        "n_cohorts": len(values),
        "undefined": int(group["value"].isna().sum()),
        "n": sum(count["n"] for count in counts),
        "events": sum(count["events"] for count in counts),
    }


def _macro_by_seed(cohorts: dict[str, pd.DataFrame]) -> NDArray[np.float64]:
    """(seeds,) macro means of the seeds that have a value in every cohort that any seed has one in."""
    tables = [means for part in cohorts.values() if (means := _seed_means(part))]
    shared = [seed for seed in tables[0] if all(seed in means for means in tables)] if tables else []
    return np.array([sum(means[seed] for means in tables) / len(tables) for seed in shared])


def _interval(values: list[NDArray[np.float64]], replicates: int = _REPLICATES) -> tuple[float, float]:
    """Interval of the mean of the means, folds drawn with replacement within each cohort."""
    if not values or max(len(found) for found in values) < 2:
        return float("nan"), float("nan")
    generator = np.random.default_rng(0)
    draws = [
        found[generator.integers(0, len(found), (replicates, len(found)))].mean(axis=1) for found in values
    ]
    low, high = np.quantile(np.mean(draws, axis=0), [(1 - _LEVEL) / 2, (1 + _LEVEL) / 2])
    return float(low), float(high)


def _mean(values: NDArray[np.float64]) -> float:
    return float(values.mean()) if len(values) else float("nan")


def _std(values: NDArray[np.float64]) -> float:
    return float(values.std(ddof=1)) if len(values) > 1 else float("nan")

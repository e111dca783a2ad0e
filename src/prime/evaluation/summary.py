"""From one row a fold to one row a cohort and a macro row: pure functions of tables."""

from typing import Any

import numpy as np
import pandas as pd

from prime.errors import InputError
from prime.evaluation.averages import AVERAGES, CONSTANT, cohort_row, cohorts_of, macro_row
from prime.evaluation.reported import LEVEL, PRIMARY, REPORTED

FOLD_COLUMNS = (
    "method", "init", "mode", "train_on", "share", "task", "cohort", "fold", "seed", "pattern", "test_on",
    "metric", "value", "n", "events", "pairs", "reason", "note",
)  # fmt: skip
SETTING = ("method", "init", "mode", "train_on", "share", "task", "pattern", "test_on", "metric")
POOLED_COLUMNS = (*SETTING, "cohort", "value", "n", "events", "n_folds", "n_seeds", "reason")
SUMMARY_COLUMNS = (*SETTING, "cohort", *AVERAGES, "compatible", "note")
MACRO = "macro"
FEW_PAIRS = 10  # comparable pairs of a fold below which its value says next to nothing


def summarise(folds: pd.DataFrame, pooled: pd.DataFrame | None = None) -> pd.DataFrame:
    """One row a setting (the columns `SETTING`) and cohort, then a `macro` row over the cohorts.

    Columns of the result, values in the metric's own unit:
        mean: a cohort's value, each fold averaged over seeds first and then weighted by its comparable pairs,
            or all folds alike for a metric without them; macro: the mean of the cohorts' values.
        fold_mean: the same with every fold counted alike, as papers print it.
        std: sample deviation (ddof 1) over a cohort's folds; macro: over the cohorts' values. The latter is
            what papers print beside a macro average; it says how cohorts differ, not how sure the mean is.
        std_seeds: sample deviation over seeds of that same mean, each seed on its own; NaN for one seed.
        low, high: 95% percentile interval of the mean from drawing folds, with their pairs, with replacement
            within each cohort; the same draws on every call. With few folds it is somewhat too narrow, as
            any bootstrap of few values is.
        n_folds: folds with a value (macro: summed over cohorts). n_seeds, n_cohorts: likewise with a value.
        undefined: rows whose value was NaN; they are left out of every mean and only counted here.
        n, events, pairs: patients, events and comparable pairs over all folds, counted once however many
            seeds there are. fewest_pairs: of the fold with a value that has fewest.
        constant_folds: folds with a value in which every patient has the same risk, with every seed.
        compatible: macro rows of a p value: cohorts in which it is at least 0.05, out of n_cohorts; such a
            metric has no mean.
        note: what a reader has to know of a row: constant predictions, few pairs, why a value is undefined.

    Args:
        folds: columns `FOLD_COLUMNS`; value is NaN where the metric was undefined on that fold.
        pooled: columns `POOLED_COLUMNS`, the metrics that have one value in a cohort.

    Raises:
        InputError: a missing column, two rows for one fold and seed, or a cohort named `macro`.
    """
    _check(folds)
    rows: list[dict[str, Any]] = []
    for setting, found in cohorts_of(folds, SETTING).items():
        labels: dict[str, Any] = dict(zip(SETTING, setting, strict=True))
        cohorts = dict(sorted(found.items()))
        averages = {name: cohort_row(cohort) for name, cohort in cohorts.items()}
        averages[MACRO] = macro_row(list(cohorts.values()))
        rows.extend(labels | {"cohort": name, "note": _note(row)} | row for name, row in averages.items())
    if pooled is not None:
        for setting, part in pooled.groupby(list(SETTING), sort=False):
            rows.extend(dict(zip(SETTING, setting, strict=True)) | row for row in pooled_rows(part))
    return pd.DataFrame(rows, columns=list(SUMMARY_COLUMNS))


def _note(row: dict[str, float]) -> str | None:
    parts: list[str] = []
    if row["constant_folds"]:
        parts.append(f"{CONSTANT} in {row['constant_folds']} of {row['n_folds']} folds")
    if row["fewest_pairs"] < FEW_PAIRS:
        parts.append(f"a fold with {row['fewest_pairs']:g} comparable pairs")
    return "; ".join(parts) or None


def pooled_rows(part: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows of summary.csv of a metric that has one value in a cohort; `part` has a row a cohort."""
    part = part.sort_values("cohort")
    metric = REPORTED.get(str(part["metric"].iloc[0]))
    values = part["value"].to_numpy(dtype=np.float64)
    values = values[~np.isnan(values)]
    shared = {"mean": "value", "note": "reason"} | {n: n for n in ("n", "events", "n_folds", "n_seeds")}
    rows: list[dict[str, Any]] = [
        {"cohort": row["cohort"], **{ours: row[theirs] for ours, theirs in shared.items()}}
        | {"n_cohorts": int(not np.isnan(row["value"])), "undefined": int(np.isnan(row["value"]))}
        for row in part.to_dict("records")
    ]
    counts = {name: int(part[name].sum()) for name in ("n", "events", "n_folds")}
    total: dict[str, Any] = {"cohort": MACRO, **counts, "n_seeds": int(part["n_seeds"].max())}
    total |= {"n_cohorts": len(values), "undefined": len(part) - len(values)}
    if metric is not None and metric.ideal == "compatible":
        total["compatible"] = int((values >= LEVEL).sum())
    else:
        total["mean"] = float(values.mean()) if len(values) else float("nan")
    return [*rows, total]


def primary_macro(summary: pd.DataFrame) -> pd.DataFrame:
    """The macro rows of each task's primary metric, tested on everyone who has something left."""
    chosen = (summary["cohort"] == MACRO) & summary["metric"].isin(PRIMARY)
    return summary[chosen & (summary["test_on"] == "everyone")]


def macro_table(summary: pd.DataFrame, value: str = "mean") -> pd.DataFrame:
    """The macro rows of each task's primary metric as a compact table: a row a method, init and mode, a
    column a pattern, tested on everyone who has something left.

    Other parts of the setting become further index levels only where the summary holds several of them.
    Patterns come full set first, then one taken away, then pairs, then single ones. A cell is NaN where
    nothing was defined.

    Args:
        summary: as `summarise` gives it.
        value: the column in the cells.
    """
    macro = primary_macro(summary)
    levels = ("task", "metric", "train_on", "share")
    index = [*(name for name in levels if macro[name].nunique() > 1), "method", "init", "mode"]
    columns = sorted(pd.unique(macro["pattern"]), key=_pattern_rank)
    order = list(macro[index].drop_duplicates().itertuples(index=False, name=None))
    table = macro.pivot(index=index, columns="pattern", values=value)
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

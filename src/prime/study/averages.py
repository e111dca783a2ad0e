"""Averages as the tables print them: folds, then cohorts."""

from collections.abc import Sequence
from typing import Any

import pandas as pd

from prime.evaluation.averages import cohort_row, cohorts_of, macro_row
from prime.evaluation.ranking import identical

# Our columns and those of `prime.evaluation.averages`.
COHORT_COLUMNS = {
    "mean": "mean", "fold_mean": "fold_mean", "std": "std", "folds": "n_folds", "pairs": "pairs",
    "fewest_pairs": "fewest_pairs", "constant_folds": "constant_folds",
}  # fmt: skip
MACRO_COLUMNS = {
    "mean": "mean", "fold_mean": "fold_mean", "std_cohorts": "std", "std_seeds": "std_seeds", "low": "low",
    "high": "high", "cohorts": "n_cohorts", "seeds": "n_seeds", "folds": "n_folds",
    "fewest_pairs": "fewest_pairs", "constant_folds": "constant_folds",
}  # fmt: skip
POOLED = (
    "A cohort's value pools its folds: the share ranked rightly of all pairs that can be compared of two"
    " patients of one fold."
)


def entries(scores: pd.DataFrame) -> dict[str, str]:
    """The entry of a table that each label belongs to: labels with the same values in every fold are one.

    Args:
        scores: columns task, cohort, fold, seed, label and value, of all that the table shows.
    """
    values = scores.pivot(index=["task", "cohort", "fold", "seed"], columns="label", values="value")
    groups = identical(values[list(dict.fromkeys(scores["label"]))])
    return {label: _joined(group) for group in groups for label in group}


def _joined(labels: Sequence[str]) -> str:
    """`Pretrained LP = LP+Missing`: the first word stands once where all begin with it."""
    word = labels[0].partition(" ")[0] + " "
    same = all(label.startswith(word) for label in labels)
    return " = ".join([labels[0], *(label.removeprefix(word if same else "") for label in labels[1:])])


def one_entry_each(frame: pd.DataFrame, named: dict[str, str]) -> pd.DataFrame:
    """The rows of the first label of each entry, labelled as the entry; `named` as of `entries`."""
    firsts = {entry: label for label, entry in reversed(named.items())}
    kept = frame[frame["label"].isin(firsts.values())]
    return kept.assign(label=kept["label"].map(named))


def cohort_means(scores: pd.DataFrame, by: Sequence[str]) -> pd.DataFrame:
    """A row a key of `by` and cohort: the columns of `COHORT_COLUMNS`, as `summary.summarise` has them.

    mean: over folds, seeds averaged first, each fold by its comparable pairs where the metric has them;
    fold_mean: every fold alike; std: between folds (ddof 1).
    """
    rows: list[dict[str, Any]] = []
    for key, cohorts in cohorts_of(scores, by).items():
        named = dict(zip(by, key, strict=True))
        for name, cohort in cohorts.items():
            found = cohort_row(cohort, replicates=1)
            rows.append(
                named | {"cohort": name} | {ours: found[name] for ours, name in COHORT_COLUMNS.items()}
            )
    return pd.DataFrame(rows, columns=[*by, "cohort", *COHORT_COLUMNS])


def macro_means(scores: pd.DataFrame, by: Sequence[str], replicates: int = 2000) -> pd.DataFrame:
    """A row a key of `by`: the mean of the cohorts' values with what says how sure it is.

    std_cohorts: between the cohorts' values, what papers print; std_seeds: of the macro mean between seeds,
    NaN for one; low and high: 95% interval from drawing folds with replacement within each cohort. Cohorts
    without a defined fold are left out; `cohorts` counts the others.
    """
    rows: list[dict[str, Any]] = []
    for key, cohorts in cohorts_of(scores, by).items():
        found = macro_row(list(cohorts.values()), replicates)
        named = dict(zip(by, key, strict=True))
        rows.append(named | {ours: found[name] for ours, name in MACRO_COLUMNS.items()})
    return pd.DataFrame(rows, columns=[*by, *MACRO_COLUMNS])

"""Averages as the tables print them: folds, then cohorts; and paired differences of methods."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from prime.evaluation.comparison import Difference, PairedCohort, paired_bootstrap
from prime.evaluation.summary import macro_row

# Our columns and those of `summary.macro_row`.
MACRO_COLUMNS = {
    "mean": "mean", "std_cohorts": "std", "std_seeds": "std_seeds", "low": "low", "high": "high",
    "cohorts": "n_cohorts", "seeds": "n_seeds",
}  # fmt: skip


def fold_means(scores: pd.DataFrame, by: Sequence[str]) -> pd.DataFrame:
    """Means over seeds of each fold: columns `by`, cohort, fold and value."""
    return scores.groupby([*by, "cohort", "fold"], sort=False)["value"].mean().reset_index()


def cohort_means(scores: pd.DataFrame, by: Sequence[str]) -> pd.DataFrame:
    """Mean and standard deviation (ddof 1) over folds, seeds averaged first: a row a cohort."""
    grouped = fold_means(scores, by).groupby([*by, "cohort"], sort=False)["value"]
    return pd.DataFrame(
        {"mean": grouped.mean(), "std": grouped.std(ddof=1), "folds": grouped.count()}
    ).reset_index()


def macro_means(scores: pd.DataFrame, by: Sequence[str], replicates: int = 2000) -> pd.DataFrame:
    """The mean of the cohort means, with what says how sure it is: `summary.macro_row` for each key of `by`.

    Columns: `by`, mean, std_cohorts (between cohort means, what papers print), std_seeds (of the macro mean
    between seeds; NaN for one), low and high (95% interval from drawing folds with replacement within each
    cohort), cohorts, seeds. Cohorts without a defined fold are left out and counted by `cohorts`.
    """
    rows: list[dict[str, Any]] = []
    for key, part in scores.groupby(list(by), sort=False):
        cohorts = {str(name): group for name, group in part.groupby("cohort", sort=False)}
        found = macro_row(part, cohorts, replicates)
        named = dict(zip(by, key, strict=True))
        rows.append(named | {column: found[source] for column, source in MACRO_COLUMNS.items()})
    return pd.DataFrame(rows, columns=[*by, *MACRO_COLUMNS])


def paired_cohorts(a: pd.DataFrame, b: pd.DataFrame, binary: bool) -> list[PairedCohort]:
    """The patients whom two methods both predict, by cohort; predictions of one pattern."""
    groups: list[PairedCohort] = []
    for cohort in dict.fromkeys(a["cohort"]):
        mine, other = (_by_patient(frame[frame["cohort"] == cohort]) for frame in (a, b))
        shared = mine[0].index.intersection(other[0].index)
        if not len(shared):
            continue
        facts = mine[0].loc[shared]
        groups.append(
            PairedCohort(
                fold=facts["fold"].to_numpy(),
                event=facts["event"].to_numpy(dtype=bool),
                risk_a=mine[1].loc[shared].to_numpy(),
                risk_b=other[1].loc[shared].to_numpy(),
                time=None if binary else facts["time_days"].to_numpy(dtype=np.float64),
            )
        )
    return groups


def _by_patient(frame: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Facts of each patient, and the risks, a column a seed; one seed where seeds have their own folds.

    Patients whose fold could not be fitted with every seed are left out.
    """
    if (frame.groupby("patient_id")["fold"].nunique() > 1).any():
        frame = frame[frame["seed"] == frame["seed"].iloc[0]]
    risks = frame.pivot(index="patient_id", columns="seed", values="risk").dropna()
    facts = frame.drop_duplicates("patient_id").set_index("patient_id")[["fold", "event", "time_days"]]
    return facts.loc[risks.index], risks


def paired_difference(a: pd.DataFrame, b: pd.DataFrame, binary: bool, replicates: int = 1000) -> Difference:
    """Macro mean of the primary metric, a minus b, on the same patients, with its paired interval."""
    groups = paired_cohorts(a, b, binary)
    return paired_bootstrap("auroc" if binary else "concordance", groups, replicates)

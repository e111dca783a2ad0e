"""Averages as the tables print them: folds, then cohorts; and paired differences of methods."""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from prime.evaluation.comparison import Difference, PairedCohort, paired_bootstrap

MACRO_COLUMNS = ("mean", "std_cohorts", "std_seeds", "low", "high", "cohorts", "seeds")


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
    """The mean of the cohort means, with what says how sure it is.

    Columns: `by`, mean, std_cohorts (between cohort means, what papers print), std_seeds (of the macro mean
    between seeds; NaN for one), low and high (95% interval from drawing folds with replacement within each
    cohort), cohorts, seeds. Cohorts without a defined fold are left out and counted by `cohorts`.
    """
    rows: list[dict[str, Any]] = []
    for key, part in scores.groupby(list(by), sort=False):
        named = dict(zip(by, key, strict=True))
        folds = fold_means(part, []).dropna()
        values = [group["value"].to_numpy() for _, group in folds.groupby("cohort", sort=False)]
        means = np.array([found.mean() for found in values])
        seeds = part.groupby(["seed", "cohort"])["value"].mean().groupby("seed").mean()
        low, high = _interval(values, replicates)
        rows.append(
            {**named, "mean": means.mean() if len(means) else np.nan,
             "std_cohorts": means.std(ddof=1) if len(means) > 1 else np.nan,
             "std_seeds": seeds.std(ddof=1) if len(seeds) > 1 else np.nan,
             "low": low, "high": high, "cohorts": len(values), "seeds": len(seeds)}
        )  # fmt: skip
    return pd.DataFrame(rows, columns=[*by, *MACRO_COLUMNS])


def _interval(values: list[NDArray[np.float64]], replicates: int) -> tuple[float, float]:
    if not values or max(map(len, values)) < 2:
        return float("nan"), float("nan")
    rng = np.random.default_rng(0)
    draws = [found[rng.integers(0, len(found), (replicates, len(found)))].mean(axis=1) for found in values]
    low, high = np.quantile(np.mean(draws, axis=0), [0.025, 0.975])
    return float(low), float(high)


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

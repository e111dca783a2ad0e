"""Is one method better than another: paired comparisons on the same patients, folds and seeds."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd

from prime.downstream.fit import FITTED, Fit
from prime.downstream.scoring import ENTRY, entry_of
from prime.evaluation.averages import fold_means
from prime.evaluation.comparison import CohortPredictions, Difference, Draws, bootstrap_draws, difference
from prime.evaluation.fold_tests import corrected_paired_test, wilcoxon_folds
from prime.evaluation.reported import PRIMARY, REPORTED
from prime.splits.folds import Fold

SETTING = ["task", "train_on", "share"]
COLUMNS = (
    "a", "b", "difference", "low", "high", "bootstrap_p", "corrected_t_p", "wilcoxon_p", "folds",
)  # fmt: skip


@dataclass(frozen=True)
class MethodPredictions:
    """What one method predicts for the test patients of a task under one pattern.

    Attributes:
        facts: index (cohort, patient_id); fold, event, time_days, and entry_days of tasks that have any.
        risks: the same index, a column a seed.
        binary: whether the task is.
        replicates: of the bootstrap.
    """

    facts: pd.DataFrame
    risks: pd.DataFrame
    binary: bool
    replicates: int

    @classmethod
    def of(cls, predictions: pd.DataFrame, binary: bool, replicates: int) -> "MethodPredictions":
        """From rows of predictions.csv; one seed where seeds have folds of their own.

        Patients whose fold could not be fitted with every seed are left out.
        """
        keys = ["cohort", "patient_id"]
        if (predictions.groupby(keys)["fold"].nunique() > 1).any():
            predictions = predictions[predictions["seed"] == predictions["seed"].iloc[0]]
        risks = predictions.pivot(index=keys, columns="seed", values="risk").dropna()
        names = ["fold", "event", "time_days", *([ENTRY] if entry_of(predictions) is not None else [])]
        facts = predictions.drop_duplicates(keys).set_index(keys)[names]
        return cls(facts.loc[risks.index], risks, binary, replicates)

    def only(self, patients: pd.Index) -> "MethodPredictions":
        """The same of some patients, in their order."""
        return replace(self, facts=self.facts.loc[patients], risks=self.risks.loc[patients])

    @property
    def cohorts(self) -> list[CohortPredictions]:
        """A cohort each, in the order of their names."""
        found: list[CohortPredictions] = []
        for rows in self.facts.groupby(level="cohort").indices.values():
            facts = self.facts.iloc[rows]
            found.append(
                CohortPredictions(
                    facts["fold"].to_numpy(),
                    facts["event"].to_numpy(dtype=bool),
                    self.risks.iloc[rows].to_numpy(),
                    None if self.binary else facts["time_days"].to_numpy(dtype=np.float64),
                    None if self.binary else entry_of(facts),
                )
            )
        return found

    @cached_property
    def draws(self) -> Draws:
        """The primary metric on draws of the patients, the same for every method that tests the same ones."""
        return bootstrap_draws("auroc" if self.binary else "concordance", self.cohorts, self.replicates)


def predicted_difference(a: MethodPredictions, b: MethodPredictions) -> Difference:
    """The macro mean of the primary metric, a less b, on the patients of both."""
    if not a.risks.index.equals(b.risks.index):
        shared = a.risks.index.intersection(b.risks.index)
        a, b = a.only(shared), b.only(shared)
    return difference(a.draws, b.draws)


def paired_difference(a: pd.DataFrame, b: pd.DataFrame, binary: bool, replicates: int = 1000) -> Difference:
    """`predicted_difference` of two methods' rows of predictions.csv of one task and pattern."""
    return predicted_difference(*(MethodPredictions.of(frame, binary, replicates) for frame in (a, b)))


def compare(
    predictions: pd.DataFrame,
    scores: pd.DataFrame,
    pairs: Iterable[tuple[str, str]],
    folds: Iterable[Fold],
    binary: bool,
    replicates: int = 1000,
) -> pd.DataFrame:
    """A row a pair of methods: paired bootstrap over patients, corrected t and Wilcoxon over cohort-folds.

    Args:
        predictions: rows of predictions.csv of one task and pattern, with a column `label`, the method.
        scores: the rows of folds.csv of its primary metric, with the same column.
        pairs: labels a and b, compared as a less b.
        folds: those of the fits, for the share of patients who are tested.
        binary: whether the task is.
        replicates: of the bootstrap.

    Returns:
        Columns `COLUMNS`; difference is that of the macro means, folds the number that both tests rest on.
    """
    share = share_tested(list(folds))
    values = fold_means(scores, ["label"]).pivot(index=["cohort", "fold"], columns="label", values="value")
    methods = {
        str(label): MethodPredictions.of(part, binary, replicates)
        for label, part in predictions.groupby("label")
    }
    rows: list[dict[str, Any]] = []
    for a, b in pairs:
        boot = predicted_difference(methods[a], methods[b])
        corrected = corrected_paired_test((values[a] - values[b]).to_numpy(), share)
        ranked = wilcoxon_folds(values[a].to_numpy(), values[b].to_numpy())
        rows.append(
            {"a": a, "b": b, "difference": boot.value, "low": boot.low, "high": boot.high,
             "bootstrap_p": boot.p_value, "corrected_t_p": corrected.p_value, "wilcoxon_p": ranked.p_value,
             "folds": corrected.n}
        )  # fmt: skip
    return pd.DataFrame(rows, columns=list(COLUMNS))


def share_tested(folds: Sequence[Fold]) -> float:
    """Test patients over test and training patients; those who validate count on neither side."""
    tested = sum(len(fold.test) for fold in folds)
    return tested / (tested + sum(len(fold.train) for fold in folds))


def way(method: str, init: str, mode: str) -> str:
    """A method in files and on the screen: `prime pretrained lp`, `late_ridge`."""
    return method if mode == FITTED else f"{method} {init} {mode}"


def every_difference(
    predictions: Callable[[str], pd.DataFrame], scores: pd.DataFrame, fits: Sequence[Fit], replicates: int
) -> pd.DataFrame:
    """Every pair of methods of each task, training set and share of labels, everything observed.

    Args:
        predictions: gives the rows of predictions.csv of a task under the pattern `all`; curves not needed.
        scores: folds.csv.
        fits: what was fitted.
        replicates: of the bootstrap.

    Returns:
        differences.csv: columns `SETTING`, metric and `COLUMNS`.
    """
    chosen = scores["metric"].isin(PRIMARY) & (scores["test_on"] == "everyone") & (scores["pattern"] == "all")
    frames: list[pd.DataFrame] = []
    for task, of_task in _labelled(scores[chosen]).groupby("task", sort=False):
        tested = _labelled(predictions(str(task)))
        for _, mine in of_task.groupby(["train_on", "share"], sort=False):
            setting: dict[str, Any] = {name: mine[name].iloc[0] for name in (*SETTING, "metric")}
            same = (tested["train_on"] == setting["train_on"]) & (tested["share"] == setting["share"])
            key = tuple(setting[name] for name in SETTING)
            used = [fit for fit in fits if (fit.task.name, fit.train_on, fit.share) == key]
            folds = [fold for fit in used for fold in fit.folds]
            binary = "binary" in REPORTED[setting["metric"]].of
            pairs = combinations(dict.fromkeys(mine["label"]), 2)
            found = compare(tested[same], mine, pairs, folds, binary, replicates)
            frames.append(found.assign(**setting))
    columns = [*SETTING, "metric", *COLUMNS]
    filled = [frame for frame in frames if len(frame)]
    return pd.concat(filled, ignore_index=True)[columns] if filled else pd.DataFrame(columns=columns)


def nearest(differences: pd.DataFrame, count: int = 3) -> pd.DataFrame:
    """The best method of each setting less those that come next, but not less one that is identical to it.

    Args:
        differences: as of `every_difference`.
        count: rows a setting, at most.

    Returns:
        The same columns, `a` the best, the smallest difference first.
    """
    known = differences[differences["difference"].notna()]
    turned = known.rename(columns={"a": "b", "b": "a", "low": "high", "high": "low"})
    ends = ["difference", "low", "high"]
    turned[ends] = -turned[ends]
    frames = [known[:0]]
    for _, part in pd.concat([known, turned]).groupby(SETTING, sort=False):
        best = part.groupby("a", sort=False)["difference"].mean().idxmax()
        mine = part[(part["a"] == best) & ((part["difference"] != 0) | (part["wilcoxon_p"] < 1))]
        frames.append(mine.sort_values("difference", kind="stable").head(count))
    return pd.concat([frame for frame in frames if len(frame)] or frames, ignore_index=True)


def _labelled(frame: pd.DataFrame) -> pd.DataFrame:
    ways = zip(frame["method"], frame["init"], frame["mode"], strict=True)
    return frame.assign(label=[way(*names) for names in ways])

"""Is one method better than another: paired comparisons on the same patients, folds and seeds."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd

from prime.downstream.fit import FITTED, Fit
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
        facts: index (cohort, patient_id); fold, event and time_days.
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
        facts = predictions.drop_duplicates(keys).set_index(keys)[["fold", "event", "time_days"]]
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
    predictions: pd.DataFrame, scores: pd.DataFrame, fits: Iterable[Fit], replicates: int
) -> pd.DataFrame:
    """Every pair of methods of each task, training set and share of labels, everything observed.

    Args:
        predictions: rows of predictions.csv under the pattern `all`, without curves.
        scores: folds.csv.
        fits: what was fitted.
        replicates: of the bootstrap.

    Returns:
        Columns `SETTING`, metric and `COLUMNS`.
    """
    chosen = scores["metric"].isin(PRIMARY) & (scores["test_on"] == "everyone") & (scores["pattern"] == "all")
    scores, predictions = _labelled(scores[chosen]), _labelled(predictions)
    folds: dict[tuple[object, ...], list[Fold]] = {}
    for fit in fits:
        folds.setdefault((fit.task.name, fit.train_on, fit.share), []).extend(fit.folds)
    frames: list[pd.DataFrame] = []
    for key, mine in scores.groupby(SETTING, sort=False):
        setting: dict[str, Any] = dict(zip(SETTING, key, strict=True))
        same = np.logical_and.reduce([predictions[name] == value for name, value in setting.items()])
        metric = str(mine["metric"].iloc[0])
        pairs = combinations(dict.fromkeys(mine["label"]), 2)
        binary = "binary" in REPORTED[metric].of
        found = compare(predictions[same], mine, pairs, folds[key], binary, replicates)
        frames.append(found.assign(**setting, metric=metric))
    columns = [*SETTING, "metric", *COLUMNS]
    return pd.concat(frames, ignore_index=True)[columns] if frames else pd.DataFrame(columns=columns)


def _labelled(frame: pd.DataFrame) -> pd.DataFrame:
    ways = zip(frame["method"], frame["init"], frame["mode"], strict=True)
    return frame.assign(label=[way(*names) for names in ways])

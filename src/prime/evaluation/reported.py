"""The metrics that are reported: a function and an entry of `REPORTED` each.

Every table of scores is made from this list, in its order: folds.csv, summary.csv, the table of metrics.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np

from prime.arrays import Flags, Floats
from prime.evaluation.binary_metrics import average_precision
from prime.evaluation.calibration import Calibration, binary_calibration, survival_calibration_slope
from prime.evaluation.d_calibration import d_calibration
from prime.evaluation.metrics import Score, auroc, concordance
from prime.evaluation.step_curves import own_time_survival, step_survival
from prime.evaluation.survival_metrics import (
    DELAYED_ENTRY,
    integrated_brier_score,
    ipcw_concordance,
    time_dependent_auc,
)

Kind = Literal["survival", "binary"]
Scope = Literal["fold", "cohort"]
Ideal = Literal["high", "low", "compatible"] | float
LEVEL = 0.05  # below it a p value says that predictions and outcomes are not compatible


@dataclass(frozen=True)
class FoldPredictions:
    """The test patients of one fold, what a model predicts for them, and whom it was trained on.

    Attributes:
        time: (n,) days.
        event: (n,) bool, True = event observed; for a binary task the label.
        risk: (n,), higher = worse.
        edges: (T + 1,) ends of the time bins in days; a binary task has one bin, which ends at the horizon.
        survival: (n, T) probability of no event by the end of each bin.
        train_time, train_event: (m,) of the training patients, who give the censoring distribution.
        weight: of each patient, where predictions of several seeds stand side by side: 1 / seeds.
        entry: (n,) delayed entry in days; None where all were under observation from the beginning.
    """

    time: Floats
    event: Flags
    risk: Floats
    edges: Floats
    survival: Floats
    train_time: Floats
    train_event: Flags
    weight: float = 1.0
    entry: Floats | None = None

    @property
    def followed(self) -> tuple[Floats, Flags, Floats, Flags]:
        """Times and events of the training and of the test patients, which weights by censoring need."""
        return self.train_time, self.train_event, self.time, self.event

    @property
    def inner_edges(self) -> Floats:
        """(T - 1,) days. The last bin of a curve is open: survival at its end is none by any day."""
        return self.edges[1:-1]

    @cached_property
    def curve(self) -> Floats:
        """(n, T - 1) predicted survival at the inner edges."""
        return step_survival(self.edges, self.survival, self.inner_edges)

    @property
    def probability(self) -> Floats:
        """(n,) predicted chance of an event within the first bin: of a positive, in a binary task."""
        return 1 - self.survival[:, 0]

    @cached_property
    def recalibration(self) -> Calibration:
        """Of the probabilities of a binary task."""
        return binary_calibration(self.event, self.probability)


@dataclass(frozen=True)
class Metric:
    """A metric and what tables need to know of it.

    Attributes:
        name: in files.
        title: in tables.
        ideal: `high` or `low` where more or less is better, the ideal number, or `compatible` for the p value
            of a test that predictions and outcomes agree.
        of: by kind of task, the function: of a `FoldPredictions` to a `Score`, or, with scope `cohort`, of a
            sequence of them, all folds and seeds of a cohort.
        scope: whether it has a value in each fold, or one in a cohort.
        primary: the metric of its tasks in the tables of methods.
    """

    name: str
    title: str
    ideal: Ideal
    of: Mapping[Kind, Callable[[Any], Score]]
    scope: Scope = "fold"
    primary: bool = False


_ONE_BIN = "a single time bin, which is open: there is no survival curve"


def _of_curve(
    score: Callable[[FoldPredictions], Score], weighted: bool = True
) -> dict[Kind, Callable[[Any], Score]]:
    """A metric of survival curves, undefined where the only bin is open.

    One that is `weighted` for censoring is undefined with delayed entry, too.
    """

    def scored(fold: FoldPredictions) -> Score:
        weighs = weighted and fold.entry is not None
        if len(fold.inner_edges) and not weighs:
            return score(fold)
        reason = DELAYED_ENTRY if weighs else _ONE_BIN
        return Score(float("nan"), len(fold.time), int(fold.event.sum()), reason)

    return {"survival": scored}


def _uno(fold: FoldPredictions) -> Score:
    """Uno's C with the training patients' censoring."""
    if fold.entry is not None:
        return Score(float("nan"), len(fold.time), int(fold.event.sum()), DELAYED_ENTRY)
    return ipcw_concordance(*fold.followed, fold.risk)


def _middle_slope(fold: FoldPredictions) -> Score:
    """Calibration slope at the middle inner edge."""
    middle = fold.curve[:, len(fold.inner_edges) // 2]
    return survival_calibration_slope(fold.time, fold.event, middle, entry=fold.entry)


def _pooled_d_calibration(folds: Sequence[FoldPredictions]) -> Score:
    """p of the held-out survival at the own times of all patients of a cohort, each by the model of its fold.

    Beyond the last inner edge the curve says no more than "later", so an event there counts as censored.
    """
    n = round(sum(len(fold.time) * fold.weight for fold in folds))
    events = round(sum(int(fold.event.sum()) * fold.weight for fold in folds))
    curves = [fold for fold in folds if len(fold.inner_edges)]
    if not curves:
        return Score(float("nan"), n, events, _ONE_BIN if n else "nobody")
    if any(fold.entry is not None for fold in folds):
        return Score(float("nan"), n, events, "delayed entry: survival from the entry on is not uniform")
    found = d_calibration(
        np.concatenate([fold.time for fold in curves]),
        np.concatenate([fold.event & (fold.time <= fold.inner_edges[-1]) for fold in curves]),
        np.concatenate([own_time_survival(fold.edges, fold.survival, fold.time) for fold in curves]),
        weight=np.concatenate([np.full(len(fold.time), fold.weight) for fold in curves]),
    )
    return Score(found.p_value, n, events, found.reason)


METRICS = (
    Metric(
        "c_index",
        "Harrell's C",
        "high",
        {"survival": lambda fold: concordance(fold.time, fold.event, fold.risk, entry=fold.entry)},
        primary=True,
    ),
    Metric(
        "ipcw_c_index",
        "Uno's C",
        "high",
        {"survival": _uno},
    ),
    Metric(
        "mean_time_dependent_auc",
        "time-dependent AUC",
        "high",
        _of_curve(lambda fold: time_dependent_auc(*fold.followed, 1 - fold.curve, fold.inner_edges).mean),
    ),
    Metric(
        "integrated_brier_score",
        "integrated Brier",
        "low",
        _of_curve(lambda fold: integrated_brier_score(*fold.followed, fold.curve, fold.inner_edges)),
    ),
    Metric(
        "auroc",
        "AUROC",
        "high",
        {"binary": lambda fold: auroc(fold.event, fold.probability)},
        primary=True,
    ),
    Metric(
        "average_precision",
        "average precision",
        "high",
        {"binary": lambda fold: average_precision(fold.event, fold.probability)},
    ),
    Metric(
        "calibration_slope",
        "calibration slope",
        1.0,
        {**_of_curve(_middle_slope, weighted=False), "binary": lambda fold: fold.recalibration.slope},
    ),
    Metric(
        "calibration_intercept",
        "calibration intercept",
        0.0,
        {"binary": lambda fold: fold.recalibration.intercept},
    ),
    Metric(
        "d_calibration_p",
        "D-calibration",
        "compatible",
        {"survival": _pooled_d_calibration},
        scope="cohort",
    ),
)
REPORTED: dict[str, Metric] = {metric.name: metric for metric in METRICS}
PRIMARY = tuple(metric.name for metric in METRICS if metric.primary)


def reported(kind: Kind, scope: Scope) -> list[Metric]:
    """The metrics of a kind of task with a value in each fold, or one in a cohort, in the order of tables."""
    return [metric for metric in REPORTED.values() if kind in metric.of and metric.scope == scope]

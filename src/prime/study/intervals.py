"""Do the bounds of predictions hold? Calibrated on held-out patients of other folds, tried on a fold's own.

A bound for the patients of fold k rests on held-out patients of the folds that are not k, as `prime fit`
takes it from parts of the training patients.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from prime.arrays import Flags, Floats
from prime.days import MONTH
from prime.downstream.scoring import entry_of
from prime.evaluation.lower_bounds import (
    death_weights,
    depth_at,
    depth_quantiles,
    label_quantiles,
    possible_labels,
)
from prime.evaluation.step_curves import row_interpolation
from prime.render.tables import Table, cell
from prime.settings.evaluation import TaskConfig
from prime.study.arms import Arm
from prime.study.context import PRIME_ARM, Context, Output, Results, Study

LEVELS = (0.8, 0.9)
HOW = ("by pattern", "once")


@dataclass(frozen=True)
class Curves:
    """Predicted cumulative hazards of n patients: ends (n, T) in days and heights (n, T), linear between."""

    ends: Floats
    heights: Floats

    def height(self, days: Floats) -> Floats:
        """At days (n,)."""
        return row_interpolation(days, self.ends, self.heights)

    def reach(self, height: float) -> Floats:
        """Days (n,) at which the hazard reaches a height; the last end where it does not."""
        return row_interpolation(np.full(len(self.ends), height), self.heights, self.ends)

    def take(self, rows: Flags) -> "Curves":
        """Some of the patients."""
        return Curves(self.ends[rows], self.heights[rows])


def read_curves(predictions: pd.DataFrame) -> Curves:
    """Of predictions with columns edge_days_k and survival_k; the open last bin ends at the last time."""
    count = sum(str(name).startswith("edge_days_") for name in predictions)
    ends = predictions[[f"edge_days_{k + 1}" for k in range(count)]].to_numpy(dtype=np.float64)
    survival = predictions[[f"survival_{k + 1}" for k in range(count)]].to_numpy(dtype=np.float64)
    last = float(predictions["time_days"].max()) + 1
    ends = np.where(np.isfinite(ends), ends, last + np.arange(count))
    heights = -np.log(np.clip(survival, 1e-12, 1))
    known: Floats = np.maximum.accumulate(np.nan_to_num(heights, nan=-np.inf), axis=1)
    return Curves(ends, known + np.arange(count) * 1e-12)


def weights_of(predictions: pd.DataFrame) -> Floats:
    """Of deaths (n,), within each cohort."""
    weight = np.zeros(len(predictions))
    (time, event), entry = _outcome(predictions), entry_of(predictions)
    for rows in predictions.groupby("cohort").indices.values():
        weight[rows] = death_weights(time[rows], event[rows], None if entry is None else entry[rows])
    return weight


def _outcome(predictions: pd.DataFrame) -> tuple[Floats, Flags]:
    return predictions["time_days"].to_numpy(dtype=np.float64), predictions["event"].to_numpy(dtype=bool)


def bounds_of(predictions: pd.DataFrame, level: float, calibrating: pd.DataFrame) -> Floats:
    """Days (n,) that each patient outlives with the probability `level`, from other folds of `calibrating`.

    `predictions`, `calibrating`: held-out patients under one pattern each.
    """
    curves, others = read_curves(predictions), read_curves(calibrating)
    depth = -np.expm1(-others.height(calibrating["time_days"].to_numpy(dtype=np.float64)))
    weight = weights_of(calibrating)
    bound = np.zeros(len(predictions))
    for fold in predictions["fold"].unique():
        rest = (calibrating["fold"] != fold).to_numpy()
        mine = (predictions["fold"] == fold).to_numpy()
        a = depth_at(1 - level, depth_quantiles(depth[rest], weight[rest]))
        bound[mine] = curves.take(mine).reach(-np.log1p(-min(a, 1 - 1e-12)))
    return bound


def coverage(predictions: pd.DataFrame, level: float) -> pd.DataFrame:
    """By pattern: the share that outlives its bound, calibrated by pattern and on everything observed.

    Columns pattern, calibrated (by pattern, or once with everything observed), level, covered, width (the
    median bound in months), n, events.
    """
    rows: list[dict[str, object]] = []
    whole = predictions[predictions["pattern"] == "all"]
    for pattern, own in predictions.groupby("pattern", sort=False):
        weight = weights_of(own)
        time, event = _outcome(own)
        for how, calibrating in (("by pattern", own), ("once", whole)):
            bound = bounds_of(own, level, calibrating)
            rows.append(
                {"pattern": pattern, "calibrated": how, "level": level,
                 "covered": 1 - weight[time < bound].sum() / len(own),
                 "width": float(np.median(bound)) / MONTH, "n": len(own), "events": int(event.sum())}
            )  # fmt: skip
    return pd.DataFrame(rows)


def label_coverage(predictions: pd.DataFrame, level: float) -> pd.DataFrame:
    """By pattern, for a binary task: how often the true label is among the possible ones.

    Columns as of `coverage`; width is the share of patients with one possible label.
    """
    rows: list[dict[str, object]] = []
    whole = predictions[predictions["pattern"] == "all"]
    for pattern, own in predictions.groupby("pattern", sort=False):
        label = own["event"].to_numpy(dtype=bool)
        for how, calibrating in (("by pattern", own), ("once", whole)):
            without, having = _possible(own, calibrating, level)
            covered = np.where(label, having, without)
            rows.append(
                {"pattern": pattern, "calibrated": how, "level": level, "covered": covered.mean(),
                 "width": float((without != having).mean()), "n": len(own), "events": int(label.sum())}
            )  # fmt: skip
    return pd.DataFrame(rows)


def _possible(own: pd.DataFrame, calibrating: pd.DataFrame, level: float) -> tuple[Flags, Flags]:
    without, having = (np.zeros(len(own), dtype=bool) for _ in range(2))
    for fold in own["fold"].unique():
        rest, mine = calibrating[calibrating["fold"] != fold], (own["fold"] == fold).to_numpy()
        quantiles = label_quantiles(_probability(rest), rest["event"].to_numpy(dtype=bool))
        without[mine], having[mine] = possible_labels(_probability(own)[mine], quantiles, level)
    return without, having


def _probability(predictions: pd.DataFrame) -> Floats:
    return 1 - predictions["survival_1"].to_numpy(dtype=np.float64)


# The tables -------------------------------------------------------------------------------------------------


def arms(context: Context) -> list[Arm]:
    """PRIME with the first of its heads over all cohorts, as `prime fit` fits it."""
    return [context.arm(PRIME_ARM, {"inits": ["pretrained"], "modes": ["lp_shared"]})]


def _table(context: Context, results: Results, task: TaskConfig) -> Table:
    patterns = results.evaluations[0].data.patterns
    predictions = pd.concat(
        [results.predictions(task.name, pattern, curves=True) for pattern in patterns], ignore_index=True
    )
    binary = task.horizon_days is not None
    measure = label_coverage if binary else coverage
    scores = pd.concat([measure(predictions, level) for level in LEVELS], ignore_index=True)
    counts = scores.drop_duplicates("pattern").set_index("pattern")[["n", "events"]].astype(str)
    shown = counts.copy()
    for level in LEVELS:
        for how in HOW:
            mine = scores[(scores["level"] == level) & (scores["calibrated"] == how)].set_index("pattern")
            shown[f"{level:.0%}, {how}"] = mine["covered"].map(cell)
        by_pattern = scores[(scores["level"] == level) & (scores["calibrated"] == HOW[0])]
        width = by_pattern.set_index("pattern")["width"]
        name = "one label" if binary else "months"
        shown[f"{level:.0%}, {name}"] = width.map(lambda value: cell(value, digits=2 if binary else 1))
    what = (
        "how often the true label is not ruled out; `one label`: how many patients have one possible label"
        if binary
        else "how many outlive their bound; `months`: the median bound. Deaths are weighted for censoring"
    )
    return Table(
        f"intervals_{task.name}",
        f"Promised and kept: bounds of {task.name}, by what is missing",
        f"LP shared: {what}. Bounds are calibrated on held-out patients of the other folds, of all cohorts,"
        " pattern by pattern, or once with everything observed.",
        scores,
        shown,
    )


def build(context: Context, results: Results) -> Output:
    """A table a task."""
    return Output([_table(context, results, task) for task in context.config.evaluate.tasks])


STUDY = Study("intervals", "Bounds, pattern by pattern", arms, build)

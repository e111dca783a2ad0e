"""From predictions to scores: one row a fold, pattern and metric; intervals over patients; the files."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from prime.arrays import Flags, Floats
from prime.evaluation.averages import CONSTANT
from prime.evaluation.metrics import Score, bootstrap_interval, concordance_within
from prime.evaluation.reported import FoldPredictions, Kind, reported
from prime.evaluation.summary import FOLD_COLUMNS, POOLED_COLUMNS, summarise
from prime.files import replacing, write_csv, write_json

FOLD_KEYS = [
    "method", "init", "mode", "train_on", "share", "task", "cohort", "fold", "seed", "pattern",
]  # fmt: skip
COHORT_KEYS = [key for key in FOLD_KEYS if key not in ("cohort", "fold", "seed")]
COLUMNS = [
    "method", "init", "mode", "train_on", "share", "task", "pattern", "patient_id", "cohort", "fold", "seed",
    "complete", "risk", "event", "time_days",
]  # fmt: skip
ENTRY = "entry_days"  # of tasks with delayed entry
Training = tuple[Floats, Flags]
NOBODY: Training = (np.empty(0), np.empty(0, dtype=bool))


def curve_columns(frame: pd.DataFrame) -> tuple[Floats, Floats]:
    """Edges (T + 1,) and survival (n, T) of one fold's rows of predictions.csv."""
    bins = sum(
        frame[str(c)].notna().any() for c in frame.columns if str(c).startswith("survival_")
    )  # folds with fewer bins than others leave the last columns empty
    numbers = range(1, int(bins) + 1)
    ends = [float(frame[f"edge_days_{k}"].iloc[0]) for k in numbers]
    survival = frame[[f"survival_{k}" for k in numbers]].to_numpy(dtype=np.float64)
    return np.array([-np.inf, *ends]), survival


def kind_of(predictions: pd.DataFrame) -> Kind:
    """Whether these rows of one task hold a survival curve, or one probability at a horizon."""
    closed = bool(np.isfinite(predictions["edge_days_1"]).all())
    several = "survival_2" in predictions and predictions["survival_2"].notna().any()
    return "binary" if closed and not several else "survival"


def fold_predictions(
    frame: pd.DataFrame, training: Training = NOBODY, weight: float = 1.0
) -> FoldPredictions:
    """One fold's rows of predictions.csv, as the metrics read them."""
    edges, survival = curve_columns(frame)
    time, risk = (frame[name].to_numpy(dtype=np.float64) for name in ("time_days", "risk"))
    return FoldPredictions(
        time, frame["event"].to_numpy(dtype=bool), risk, edges, survival, *training, weight, entry_of(frame)
    )


def entry_of(frame: pd.DataFrame) -> Floats | None:
    """Delayed entry (n,) in days of rows of predictions.csv; None where the task has none."""
    if ENTRY not in frame or frame[ENTRY].isna().all():
        return None
    return frame[ENTRY].to_numpy(dtype=np.float64)


def score_folds(predictions: pd.DataFrame, training: dict[Any, Training]) -> pd.DataFrame:
    """Every metric of every fold and pattern: the rows of folds.csv.

    Each is computed over everyone tested who has something left, and over those of them who have every
    modality (`test_on`). `training` maps (cohort, fold) to the training patients' times and events; a binary
    task is one whose rows hold a single bin with a finite end.
    """
    rows: list[dict[str, Any]] = []
    for key, part in predictions.groupby(FOLD_KEYS, sort=False):
        named, kind = dict(zip(FOLD_KEYS, key, strict=True)), kind_of(part)  # pyright: ignore[reportArgumentType]
        for whom, tested in _tested(part):
            fold = fold_predictions(tested, training[named["cohort"], named["fold"]])
            constant = len(tested) > 1 and np.ptp(fold.risk) == 0
            for metric in reported(kind, "fold"):
                score = metric.of[kind](fold)
                rows.append(
                    {**named, "test_on": whom, "metric": metric.name, "value": score.value, "n": score.n,
                     "events": score.events, "pairs": score.pairs, "reason": score.reason,
                     "note": CONSTANT if constant else None}
                )  # fmt: skip
    return pd.DataFrame(rows, columns=list(FOLD_COLUMNS))


def _tested(part: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """Everyone tested, and those who have every modality, where there are any."""
    for whom, tested in (("everyone", part), ("complete", part[part["complete"]])):
        if len(tested):
            yield whom, tested


def score_cohorts(predictions: pd.DataFrame, by: Sequence[str] = COHORT_KEYS) -> pd.DataFrame:
    """The metrics that have one value in a cohort: a row a value of `by`, cohort, test_on and metric.

    `predictions` hold all folds and seeds of the cohorts in them. Where several seeds predict a patient, each
    counts for a part of the patient. The columns after `by` are those of `summary.POOLED_COLUMNS`.
    """
    rows: list[dict[str, Any]] = []
    for (*key, cohort), part in predictions.groupby([*by, "cohort"], sort=False):
        named, kind = dict(zip(by, key, strict=True)), kind_of(part)
        for whom, tested in _tested(part):
            seeds = tested.groupby("fold")["seed"].nunique().to_dict()
            folds = [
                fold_predictions(rows, weight=1 / seeds[fold])
                for (fold, _), rows in tested.groupby(["fold", "seed"], sort=True)
            ]
            for metric in reported(kind, "cohort"):
                score = metric.of[kind](folds)
                rows.append(
                    {**named, "cohort": cohort, "test_on": whom, "metric": metric.name, "value": score.value,
                     "n": score.n, "events": score.events, "n_folds": len(seeds),
                     "n_seeds": tested["seed"].nunique(), "reason": score.reason}
                )  # fmt: skip
    last = [name for name in POOLED_COLUMNS if name not in COHORT_KEYS]
    return pd.DataFrame(rows, columns=[*by, *last])


def cohort_intervals(predictions: pd.DataFrame, replicates: int) -> pd.DataFrame:
    """The primary metric over a cohort's test patients, pairs within a fold only, with a bootstrap interval.

    AUROC is the concordance of labels: every positive with every negative.
    """
    keys = [k for k in FOLD_KEYS if k != "fold"]
    rows: list[dict[str, Any]] = []
    for key, part in predictions.groupby(keys, sort=False):
        binary = kind_of(part) == "binary"
        event = part["event"].to_numpy(dtype=bool)
        order = np.where(event, 0.0, 1.0) if binary else part["time_days"].to_numpy(dtype=np.float64)
        arrays = [order, event, part["risk"].to_numpy(dtype=np.float64), part["fold"].to_numpy()]
        entry = entry_of(part)
        arrays += [] if entry is None else [entry]
        score = _within_folds(*arrays)
        interval = bootstrap_interval(_within_folds, *arrays, replicates=replicates, seed=0)
        row = dict(zip(keys, key, strict=True))  # pyright: ignore[reportArgumentType]
        row |= {"metric": "auroc_within_fold" if binary else "c_index_within_fold"}
        row |= {"value": score.value, "low": interval.low, "high": interval.high}
        rows.append(row | {"n": score.n, "events": score.events, "reason": score.reason})
    return pd.DataFrame(rows)


def _within_folds(time: Floats, event: Flags, risk: Floats, fold: Any, entry: Floats | None = None) -> Score:
    return concordance_within(time, event, risk, fold, entry=entry)


def write_tables(
    predictions: Iterable[pd.DataFrame],
    curves: list[str],
    folds: pd.DataFrame,
    manifest: dict[str, Any],
    out: Path,
    replicates: int,
) -> None:
    """Write predictions.csv, folds.csv, summary.csv, intervals.csv and manifest.json.

    `predictions` come a cohort and way of training at a time, all of its folds and seeds, and are held one
    at a time; `curves` are the columns of survival curves that any of them has.
    """
    columns = [*COLUMNS, *curves]
    pooled: list[pd.DataFrame] = []
    intervals: list[pd.DataFrame] = []
    with replacing(out / "predictions.csv") as temporary, temporary.open("w", newline="") as file:
        pd.DataFrame(columns=columns).to_csv(file, index=False)
        for part in predictions:
            part.reindex(columns=columns).to_csv(file, index=False, header=False)
            pooled += [found] if len(found := score_cohorts(part)) else []  # none of a binary task
            if replicates:
                intervals.append(cohort_intervals(part, replicates))
    tables = {"folds": folds, "summary": summarise(folds, pd.concat(pooled) if pooled else None)}
    if replicates:
        tables["intervals"] = pd.concat(intervals, ignore_index=True)
    for name, table in tables.items():
        write_csv(out / f"{name}.csv", table)
    write_json(out / "manifest.json", manifest)

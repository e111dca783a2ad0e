"""From predictions to scores: one row a fold, pattern and metric; intervals over patients; the files."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from prime.arrays import Floats
from prime.evaluation.binary_metrics import average_precision
from prime.evaluation.calibration import binary_calibration, survival_calibration_slope
from prime.evaluation.d_calibration import d_calibration
from prime.evaluation.metrics import Score, auroc, bootstrap_interval, concordance, concordance_within
from prime.evaluation.step_curves import own_time_survival, step_survival
from prime.evaluation.summary import FOLD_COLUMNS, summarise
from prime.evaluation.survival_metrics import integrated_brier_score, ipcw_concordance, time_dependent_auc
from prime.files import replacing, write_json

FOLD_KEYS = [
    "method", "init", "mode", "train_on", "share", "task", "cohort", "fold", "seed", "pattern",
]  # fmt: skip
COLUMNS = [
    "method", "init", "mode", "train_on", "share", "task", "pattern", "patient_id", "cohort", "fold", "seed",
    "complete", "risk", "event", "time_days",
]  # fmt: skip


def curve_columns(frame: pd.DataFrame) -> tuple[Floats, Floats]:
    """Edges (T + 1,) and survival (n, T) of one fold's rows of predictions.csv."""
    bins = sum(
        frame[str(c)].notna().any() for c in frame.columns if str(c).startswith("survival_")
    )  # folds with fewer bins than others leave the last columns empty
    numbers = range(1, int(bins) + 1)
    ends = [float(frame[f"edge_days_{k}"].iloc[0]) for k in numbers]
    survival = frame[[f"survival_{k}" for k in numbers]].to_numpy(dtype=np.float64)
    return np.array([-np.inf, *ends]), survival


def _survival_scores(
    frame: pd.DataFrame, train_time: Floats, train_event: NDArray[np.bool_]
) -> dict[str, Score]:
    """Every metric of a survival task; the training patients give the censoring distribution."""
    time, event = frame["time_days"].to_numpy(np.float64), frame["event"].to_numpy(dtype=bool)
    risk = frame["risk"].to_numpy(np.float64)
    edges, survival = curve_columns(frame)
    at = edges[1:-1]  # the last bin is open: survival at its end is not a probability by any day
    train = (train_time, train_event)
    curve = step_survival(edges, survival, at)
    scores = {
        "c_index": concordance(time, event, risk),
        "ipcw_c_index": ipcw_concordance(*train, time, event, risk),
    }
    if len(at):
        scores["mean_time_dependent_auc"] = time_dependent_auc(*train, time, event, 1 - curve, at).mean
        scores["integrated_brier_score"] = integrated_brier_score(*train, time, event, curve, at)
        scores["calibration_slope"] = survival_calibration_slope(time, event, curve[:, len(at) // 2])
        own = own_time_survival(edges, survival, time)
        within = event & (time <= at[-1])  # beyond, the curve says no more than "later"
        found = d_calibration(time, within, own)
        scores["d_calibration_p"] = Score(found.p_value, len(time), int(event.sum()), found.reason)
    return scores


def _binary_scores(frame: pd.DataFrame) -> dict[str, Score]:
    """Every metric of a binary task."""
    label, probability = frame["event"].to_numpy(dtype=bool), 1 - frame["survival_1"].to_numpy(np.float64)
    calibration = binary_calibration(label, probability)
    return {
        "auroc": auroc(label, probability),
        "average_precision": average_precision(label, probability),
        "calibration_slope": calibration.slope,
        "calibration_intercept": calibration.intercept,
    }


def score_folds(
    predictions: pd.DataFrame, training: dict[Any, tuple[Floats, NDArray[np.bool_]]]
) -> pd.DataFrame:
    """Every metric of every fold and pattern: the rows of folds.csv.

    Each is computed over everyone tested who has something left, and over those of them who have every
    modality (`test_on`). `training` maps (cohort, fold) to the training patients' times and events; a binary
    task is one whose rows hold a single bin with a finite end.
    """
    rows: list[dict[str, Any]] = []
    for key, part in predictions.groupby(FOLD_KEYS, sort=False):
        named = dict(zip(FOLD_KEYS, key, strict=True))  # pyright: ignore[reportArgumentType]
        for whom, tested in (("everyone", part), ("complete", part[part["complete"]])):
            for metric, score in _scores(tested, training[named["cohort"], named["fold"]]).items():
                rows.append(
                    {**named, "test_on": whom, "metric": metric, "value": score.value, "n": score.n,
                     "events": score.events, "reason": score.reason}
                )  # fmt: skip
    return pd.DataFrame(rows, columns=list(FOLD_COLUMNS))


def is_binary(predictions: pd.DataFrame) -> bool:
    """Whether these rows of one task hold a probability at a horizon and no curve."""
    return bool(np.isfinite(predictions["edge_days_1"]).all()) and not any(
        predictions[str(c)].notna().any() for c in predictions.columns if str(c).startswith("survival_2")
    )


def _scores(frame: pd.DataFrame, train: tuple[Floats, NDArray[np.bool_]]) -> dict[str, Score]:
    if not len(frame):
        return {}
    return _binary_scores(frame) if is_binary(frame) else _survival_scores(frame, *train)


def cohort_intervals(predictions: pd.DataFrame, replicates: int) -> pd.DataFrame:
    """The primary metric over a cohort's test patients, pairs within a fold only, with a bootstrap interval.

    AUROC is the concordance of labels: every positive with every negative.
    """
    keys = [k for k in FOLD_KEYS if k != "fold"]
    rows: list[dict[str, Any]] = []
    for key, part in predictions.groupby(keys, sort=False):
        binary = is_binary(part)
        event = part["event"].to_numpy(dtype=bool)
        order = np.where(event, 0.0, 1.0) if binary else part["time_days"].to_numpy(dtype=np.float64)
        arrays = [order, event, part["risk"].to_numpy(dtype=np.float64), part["fold"].to_numpy()]
        score = concordance_within(*arrays)
        interval = bootstrap_interval(concordance_within, *arrays, replicates=replicates, seed=0)
        row = dict(zip(keys, key, strict=True))  # pyright: ignore[reportArgumentType]
        row |= {"metric": "auroc_within_fold" if binary else "c_index_within_fold"}
        row |= {"value": score.value, "low": interval.low, "high": interval.high}
        rows.append(row | {"n": score.n, "events": score.events, "reason": score.reason})
    return pd.DataFrame(rows)


def write_tables(
    predictions: Iterable[pd.DataFrame],
    curves: list[str],
    folds: pd.DataFrame,
    manifest: dict[str, Any],
    out: Path,
    replicates: int,
) -> None:
    """Write predictions.csv, folds.csv, summary.csv, intervals.csv and manifest.json.

    `predictions` come a cohort and way of training at a time, all of its folds, and are held one at a time;
    `curves` are the columns of survival curves that any of them has.
    """
    columns = [*COLUMNS, *curves]
    intervals: list[pd.DataFrame] = []
    with replacing(out / "predictions.csv") as temporary, temporary.open("w", newline="") as file:
        pd.DataFrame(columns=columns).to_csv(file, index=False)
        for part in predictions:
            part.reindex(columns=columns).to_csv(file, index=False, header=False)
            if replicates:
                intervals.append(cohort_intervals(part, replicates))
    tables = {"folds": folds, "summary": summarise(folds)}
    if replicates:
        tables["intervals"] = pd.concat(intervals, ignore_index=True)
    for name, table in tables.items():
        with replacing(out / f"{name}.csv") as temporary:
            table.to_csv(temporary, index=False)
    write_json(out / "manifest.json", manifest)

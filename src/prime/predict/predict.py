"""Scoring new patients with whatever they have."""

from pathlib import Path

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from prime.downstream.embeddings import embed
from prime.downstream.probe import FittedHead
from prime.evaluation.missingness import patterns
from prime.files import write_csv
from prime.predict.inputs import NewPatientLoader, observed_modalities, require_inputs
from prime.predict.model_folder import FittedModel, load_model
from prime.progress import tracked
from prime.store.store import Store

CPU = torch.device("cpu")
AT_ONCE = 2048  # patients whose embeddings are held
NOTHING = "no modality: none of the patient's data could be used"


def day_name(days: float) -> str:
    """A column for the survival probability at this many days: `s_` and the days, to a tenth where needed."""
    return f"s_{days:.1f}".removesuffix(".0")


def survival_columns(model: FittedModel) -> list[float]:
    """The days at which any head gives a survival probability: all inner bin edges, rising."""
    return sorted({float(edge) for head in model.heads.values() for edge in head.edges[1:-1]})


def median_interval(survival: NDArray[np.float64], edges: NDArray[np.float64]) -> tuple[float, float]:
    """The bin in which survival falls to one half: days after which and by which it does.

    survival (T,) at the upper edge of each bin, edges (T + 1,). The last bin is open, so a median there, or
    beyond it, is (last edge, NaN).
    """
    inner = edges[1:-1]
    below = np.flatnonzero(survival[: len(inner)] <= 0.5)
    starts = np.concatenate([[0.0], inner])
    if len(below):
        return float(starts[below[0]]), float(inner[below[0]])
    return float(starts[-1]), float("nan")


def percentile(risk: NDArray[np.float64], reference: NDArray[np.float64]) -> NDArray[np.float64]:
    """Where risks (n,) stand among the training cohort's, 0 to 100, from its percentiles (101,)."""
    return np.interp(risk, reference, np.arange(101.0))


def _score(
    model: FittedModel, head: FittedHead, pattern: str, blocks: NDArray[np.float32]
) -> dict[str, NDArray[np.float64]]:
    """Columns of patients who have exactly this pattern; blocks (n, blocks, width)."""
    survival = head.survival(blocks)
    risk = -survival.sum(axis=1)
    if model.recalibration is not None:
        survival = model.recalibration(head.edges, survival)
    if model.description.task.horizon_days is not None:
        standing = percentile(risk, model.reference[pattern])
        return {"risk": risk, "percentile": standing, "probability": 1 - survival[:, 0]}
    medians = np.array([median_interval(row, head.edges) for row in survival])
    columns = {
        "risk": risk,
        "percentile": percentile(risk, model.reference[pattern]),
        "median_after_days": medians[:, 0],
        "median_by_days": medians[:, 1],
    }
    days = [day_name(float(edge)) for edge in head.edges[1:-1]]
    return columns | {name: survival[:, k] for k, name in enumerate(days)}


def _labels(names: tuple[str, ...], rows: NDArray[np.bool_]) -> list[str]:
    return ["+".join(n for n, has in zip(names, row, strict=True) if has) for row in rows.tolist()]


def _blank(model: FittedModel, store: Store, observed: NDArray[np.bool_]) -> pd.DataFrame:
    """A row for every patient, with what was used and imputed, and no score yet."""
    names = model.modalities
    has: NDArray[np.bool_] = np.logical_or.reduce(observed, axis=1)
    cohorts = store.patients["cohort"].to_numpy(dtype=str)
    known = np.isin(cohorts, (*model.description.cohorts, ""))
    other = f"scored, but the model was fitted on {', '.join(model.description.cohorts)} only"
    table = pd.DataFrame(
        {
            "patient_id": store.patients["patient_id"].to_numpy(dtype=object),
            "cohort": cohorts,
            "status": np.where(has, "scored", "not scored"),
            "reason": np.where(~has, NOTHING, np.where(known, "", other)),
            "pattern": _labels(names, observed),
            "imputed": _labels(names, ~observed & has[:, None]),
        }
    )
    medians = ["median_after_days", "median_by_days", *map(day_name, survival_columns(model))]
    binary = model.description.task.horizon_days is not None
    for column in ["risk", "percentile", *(["probability"] if binary else medians)]:
        table[column] = np.nan
    return table


def score_patients(model: FittedModel, store: Store, device: torch.device = CPU) -> pd.DataFrame:
    """One row a patient of the store, in its order.

    Columns: patient_id, cohort, status (scored / not scored), reason, pattern (the modalities used), imputed
    (those filled in), risk (higher = worse), percentile (0 to 100 against the training cohort seen through
    the same pattern), the bin in which survival falls to one half (median_after_days, median_by_days; the
    latter empty where that is not reached), and `s_DAYS`, the survival probability at each bin edge. For a
    task with a horizon there is `probability`, of the event by then, instead of median and survival. A
    recalibrated model has the risks and percentiles of the one it came from; the other numbers are bent.

    Raises InputError where the cohort's sources are not the model's.
    """
    network = model.checkpoint.model.to(device)
    require_inputs(store, network.inputs, model.description)
    observed = observed_modalities(store, network.inputs)
    table = _blank(model, store, observed)
    patients = np.flatnonzero(observed.any(axis=1))
    if not len(patients):
        return table
    subsets = patterns(list(model.modalities))
    loader = NewPatientLoader(store, model.checkpoint.scaling, network.inputs)
    parts = np.split(patients, range(AT_ONCE, len(patients), AT_ONCE))
    for part in tracked(parts, "predict", len(parts) > 1):
        cache = embed(network, loader, observed, part, {"all": subsets["all"]}, model.description.readout)
        for name, keep in subsets.items():
            mine = part[(observed[part] == np.array(keep)).all(axis=1)]
            if len(mine):
                columns = _score(model, model.heads[name], name, cache.take("all", mine))
                table.loc[mine, list(columns)] = np.stack(list(columns.values()), axis=1)
    return table


def predict(model_dir: Path, store: Store, out_csv: Path, device: torch.device = CPU) -> pd.DataFrame:
    """Score every patient of a store with a model folder, write `out_csv`, and return the table.

    The columns are those of `score_patients`. Raises InputError for a damaged model folder and for a cohort
    whose sources are not the model's.
    """
    table = score_patients(load_model(model_dir), store, device)
    write_csv(out_csv, table, float_format="%.6g")
    return table

"""Who can serve evaluation of an endpoint, and their times and events."""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from prime.cohort.splits import Fold, given_folds, read_folds, stratified_folds
from prime.cohort.store import Store
from prime.errors import InputError
from prime.training.config import EvaluateConfig

Indices = NDArray[np.int64]


@dataclass(frozen=True)
class Outcome:
    """One endpoint over all P patients of a store.

    Attributes:
        time_days: (P,) float64; what stands where `usable` is False never matters.
        event: (P,) bool.
        usable: (P,) bool: not excluded, an outcome, a time above zero, and at least one modality.
        left_out: reason to number of patients, for the manifest.
    """

    time_days: NDArray[np.float64]
    event: NDArray[np.bool_]
    usable: NDArray[np.bool_]
    left_out: dict[str, int]


def read_outcome(store: Store, endpoint: str) -> Outcome:
    """The endpoint of every patient. Raises InputError where the cohort does not have it."""
    column = f"{endpoint}_time_days"
    if column not in store.patients.columns:
        raise InputError(
            f"{store.path}: no endpoint {endpoint!r}; the cohort has {', '.join(store.endpoints)}"
        )
    time_days = store.patients[column].to_numpy(dtype=np.float64)
    flag = store.patients[f"{endpoint}_event"].to_numpy(dtype=np.float64)
    reasons = {
        "no outcome": np.isnan(time_days) | np.isnan(flag),
        "excluded by the clinical table": store.patients["excluded"].to_numpy(dtype=bool),
        "time not above zero": np.nan_to_num(time_days, nan=1.0) <= 0,
        "no modality": ~store.observed().any(axis=1),
    }
    usable = np.ones(len(time_days), dtype=bool)
    left_out: dict[str, int] = {}
    for reason, affected in reasons.items():
        left_out[reason] = int((affected & usable).sum())
        usable &= ~affected
    return Outcome(np.where(usable, time_days, np.nan), usable & (flag == 1), usable, left_out)


def evaluation_folds(store: Store, outcome: Outcome, config: EvaluateConfig, seed: int) -> list[Fold]:
    """Every fold of every cohort to be evaluated, from the folds file or drawn with `seed`.

    Raises InputError for an unknown cohort, and for a cohort without an event.
    """
    cohorts = store.patients["cohort"].to_numpy(dtype=str)
    table = read_folds(Path(config.folds)) if config.folds else None
    if table is not None:
        _refuse_unknown(table["patient_id"].tolist(), store, str(config.folds))
    able = sorted({str(name) for name in cohorts[outcome.usable]} - {""})
    names = config.cohorts or (able if table is None else sorted(set(table["cohort"])))
    folds: list[Fold] = []
    for name in names:
        members = np.flatnonzero(outcome.usable & (cohorts == name))
        if not len(members):
            raise InputError(
                f"cohort {name!r}: no patient with outcome and modality;"
                f" cohorts that have them: {', '.join(able)}"
            )
        if not outcome.event[members].any():
            raise InputError(
                f"cohort {name!r}: all {len(members)} patients are censored; nothing to learn or test"
            )
        if table is None:
            folds += stratified_folds(
                name, members, outcome.time_days, outcome.event, config.fold_count, seed
            )
        else:
            ids = store.patients["patient_id"].to_numpy(dtype=object)
            folds += given_folds(table, str(config.folds), name, ids, members, outcome.event, seed)
    if config.only_folds is not None:
        folds = [fold for fold in folds if fold.fold in config.only_folds]
    return folds


def _refuse_unknown(patients: list[str], store: Store, source: str) -> None:
    known = set(store.patients["patient_id"])
    unknown = [p for p in patients if p not in known]
    if unknown:
        raise InputError(
            f"{source}: patient {unknown[0]} is not in the cohort ({len(unknown)} such rows);"
            " remove or correct them"
        )

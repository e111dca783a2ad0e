"""The patients who can serve evaluation of a task, and their times, events or labels."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from prime.arrays import Indices
from prime.errors import InputError
from prime.evaluation.horizon import horizon_label
from prime.objectives.survival import bin_edges
from prime.settings.evaluation import TaskConfig
from prime.store.store import Store


@dataclass(frozen=True)
class Outcome:
    """The outcome of a task for all P patients of a store.

    A binary task is treated as survival with a single time bin, up to the horizon: its hazard is the
    probability of the event by then, and the censored likelihood of known labels is the binary cross-entropy.
    So heads, losses and predictions are the same for both kinds of task.

    Attributes:
        time_days: (P,) float64, follow-up; NaN where `usable` is False.
        event: (P,) bool: the event was observed; for a binary task, by the horizon.
        usable: (P,) bool: not excluded, with an outcome (a known label), a time above zero, and a modality.
        left_out: number of patients left out for each reason.
        horizon_days: of a binary task; None for time to event.
    """

    time_days: NDArray[np.float64]
    event: NDArray[np.bool_]
    usable: NDArray[np.bool_]
    left_out: dict[str, int]
    horizon_days: float | None = None

    def take(self, patients: Indices) -> "Outcome":
        """The outcome of these patients alone."""
        arrays = (self.time_days[patients], self.event[patients], self.usable[patients])
        return Outcome(*arrays, self.left_out, self.horizon_days)

    def edges(self, patients: Indices, bins: int) -> NDArray[np.float64]:
        """Time bins (T + 1,) from the events of these (training) patients; one bin for a binary task."""
        if self.horizon_days is not None:
            return np.array([-np.inf, np.inf])
        return bin_edges(self.time_days[patients], self.event[patients], bins)


def read_outcome(store: Store, task: TaskConfig) -> Outcome:
    """Every patient's outcome in a task. Raises InputError where the cohort lacks the endpoint."""
    column = f"{task.endpoint}_time_days"
    if column not in store.patients.columns:
        raise InputError(
            f"{store.path}: no endpoint {task.endpoint!r} (task {task.name});"
            f" the cohort has {', '.join(store.endpoints)}"
        )
    time_days = store.patients[column].to_numpy(dtype=np.float64)
    flag = store.patients[f"{task.endpoint}_event"].to_numpy(dtype=np.float64)
    reasons = {
        "no outcome": np.isnan(time_days) | np.isnan(flag),
        "excluded by the clinical table": store.patients["excluded"].to_numpy(dtype=bool),
        "time not above zero": np.nan_to_num(time_days, nan=1.0) <= 0,
        "no modality": ~store.observed().any(axis=1),
    }
    event = flag == 1
    if task.horizon_days is not None:
        event, known = horizon_label(np.nan_to_num(time_days), event, task.horizon_days)
        reasons[f"censored within {task.horizon_days:g} days"] = ~known
    usable = np.ones(len(time_days), dtype=bool)
    left_out: dict[str, int] = {}
    for reason, affected in reasons.items():
        left_out[reason] = int((affected & usable).sum())
        usable &= ~affected
    return Outcome(np.where(usable, time_days, np.nan), usable & event, usable, left_out, task.horizon_days)

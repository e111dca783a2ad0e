"""The patients who can serve evaluation of a task, and their times, events or labels."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prime.arrays import Flags, Floats, Indices
from prime.errors import InputError
from prime.evaluation.horizon import horizon_label
from prime.evaluation.landmark import landmark
from prime.objectives.survival import bin_edges
from prime.settings.evaluation import TaskConfig
from prime.store.store import Store

BY_LANDMARK = "event or end of follow-up by the landmark"
NOT_YET = "not yet under observation"


@dataclass(frozen=True)
class Outcome:
    """The outcome of a task for all P patients of a store.

    A binary task is treated as survival with a single time bin, up to the horizon: its hazard is the
    probability of the event by then, and the censored likelihood of known labels is the binary cross-entropy.
    So heads, losses and predictions are the same for both kinds of task.

    Attributes:
        time_days: (P,) float64, follow-up from the landmark on; NaN where `usable` is False.
        event: (P,) bool: the event was observed; for a binary task, by the horizon. Where another event came
            first, it is a censoring at that time.
        usable: (P,) bool: not excluded, with an outcome (a known label), a time above zero, and a modality.
        left_out: number of patients left out for each reason.
        horizon_days: of a binary task; None for time to event.
        entry_days: (P,) float64, when each came under observation; NaN where `usable` is False. None where
            all did at the beginning.
        cause: (P,) int64, which event came first: 0 none, 1 the task's own, then those of `causes[1:]`.
        causes: the names of the task's endpoint and of those that compete with it; empty where none does.
    """

    time_days: NDArray[np.float64]
    event: NDArray[np.bool_]
    usable: NDArray[np.bool_]
    left_out: dict[str, int]
    horizon_days: float | None = None
    entry_days: NDArray[np.float64] | None = None
    cause: NDArray[np.int64] | None = None
    causes: tuple[str, ...] = ()

    def take(self, patients: Indices) -> "Outcome":
        """The outcome of these patients alone."""
        arrays = (self.time_days[patients], self.event[patients], self.usable[patients])
        entry = None if self.entry_days is None else self.entry_days[patients]
        cause = None if self.cause is None else self.cause[patients]
        return Outcome(*arrays, self.left_out, self.horizon_days, entry, cause, self.causes)

    def values_of(self, patients: Indices) -> list[list[float]]:
        """All numbers of these patients, as they are hashed."""
        arrays = (self.time_days, self.event, self.entry_days, self.cause)
        return [array[patients].tolist() for array in arrays if array is not None]

    def edges(self, patients: Indices, bins: int) -> NDArray[np.float64]:
        """Time bins (T + 1,) from the events of these (training) patients; one bin for a binary task."""
        if self.horizon_days is not None:
            return np.array([-np.inf, np.inf])
        return bin_edges(self.time_days[patients], self.event[patients], bins)

    def of_cause(self, number: int) -> Flags:
        """(P,) bool: whose first event is that of `causes[number]`."""
        assert self.cause is not None
        return self.usable & (self.cause == number + 1)


def read_outcome(store: Store, task: TaskConfig) -> Outcome:
    """Every patient's outcome in a task.

    Raises InputError where the cohort lacks an endpoint, where nothing competes, and for a label at a horizon
    where patients came under observation late.
    """
    time_days, flag, entry = _read(store, task.endpoint, task.name)
    reasons: dict[str, Any] = {
        "no outcome": np.isnan(time_days) | np.isnan(flag),
        "excluded by the clinical table": store.patients["excluded"].to_numpy(dtype=bool),
        "time not above zero": np.nan_to_num(time_days, nan=1.0) <= 0,
        "no modality": ~store.observed().any(axis=1),
    }
    event: Flags = flag == 1
    cause = None
    if task.competing:
        time_days, cause = _first_events(store, task, time_days, event)
        event = cause == 1
        reasons["time not above zero"] = np.nan_to_num(time_days, nan=1.0) <= 0
        if entry is not None:
            reasons["first event before the entry"] = ~np.isnan(entry) & (entry >= time_days)
    if task.landmark_days is not None:
        time_days, entry, kept = _from_landmark(time_days, entry, task.landmark_days)
        reasons[BY_LANDMARK] = ~kept
    if task.horizon_days is not None:
        if entry is not None:
            reasons[NOT_YET] = np.nan_to_num(entry) > 0
            require_label(task, reasons[NOT_YET])
            entry = None
        event, known = horizon_label(np.nan_to_num(time_days), event, task.horizon_days)
        reasons[f"censored within {task.horizon_days:g} days"] = ~known
    usable = np.ones(len(time_days), dtype=bool)
    left_out: dict[str, int] = {}
    for reason, affected in reasons.items():
        left_out[reason] = int((affected & usable).sum())
        usable &= ~affected
    if entry is not None and not (np.where(usable, entry, 0.0) > 0).any():
        entry = None  # everybody is at risk from the beginning
    return Outcome(
        np.where(usable, time_days, np.nan),
        usable & event,
        usable,
        left_out,
        task.horizon_days,
        None if entry is None else np.where(usable, entry, np.nan),
        None if cause is None else np.where(usable, cause, 0),
        (task.endpoint, *task.competing) if task.competing else (),
    )


def _read(store: Store, endpoint: str, task: str) -> tuple[Floats, Floats, Floats | None]:
    """Times, events and entries (P,) as they are stored; no entries where the endpoint has none."""
    column = f"{endpoint}_time_days"
    if column not in store.patients.columns:
        raise InputError(
            f"{store.path}: no endpoint {endpoint!r} (task {task});"
            f" the cohort has {', '.join(store.endpoints)}"
        )
    late = f"{endpoint}_entry_days"
    return (
        store.patients[column].to_numpy(dtype=np.float64),
        store.patients[f"{endpoint}_event"].to_numpy(dtype=np.float64),
        store.patients[late].to_numpy(dtype=np.float64) if late in store.patients.columns else None,
    )


def _first_events(
    store: Store, task: TaskConfig, time_days: Floats, event: Flags
) -> tuple[Floats, NDArray[np.int64]]:
    """When the first event or the end of follow-up came (P,), and which event it was, see `Outcome.cause`.

    A competing event counts where it comes before the task's, or by the end of follow-up for it: what came
    later is not known to have come first. Of two at once the one that is named first counts.
    """
    time, cause = time_days.copy(), np.where(event, 1, 0).astype(np.int64)
    for number, endpoint in enumerate(task.competing, start=2):
        when, flag, _ = _read(store, endpoint, task.name)
        first = (flag == 1) & np.where(cause > 0, when < time, when <= time)
        if not first.any():
            raise InputError(
                f"task {task.name}: competing {endpoint}: it comes first for nobody; nothing competes"
            )
        time, cause = np.where(first, when, time), np.where(first, number, cause)
    return time, cause


def _from_landmark(
    time_days: Floats, entry: Floats | None, days: float
) -> tuple[Floats, Floats | None, Flags]:
    """Times and entries (P,) from a landmark on, and who is followed beyond it."""
    known = ~np.isnan(time_days)
    if entry is not None:
        known &= entry < time_days
    time, kept = np.full(len(known), np.nan), np.zeros(len(known), dtype=np.bool_)
    late = None if entry is None else np.full(len(known), np.nan)
    found = landmark(time_days[known], days, None if entry is None else entry[known])
    time[known], kept[known] = found.time, found.kept
    if late is not None and found.entry is not None:
        late[known] = found.entry
    return time, late, kept | ~known


def require_label(task: TaskConfig, late: Flags) -> None:
    """Raise InputError for a label at a horizon, without a landmark, where patients (P,) entered late."""
    if task.landmark_days is None and late.any():
        raise InputError(
            f"task {task.name}: endpoint {task.endpoint} has delayed entry, and who is seen later than others"
            f" had to live until then; a label within {task.horizon_days:g} days can't account for that:"
            " leave horizon_days out, or set landmark_days to a day by which patients are under observation"
        )

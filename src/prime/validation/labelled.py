"""Predictions of a fitted model for patients whose outcome is known."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from prime.arrays import Flags, Floats, Indices
from prime.errors import InputError
from prime.evaluation.horizon_scores import HorizonCases
from prime.evaluation.step_curves import own_time_survival, step_survival
from prime.predict.asked import MONTH, Asked
from prime.predict.model_folder import FittedModel
from prime.predict.predict import month_name, score_patients
from prime.sealed import DIGESTS
from prime.settings.evaluation import TaskConfig
from prime.splits.outcomes import read_outcome
from prime.store.manifest import PATIENTS
from prime.store.store import Store

CPU = torch.device("cpu")
GRID = Asked(tuple(float(month) for month in range(3, 301, 3)))  # at which curves are read
SERVED = "served the model's fit"


@dataclass(frozen=True)
class Labelled:
    """The n patients of a cohort who have both a score and an outcome.

    Attributes:
        task: of the model.
        table: n rows of `score_patients`, in the order of the store.
        rows: (n,) their positions in the store.
        time, event: (n,) follow-up in days; True = event observed. A task with a horizon is judged by its
            endpoint's follow-up too, so that nobody censored before the horizon is lost.
        left_out: how many patients were left out for each reason, in order.
    """

    task: TaskConfig
    table: pd.DataFrame
    rows: Indices
    time: Floats
    event: Flags
    left_out: dict[str, int]

    @property
    def risk(self) -> Floats:
        """(n,), higher = worse."""
        return self.table["risk"].to_numpy(dtype=np.float64)

    def chance(self, days: float) -> Floats:
        """(n,) predicted risk of the event within so many days; NaN where the model does not say."""
        if self.task.horizon_days is not None:
            known = self.table["probability"].to_numpy(dtype=np.float64)
            return known if days == self.task.horizon_days else np.full(len(known), np.nan)
        found = np.full(len(self.table), np.nan)
        for mine, edges, curve in curves(self.table):
            if days <= edges[-2]:
                found[mine] = 1.0 - step_survival(edges, curve, np.array([days]), interpolate=True)[:, 0]
        return found

    def followed(self) -> tuple[Floats, Flags, Floats]:
        """Follow-up cut off where each predicted curve ends: time, event and S(time), (n,) each."""
        time, event, own = self.time.copy(), self.event.copy(), np.ones(len(self.time))
        for mine, edges, curve in curves(self.table):
            end = edges[-2]
            event[mine] &= time[mine] <= end
            time[mine] = np.minimum(time[mine], end)
            own[mine] = own_time_survival(edges, curve, time[mine])
        return time, event, own

    def cases(self, days: float) -> tuple[HorizonCases, Flags]:
        """What is judged at a horizon, and which of the n patients that is."""
        chance = self.chance(days)
        known = ~np.isnan(chance)
        return HorizonCases(self.time, self.event, self.risk, chance, days).take(known), known

    def last_day(self) -> float:
        """The last day for which the model predicts everybody's survival. Raises InputError where none is."""
        ends = [float(edges[-2]) for _, edges, _ in curves(self.table)]
        if not ends:
            raise InputError(
                "the model has a single, open time bin and predicts no survival; fit it with more bins"
            )
        return min(ends)


def curves(table: pd.DataFrame) -> list[tuple[Flags, Floats, Floats]]:
    """Patients who have survival probabilities at the same days: who, edges (T + 1,), survival (m, T).

    The last bin is open; survival at its end is not known, and is given as that at its beginning.
    """
    days = {month_name(month): month * MONTH for month in GRID.months}
    names = [name for name in days if name in table]
    values = table[names].to_numpy(dtype=np.float64)
    known = ~np.isnan(values)
    found: list[tuple[Flags, Floats, Floats]] = []
    for pattern in np.unique(known, axis=0):
        if pattern.any():
            mine: Flags = (known == pattern).all(axis=1)
            inner = values[mine][:, pattern]
            edges = [-np.inf, *(days[name] for name, has in zip(names, pattern, strict=True) if has), np.inf]
            found.append((mine, np.array(edges), np.column_stack([inner, inner[:, -1]])))
    return found


def read_labelled(
    model: FittedModel, store: Store, cohort_names: Sequence[str] = (), device: torch.device = CPU
) -> Labelled:
    """Score a cohort and keep who has an outcome; `cohort_names` are the cancer types to use, none for all.

    Patients of the very table that the model was fitted on are left out, as far as their cancer type served.

    Raises InputError for an unknown cancer type, a cohort without the model's endpoint or its sources, and
    where nobody, or nobody with an event, is left.
    """
    task = model.description.task
    outcome = read_outcome(store, task.model_copy(update={"horizon_days": None}))
    cohort = store.patients["cohort"].to_numpy(dtype=str)
    unknown = sorted(set(cohort_names) - set(cohort.tolist()))
    if unknown:
        there = ", ".join(sorted(set(cohort.tolist())))
        raise InputError(f"--cohort-name: no patient of {', '.join(unknown)}; the cohort has {there}")
    table = score_patients(model, store, device, GRID).patients
    left_out = {reason: count for reason, count in outcome.left_out.items() if count}
    usable = outcome.usable
    for reason, out in _reasons(model, store, table, cohort, cohort_names).items():
        if (usable & out).any():
            left_out[reason] = int((usable & out).sum())
        usable = usable & ~out
    if not (usable & outcome.event).any():
        raise InputError(
            f"{store.path}: {int(usable.sum())} patients with a score and an outcome, none with the event of"
            f" {task.endpoint!r}; left out: {', '.join(f'{n} {reason}' for reason, n in left_out.items())}"
        )
    rows = np.flatnonzero(usable)
    kept = table.iloc[rows].reset_index(drop=True)
    return Labelled(task, kept, rows, outcome.time_days[rows], outcome.event[rows], left_out)


def _reasons(
    model: FittedModel, store: Store, table: pd.DataFrame, cohort: NDArray[np.str_], names: Sequence[str]
) -> dict[str, Flags]:
    """Further reasons to leave patients of the store out, (P,) bool each."""
    same = model.checkpoint.manifest.get("patients") == store.manifest[DIGESTS][PATIENTS]
    return {
        "of another cancer type": ~np.isin(cohort, names) if names else np.zeros(len(cohort), dtype=np.bool_),
        SERVED: np.isin(cohort, model.description.cohorts) & same,
        "without a score": (table["status"] != "scored").to_numpy(),
    }

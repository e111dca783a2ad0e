"""Predictions of a fitted model for patients whose outcome is known."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import torch

from prime.arrays import Flags, Floats, Indices
from prime.downstream.cause_fits import incidence_name
from prime.errors import InputError
from prime.evaluation.horizon_scores import HorizonCases
from prime.evaluation.landmark import landmark
from prime.evaluation.missingness import patterns
from prime.predict.asked import MONTH, Asked
from prime.predict.model_folder import FittedModel
from prime.predict.predict import score_patients
from prime.predict.prognosis import Calibration
from prime.sealed import DIGESTS
from prime.settings.evaluation import TaskConfig
from prime.splits.outcomes import BY_LANDMARK, NOT_YET, read_outcome, require_label
from prime.store.manifest import PATIENTS
from prime.store.store import Store

CPU = torch.device("cpu")
SERVED = "served the model's fit"
GRID_MONTHS = 3.0  # at which cumulative incidences are known


@dataclass(frozen=True)
class Labelled:
    """The n patients of a cohort who have both a score and an outcome.

    Attributes:
        model: that made the scores.
        table: n rows of `score_patients`, in the order of the store.
        rows: (n,) their positions in the store.
        time, event: (n,) follow-up in days; True = event observed. A task with a horizon is judged by its
            endpoint's follow-up too, so that nobody censored before the horizon is lost.
        entry: (n,) days at which each came under observation; None where all did at the beginning.
        left_out: how many patients were left out for each reason, in order.
        landmark: days from which time is counted, for those followed beyond; predictions are conditional.
        causes: of a model of competing events, what came first and what it predicts; None for others.
    """

    model: FittedModel
    table: pd.DataFrame
    rows: Indices
    time: Floats
    event: Flags
    left_out: dict[str, int]
    entry: Floats | None = None
    landmark: float = 0.0
    causes: "LabelledCauses | None" = None

    @property
    def task(self) -> TaskConfig:
        """What the model predicts."""
        return self.model.description.task

    @property
    def risk(self) -> Floats:
        """(n,), higher = worse."""
        return self.table["risk"].to_numpy(dtype=np.float64)

    def parts(self) -> Iterator[tuple[Calibration, str, Indices]]:
        """Patients of one calibration and pattern: both, and their positions among the n."""
        types = self.table["cohort"].to_numpy(dtype=str)
        seen = self.table["pattern"].to_numpy(dtype=str)
        for name, keep in patterns(list(self.model.modalities)).items():
            label = "+".join(m for m, kept in zip(self.model.modalities, keep, strict=True) if kept)
            mine = np.flatnonzero(seen == label)
            for calibration, rows in self.model.prognosis.by_calibration(types[mine]):
                yield calibration, name, mine[rows]

    def chance(self, days: float) -> Floats:
        """(n,) predicted risk of the event within so many days; NaN where the model does not say."""
        found = np.full(len(self.table), np.nan)
        if self.task.horizon_days is not None:
            known = self.table["probability"].to_numpy(dtype=np.float64)
            return known if days == self.task.horizon_days else found
        for calibration, pattern, rows in self.parts():
            at = np.array([self.landmark, self.landmark + days])
            alive = calibration.survival(self.risk[rows], at, pattern)
            found[rows] = 1.0 - alive[:, 1] / alive[:, 0]
        return found

    def take(self, kept: Flags, reason: str) -> "Labelled":
        """Some of the patients (n,); why the others are left out."""
        causes = self.causes
        return replace(
            self,
            table=self.table[kept].reset_index(drop=True),
            rows=self.rows[kept],
            time=self.time[kept],
            event=self.event[kept],
            left_out={**self.left_out, reason: int((~kept).sum())},
            entry=None if self.entry is None else self.entry[kept],
            causes=None if causes is None else causes.take(kept),
        )

    def hazard(self, start: Floats, end: Floats) -> Floats:
        """(n,) predicted cumulative hazard between two days of each patient (n,); NaN where it ends before.

        For a task without a horizon.
        """
        found = np.empty(len(self.time))
        for calibration, pattern, rows in self.parts():
            first, last = (
                calibration.own_hazard(self.risk[rows], self.landmark + days[rows], pattern)
                for days in (start, end)
            )
            found[rows] = last - first
        return found

    def followed(self) -> tuple[Floats, Flags, Floats]:
        """Follow-up cut off where curves end: time, event, and the hazard expected by then; (n,) each.

        With delayed entry the hazard is that from the entry on.
        """
        ends = np.empty(len(self.time))
        for calibration, _, rows in self.parts():
            ends[rows] = calibration.ends[-1] - self.landmark
        time, event = np.minimum(self.time, ends), self.event & (self.time <= ends)
        start = np.zeros(len(time)) if self.entry is None else np.minimum(self.entry, time)
        return time, event, self.hazard(start, time)

    def cases(self, days: float) -> tuple[HorizonCases, Flags]:
        """What is judged at a horizon, and which of the n patients that is."""
        chance = self.chance(days)
        known, expected = ~np.isnan(chance), None
        if self.entry is not None:
            end = np.minimum(self.time, days)
            expected = self.hazard(np.minimum(self.entry, end), end)
        whole = HorizonCases(self.time, self.event, self.risk, chance, days, self.entry, expected)
        return whole.take(known), known


@dataclass(frozen=True)
class LabelledCauses:
    """Competing events of n patients, observed and predicted.

    Attributes:
        names: of the C causes, the task's own first.
        cause: (n,) 0 = censored, else 1 to C.
        days: (h,) rising, from 0.
        incidence: (n, C, h) predicted cumulative incidence by then; NaN where the model does not say.
    """

    names: tuple[str, ...]
    cause: Indices
    days: Floats
    incidence: Floats

    def take(self, rows: Flags) -> "LabelledCauses":
        """Some of the patients."""
        return replace(self, cause=self.cause[rows], incidence=self.incidence[rows])

    def at(self, days: float) -> Floats:
        """(n, C) predicted cumulative incidence by so many days, linear between those that are known."""
        high = int(np.clip(np.searchsorted(self.days, days), 1, len(self.days) - 1))
        share = (days - self.days[high - 1]) / (self.days[high] - self.days[high - 1])
        if share > 1 + 1e-9:
            return np.full(self.incidence.shape[:2], np.nan)
        return self.incidence[..., high - 1] * (1 - share) + self.incidence[..., high] * share


def read_labelled(
    model: FittedModel, store: Store, cohort_names: Sequence[str] = (), device: torch.device = CPU
) -> Labelled:
    """Score a cohort and keep who has an outcome; `cohort_names` are the cancer types to use, none for all.

    Patients who served the fit are left out, with all others of their cancer types in its clinical table.

    Raises InputError for an unknown cancer type, a cohort without the model's endpoint or its sources,
    delayed entry and a task with a horizon (unless from a landmark on: who enters later is then left out),
    and where nobody, or nobody with an event, is left.
    """
    task = model.description.task
    outcome = read_outcome(store, task.model_copy(update={"horizon_days": None}))
    cohort = store.patients["cohort"].to_numpy(dtype=str)
    unknown = sorted(set(cohort_names) - set(cohort.tolist()))
    if unknown:
        there = ", ".join(sorted(set(cohort.tolist())))
        raise InputError(f"--cohort-name: no patient of {', '.join(unknown)}; the cohort has {there}")
    late = None if outcome.entry_days is None else outcome.entry_days > 0
    if late is not None and task.horizon_days is not None:
        require_label(task, late)
    table = score_patients(model, store, device, any_type=True).patients
    left_out = {reason: count for reason, count in outcome.left_out.items() if count}
    usable, reasons = outcome.usable, _reasons(model, store, table, cohort_names)
    if late is not None and task.horizon_days is not None:
        reasons[NOT_YET] = late
    for reason, out in reasons.items():
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
    causes = None
    if outcome.cause is not None:
        causes = _causes(model, store, device, outcome.causes, (outcome.cause, rows))
    time, event = outcome.time_days[rows], outcome.event[rows]
    entry = None if outcome.entry_days is None else _if_late(outcome.entry_days[rows])
    return Labelled(model, kept, rows, time, event, left_out, entry, causes=causes)


def _if_late(entry: Floats | None) -> Floats | None:
    """Entries (n,); None where all are at the beginning."""
    return entry if entry is not None and (entry > 0).any() else None


def _causes(
    model: FittedModel,
    store: Store,
    device: torch.device,
    names: tuple[str, ...],
    who: tuple[Indices, Indices],
) -> LabelledCauses:
    """Predictions of all causes on a grid of months, up to where the model says anything."""
    cause, rows = who
    competing = model.prognosis.competing
    assert competing is not None
    last = max(hazards["all"].ends[-1] for hazards in competing.hazards.values()) / MONTH
    months = tuple(np.arange(GRID_MONTHS, last, GRID_MONTHS).tolist()) or (GRID_MONTHS,)
    table = score_patients(model, store, device, Asked(months), any_type=True).patients.iloc[rows]
    found = np.stack(
        [[table[incidence_name(name, m)].to_numpy(dtype=np.float64) for m in months] for name in names]
    )  # (C, h, n)
    nothing = np.zeros((len(rows), len(names), 1))
    return LabelledCauses(
        names, cause[rows], np.array([0.0, *months]) * MONTH,
        np.concatenate([nothing, found.transpose(2, 0, 1)], axis=2),
    )  # fmt: skip


def from_landmark(labelled: Labelled, days: float) -> Labelled:
    """Only those followed for longer than so many days, and their time from then on.

    Who came under observation by then was there from the beginning; who did later enters late.

    Raises InputError for a task with a horizon, and where nobody with an event is left.
    """
    if labelled.task.horizon_days is not None:
        raise InputError("--landmark: a model of a task with a horizon says nothing of later times")
    found = landmark(labelled.time, days, labelled.entry)
    kept = labelled.take(found.kept, BY_LANDMARK)
    if not kept.event.any():
        raise InputError(f"--landmark: no event later than {days:g} days; name an earlier one")
    entry = None if found.entry is None else _if_late(found.entry[found.kept])
    return replace(kept, time=found.time[found.kept], entry=entry, landmark=days)


def _reasons(model: FittedModel, store: Store, table: pd.DataFrame, names: Sequence[str]) -> dict[str, Flags]:
    """Further reasons to leave patients of the store out, (P,) bool each."""
    cohort = store.patients["cohort"].to_numpy(dtype=str)
    same = model.checkpoint.manifest.get("patients") == store.manifest[DIGESTS][PATIENTS]
    # of the same table and types, whom the fit left out are no sample: those with an unknown label, say
    fitted = (table["seen_in"] == "fitting").to_numpy() | (same & np.isin(cohort, model.description.cohorts))
    return {
        "of another cancer type": ~np.isin(cohort, names) if names else np.zeros(len(cohort), dtype=np.bool_),
        SERVED: fitted,
        "without a score": (table["status"] != "scored").to_numpy(),
    }

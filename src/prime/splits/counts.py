"""Counts of a cohort's patients as in the paper's Table I, and the flow chart of exclusions."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from prime.errors import InputError
from prime.evaluation.horizon import horizon_label
from prime.store.store import Store

TOTAL = "total"
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class FlowStep:
    """One box of a flow chart of exclusions.

    Attributes:
        name: the condition of this step; its patients also meet those of all earlier steps.
        patients: how many remain.
        reason: why the other patients of the step before are left out.
        left_out: how many these are.
    """

    name: str
    patients: int
    reason: str
    left_out: int


@dataclass(frozen=True)
class _Step:
    """A condition: its name, who of all P patients meets it, and the reason given for those who do not."""

    name: str
    meets: Mask
    reason: str


def cohort_counts(store: Store) -> pd.DataFrame:
    """What the store holds: one row per cancer type in name order, then a row `total`.

    Patients with features but without a row in the clinical table have no type; if there are any, they form a
    row with an empty name. Complete and partial are meant as in section IV-A of the paper (10,439 patients
    with at least one modality, of whom 7,675 are complete and 2,764 lack one or two).

    Returns:
        Columns, all counts of patients but the first: cohort; patients; `has_{modality}`; complete (every
        modality), partial (some but not all), any (at least one); excluded (never serve evaluation); for
        each endpoint `{endpoint}_patients` (time and event known) and `{endpoint}_events` (event observed).
        Endpoints are counted over all patients of the row; `horizon_counts` counts those who can serve
        evaluation.

    Raises:
        InputError: a cancer type named `total`.
    """
    observed = store.observed()
    number = _modalities(store)
    masks: dict[str, Mask] = {"patients": np.ones(len(observed), dtype=bool)}
    masks |= {f"has_{name}": observed[:, m] for m, name in enumerate(store.modalities)}
    masks["complete"] = number == observed.shape[1]
    masks["partial"] = (number > 0) & (number < observed.shape[1])
    masks["any"] = number > 0
    masks["excluded"] = _excluded(store)
    for endpoint in store.endpoints:
        time_days, event = _outcome(store, endpoint)
        known = ~(np.isnan(time_days) | np.isnan(event))
        masks[f"{endpoint}_patients"] = known
        masks[f"{endpoint}_events"] = known & (event == 1)
    return _by_cohort(store, masks)


def horizon_counts(store: Store, endpoint: str, horizon_days: float, complete: bool = False) -> pd.DataFrame:
    """The paper's Table I for one endpoint: one row per cancer type that has patients, then a row `total`.

    Counted are patients who can be evaluated: not excluded, at least one modality (every modality where
    `complete`, as in the paper's downstream cohorts), endpoint known and its time above zero. In the paper's
    Table I, the column of the cancer's patients is `patients`, OS is `events / censored`, and 3yOS and 3yRec
    are `positive / negative` at 1,095 days of os and pfi.

    Returns:
        Columns: cohort, patients, events, censored, positive (event at a time <= horizon), negative (time >
        horizon, whatever comes later), censored_early (censored at a time <= horizon: label unknown, left
        out of the classification). patients = positive + negative + censored_early.

    Raises:
        InputError: an unknown endpoint, a horizon that is not above zero, or a cancer type named `total`.
    """
    steps = _steps(store, endpoint, None)
    meets: Mask = np.asarray(_modalities(store) >= (len(store.modalities) if complete else 1), dtype=np.bool_)
    for step in steps:
        meets = meets & step.meets
    label, known = _label(store, endpoint, horizon_days)
    event: Mask = np.asarray(_outcome(store, endpoint)[1] == 1, dtype=np.bool_)
    table = _by_cohort(
        store,
        {
            "patients": meets,
            "events": meets & event,
            "censored": meets & ~event,
            "positive": meets & label,
            "negative": meets & known & ~label,
            "censored_early": meets & ~known,
        },
    )
    return table[(table["patients"] > 0) | (table["cohort"] == TOTAL)].reset_index(drop=True)


def cohort_flow(
    store: Store, endpoint: str, horizon_days: float | None = None, cohort: str | None = None
) -> list[FlowStep]:
    """The patients left after each exclusion, from all in the store to those who serve evaluation.

    Steps: in the clinical table; at least one modality; not excluded; endpoint known; time above zero; and,
    with a horizon, label known at the horizon. A patient counts as being in the clinical table if it has a
    type, site, exclusion, outcome or covariate of theirs.

    Args:
        store: the cohort.
        endpoint: one of its endpoints.
        horizon_days: of a classification, such as 1095; None for the time to event.
        cohort: one cancer type only; None for all.

    Raises:
        InputError: an unknown endpoint or cancer type, or a horizon that is not above zero.
    """
    remaining = np.ones(len(store.patients), dtype=bool)
    if cohort is not None:
        names = store.patients["cohort"].to_numpy(dtype=str)
        remaining = names == cohort
        if not remaining.any():
            found = ", ".join(sorted({str(name) for name in names} - {""}))
            raise InputError(f"{store.path}: no cohort {cohort!r}; it has {found}")
    flow: list[FlowStep] = []
    for step in _steps(store, endpoint, horizon_days):
        left = remaining & step.meets
        flow.append(FlowStep(step.name, int(left.sum()), step.reason, int(remaining.sum()) - int(left.sum())))
        remaining = left
    return flow


def _steps(store: Store, endpoint: str, horizon_days: float | None) -> list[_Step]:
    time_days, event = _outcome(store, endpoint)
    excluded = _excluded(store)
    reasons = sorted({str(r) for r in store.patients["exclude_reason"][excluded]} - {""})
    steps = [
        _Step("in the clinical table", _in_clinical_table(store), "features only, no clinical row"),
        _Step("at least one modality", np.asarray(_modalities(store) > 0, dtype=np.bool_), "no modality"),
        _Step("not excluded", ~excluded, ", ".join(reasons) or "excluded by the clinical table"),
        _Step(f"{endpoint} known", ~(np.isnan(time_days) | np.isnan(event)), f"no {endpoint} time or event"),
        _Step("time above zero", time_days > 0, "time not above zero"),
    ]
    if horizon_days is not None:
        known = _label(store, endpoint, horizon_days)[1]
        name, reason = f"label known at {horizon_days:g} days", f"censored within {horizon_days:g} days"
        steps.append(_Step(name, known, reason))
    return steps


def _label(store: Store, endpoint: str, horizon_days: float) -> tuple[Mask, Mask]:
    """Labels (P,) at the horizon, and for whom they are known (P,); meaningless without an outcome."""
    if not (np.isfinite(horizon_days) and horizon_days > 0):
        raise InputError(f"horizon_days {horizon_days}: must be above 0")
    time_days, event = _outcome(store, endpoint)
    return horizon_label(np.nan_to_num(time_days), event == 1, horizon_days)


def _outcome(store: Store, endpoint: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Time (P,) in days and event (P,) as 1 and 0, NaN where missing."""
    if endpoint not in store.endpoints:
        raise InputError(
            f"{store.path}: no endpoint {endpoint!r}; the cohort has {', '.join(store.endpoints)}"
        )
    frame = store.patients
    return (
        frame[f"{endpoint}_time_days"].to_numpy(dtype=np.float64),
        frame[f"{endpoint}_event"].to_numpy(dtype=np.float64),
    )


def _modalities(store: Store) -> NDArray[np.int64]:
    """(P,) int64: how many modalities each patient has."""
    return np.asarray(store.observed().sum(axis=1), dtype=np.int64)


def _excluded(store: Store) -> Mask:
    return store.patients["excluded"].to_numpy(dtype=bool)


def _in_clinical_table(store: Store) -> Mask:
    """(P,) bool: who has any entry of the clinical table, which packing leaves empty for the others.

    The name that everybody has where no column states a type is no entry.
    """
    frame = store.patients
    said = _excluded(store).copy()
    for name in ("cohort", "site") if store.typed else ("site",):
        said |= frame[name].to_numpy(dtype=str) != ""
    numbers = [
        c for c in frame.columns if c.endswith(("_time_days", "_event", "_entry_days")) or c.startswith("x_")
    ]
    for name in numbers:
        said |= frame[name].notna().to_numpy(dtype=bool)
    return said


def _by_cohort(store: Store, masks: dict[str, Mask]) -> pd.DataFrame:
    cohorts = store.patients["cohort"].to_numpy(dtype=str)
    names = sorted({str(name) for name in cohorts} - {""}) + ([""] if (cohorts == "").any() else [])
    if TOTAL in names:
        raise InputError(f"{store.path}: a cancer type is named {TOTAL!r}; rename it, the word is taken")
    columns: dict[str, list[str] | list[int]] = {"cohort": [*names, TOTAL]}
    for column, mask in masks.items():
        columns[column] = [*(int((mask & (cohorts == name)).sum()) for name in names), int(mask.sum())]
    return pd.DataFrame(columns)

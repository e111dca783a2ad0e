"""Checks of outcomes: how many there are, and whether features reveal them."""

import re

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from prime.arrays import Floats
from prime.cohort.check.report import EndpointCheck, FollowUp
from prime.cohort.endpoint_names import DAYS, MONTH
from prime.cohort.endpoints import ClinicalTable
from prime.errors import some

PERFECT = 0.99
MINIMUM_PATIENTS = 20
MINIMUM_CLASS = 15
FEW_EVENTS = 20
FEW_TIMES = 4  # distinct event times: the number of time bins that a survival task has by default
LEAK_SAMPLE = 2500  # patients with an endpoint's event, and as many without, among whom leaks are looked for


_OUTCOME_NAME = re.compile(
    r"(?<![a-z])(?:os|pfi|dss|dfi|pfs|dfs|efs|rfs|event|events|death|dead|died|deceased|alive)(?![a-z0-9])"
    r"|survival|survived|vital.?status|days?.?to.?(?:death|last|follow|event|new)|^days_to_|time.?to.?(?:death|event)"
    r"|follow.?up|censor|(?<![a-z])relapsed?(?![a-z])|(?<![a-z])recurrence(?![a-z])",
    re.IGNORECASE,
)


def leak_sample(clinical: ClinicalTable) -> set[str]:
    """The patients among whom leaks are looked for: all with an outcome, or a sample where they are many.

    An association that is almost perfect is so among 2,500 with the event and 2,500 without.
    """
    ids = clinical.frame["patient_id"].to_numpy(dtype=object)
    chosen: set[str] = set()
    for endpoint in clinical.endpoints:
        event = clinical.frame[f"{endpoint}_event"].to_numpy(dtype=np.float64)
        for code in (0.0, 1.0):
            who = np.flatnonzero(event == code)
            if len(who) > LEAK_SAMPLE:
                who = np.random.default_rng(0).choice(who, LEAK_SAMPLE, replace=False)
            chosen.update(str(patient) for patient in ids[who])
    return chosen


def outcome_like_names(names: list[str]) -> list[str]:
    """The feature names that look like outcomes (os, survival, days_to_death, censorship, ...)."""
    return [name for name in names if _OUTCOME_NAME.search(name)]


def spearman_columns(values: Floats, target: Floats) -> Floats:
    """Spearman correlation of each column of values (n, d), NaN left out, with target (n,); ties averaged.

    Returns (d,); NaN where a column has fewer than MINIMUM_PATIENTS numbers or is constant.
    """
    result = np.full(values.shape[1], np.nan)
    whole = ~np.isnan(values).any(axis=0)
    if len(values) >= MINIMUM_PATIENTS and whole.any():
        result[whole] = _rank_correlation(values[:, whole], target)
    for column in np.flatnonzero(~whole):
        there = ~np.isnan(values[:, column])
        if there.sum() >= MINIMUM_PATIENTS:
            result[column] = _rank_correlation(values[there][:, [column]], target[there])[0]
    return result


def _rank_correlation(values: Floats, target: Floats) -> Floats:
    ranks = pd.DataFrame(values).rank().to_numpy()
    wanted = pd.Series(target).rank().to_numpy()
    ranks, wanted = ranks - ranks.mean(axis=0), wanted - wanted.mean()
    scale = np.sqrt(np.square(ranks).sum(axis=0) * np.square(wanted).sum())
    return np.divide(wanted @ ranks, scale, out=np.full(ranks.shape[1], np.nan), where=scale > 0)


def auc_columns(values: Floats, event: NDArray[np.bool_]) -> Floats:
    """Area under the ROC curve of each column of values (n, d) for event (n,), ties counted half.

    Returns (d,); NaN where a column has fewer than MINIMUM_CLASS numbers in either class.
    """
    there = ~np.isnan(values)
    positives = (there & event[:, None]).sum(axis=0)
    negatives = (there & ~event[:, None]).sum(axis=0)
    ranks = pd.DataFrame(values).rank().to_numpy()
    above = np.where(event[:, None] & there, ranks, 0.0).sum(axis=0) - positives * (positives + 1) / 2.0
    pairs = (positives * negatives).astype(np.float64)
    enough = np.minimum(positives, negatives) >= MINIMUM_CLASS
    return np.divide(above, pairs, out=np.full(values.shape[1], np.nan), where=enough)


def perfect_associations(
    names: list[str], patients: list[str], values: Floats, clinical: ClinicalTable
) -> dict[str, str]:
    """Features that predict an outcome almost perfectly, each with its association.

    These are features whose rank correlation with the time exceeds 0.99 in absolute value, among patients
    with the event or among the censored, or whose AUC for the event is above 0.99 or below 0.01. At least 20
    patients, and 15 in each class, are required, so that this does not happen by chance in thousands of
    features.

    Args:
        names: d features.
        patients: n patients, in the order of the rows.
        values: (n, d), NaN missing.
        clinical: the table with the outcomes.
    """
    frame = clinical.frame.set_index("patient_id").reindex(patients)
    found: dict[str, str] = {}
    for endpoint in clinical.endpoints:
        time = frame[f"{endpoint}_time_days"].to_numpy(dtype=np.float64)
        event = frame[f"{endpoint}_event"].to_numpy(dtype=np.float64)
        for code, who in ((1.0, "patients with the event"), (0.0, "censored patients")):
            rows = event == code
            for column, rho in _beyond(spearman_columns(values[rows], time[rows]), -PERFECT, PERFECT):
                found.setdefault(
                    names[column], f"rank correlation {rho:.3f} with the {endpoint} time of {who}"
                )
        known = ~np.isnan(event)
        for column, auc in _beyond(auc_columns(values[known], event[known] == 1.0), 1.0 - PERFECT, PERFECT):
            found.setdefault(names[column], f"AUC {auc:.3f} for the {endpoint} event")
    return found


def _beyond(numbers: Floats, low: float, high: float) -> list[tuple[int, float]]:
    return [(int(i), float(numbers[i])) for i in np.flatnonzero((numbers > high) | (numbers < low))]


def check_endpoints(
    clinical: ClinicalTable, has_any: NDArray[np.bool_]
) -> tuple[list[EndpointCheck], list[str], list[str]]:
    """Counts of each endpoint, over all and by cancer type, with errors and warnings.

    `has_any` (patients,) bool says who has any modality.
    """
    counts: list[EndpointCheck] = []
    errors: list[str] = []
    warnings: list[str] = []
    if not clinical.endpoints:
        warnings.append("the clinical table names no endpoint: this cohort serves pretraining only")
    for endpoint in clinical.endpoints:
        total = _count(clinical, endpoint, "all", has_any)
        cohorts = sorted(set(clinical.frame["cohort"]))
        per_type = [_count(clinical, endpoint, cohort, has_any) for cohort in cohorts]
        counts += [total, *per_type]
        _judge(clinical, total, per_type, errors, warnings)
    return counts, errors, warnings


def follow_up(clinical: ClinicalTable) -> list[FollowUp]:
    """The times of each endpoint that anybody has."""
    found: list[FollowUp] = []
    for name, endpoint in clinical.settings.items():
        days = clinical.frame[f"{name}_time_days"].dropna().to_numpy(dtype=np.float64)
        if len(days):
            stated, months = days / DAYS[endpoint.unit], days / MONTH
            found.append(
                FollowUp(
                    name, ", ".join((*endpoint.event_time, *endpoint.time)), endpoint.unit,
                    "unit" in endpoint.model_fields_set, len(days),
                    float(np.median(stated)), float(stated.min()), float(stated.max()),
                    float(np.median(months)), float(months.min()), float(months.max()),
                )
            )  # fmt: skip
    return found


def _count(clinical: ClinicalTable, endpoint: str, cohort: str, has_any: NDArray[np.bool_]) -> EndpointCheck:
    frame = clinical.frame
    inside = (
        np.ones(len(frame), dtype=np.bool_) if cohort == "all" else (frame["cohort"] == cohort).to_numpy()
    )
    event = frame[f"{endpoint}_event"].to_numpy(dtype=np.float64)
    known = inside & ~np.isnan(event)
    serves = known & ~frame["excluded"].to_numpy(dtype=np.bool_)
    return EndpointCheck(
        endpoint=endpoint,
        cohort=cohort,
        patients=int(serves.sum()),
        events=int((serves & (event == 1.0)).sum()),
        usable=int((serves & has_any).sum()),
        excluded=int((known & ~serves).sum()),
    )


def _judge(
    clinical: ClinicalTable,
    total: EndpointCheck,
    per_type: list[EndpointCheck],
    errors: list[str],
    warnings: list[str],
) -> None:
    name, where = total.endpoint, f"endpoint {total.endpoint}: {clinical.file}"
    if total.patients == 0:
        errors.append(
            f"{where}: no patient has an outcome ({total.excluded} excluded); correct the columns, "
            f"or leave the endpoint out"
        )
        return
    if total.events == 0:
        errors.append(
            f"{where}: all {total.patients} patients are censored; check event_values and censored_values, "
            f"or leave the endpoint out"
        )
        return
    if total.events == total.patients:
        warnings.append(f"{name}: every patient has the event, nobody is censored; check event_values")
    if total.usable == 0:
        errors.append(f"{where}: no patient with an outcome has any modality; check the patient ids")
    few = [item.cohort or "(none)" for item in per_type if item.patients and item.events < FEW_EVENTS]
    if few:
        warnings.append(f"{name}: fewer than {FEW_EVENTS} events in {some(few)}: too few to evaluate alone")
    without = [item.cohort or "(none)" for item in per_type if item.patients == 0]
    if without:
        warnings.append(f"{name}: no outcome in {some(without)}")
    event = (clinical.frame[f"{name}_event"] == 1.0).to_numpy()
    distinct = int(clinical.frame.loc[event, f"{name}_time_days"].nunique())
    if distinct < FEW_TIMES:
        warnings.append(
            f"{name}: the {total.events:,} events have {distinct} different times only: too few for "
            f"{FEW_TIMES} time bins, without which calibration and Brier scores are not defined; state times "
            f"more finely"
        )
    zero = int((clinical.frame[f"{name}_time_days"] == 0).sum())
    if zero:
        warnings.append(f"{name}: {zero} patients have a time of 0 days")

"""Whether a cohort has patients enough for a prediction model, by Riley's criteria."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from prime.arrays import Floats
from prime.cohort.endpoints import ClinicalTable
from prime.days import YEAR
from prime.evaluation.sample_size import most_parameters, survival_sample_size

PARAMETERS = 10
HORIZON_DAYS = 3 * YEAR


@dataclass
class SampleSizeCheck:
    """What one endpoint of one cancer type, or of `all`, would need.

    Counted are patients with a modality, an outcome and a time above zero who are not excluded. `needed` of
    them, with about `needed_events` events, serve `parameters` candidate predictor parameters; `most` are
    served by those there are. `horizon_days` is when the overall risk is to be known to 0.05. Of the model
    nothing is known, so it is taken to explain 15% of what can be explained (Nagelkerke's R2).
    """

    endpoint: str
    cohort: str
    patients: int
    events: int
    mean_follow_up_days: float
    horizon_days: float
    parameters: int
    needed: int
    needed_events: int
    most: int


def check_sample_sizes(clinical: ClinicalTable, has_any: NDArray[np.bool_]) -> list[SampleSizeCheck]:
    """A line for every endpoint and cancer type with an event; `all` first where there are several types.

    `has_any` (patients,) bool says who has any modality.
    """
    frame = clinical.frame
    able = has_any & ~frame["excluded"].to_numpy(dtype=np.bool_)
    cohort = frame["cohort"].to_numpy(dtype=str)
    names = sorted(set(cohort.tolist()))
    found: list[SampleSizeCheck] = []
    for endpoint in clinical.endpoints:
        time = frame[f"{endpoint}_time_days"].to_numpy(dtype=np.float64)
        event = frame[f"{endpoint}_event"].to_numpy(dtype=np.float64) == 1.0
        usable = able & (np.nan_to_num(time) > 0)
        for name in (["all"] if len(names) > 1 else []) + names:
            rows = usable if name == "all" else usable & (cohort == name)
            if event[rows].any():
                found.append(_check(endpoint, name, time[rows], int(event[rows].sum())))
    return found


def _check(endpoint: str, cohort: str, time: Floats, events: int) -> SampleSizeCheck:
    """`time` (n,) in days, above zero."""
    patients, follow_up = len(time), float(time.mean())
    horizon = HORIZON_DAYS if float(time.max()) >= HORIZON_DAYS else follow_up
    size = survival_sample_size(PARAMETERS, events / float(time.sum()), follow_up, horizon)
    return SampleSizeCheck(
        endpoint=endpoint,
        cohort=cohort,
        patients=patients,
        events=events,
        mean_follow_up_days=follow_up,
        horizon_days=horizon,
        parameters=PARAMETERS,
        needed=size.patients,
        needed_events=round(size.events),
        most=most_parameters(patients, size.r2, size.r2_maximum),
    )

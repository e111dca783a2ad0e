"""The numbers of a patient's row of predictions: intervals, survival, probabilities."""

import numpy as np
from scipy.special import ndtri

from prime.arrays import Floats, Indices
from prime.evaluation.lower_bounds import depth_at, possible_labels
from prime.predict.asked import MONTH, Asked
from prime.predict.model_folder import FittedModel
from prime.predict.patients import Patients
from prime.predict.prognosis import Calibration


def month_name(months: float) -> str:
    """A column for the survival probability at so many months."""
    return f"survival_{months:g}m"


def risk_interval(
    model: FittedModel, patients: Patients, rows: Indices, x: Floats, pattern: str, level: float
) -> Floats:
    """Half the width (n,) of an interval of the risk: bootstrap of the head, networks, what is missing."""
    variance = model.prognosis.risk_spread(x, patients.types[rows], pattern) ** 2
    missing = model.prognosis.shifts.get(f"{pattern}>all")
    if missing is not None:
        variance = variance + missing.spread**2
    return float(ndtri((1 + level) / 2)) * np.sqrt(variance)


def survival_columns(
    model: FittedModel,
    calibration: Calibration,
    pattern: str,
    risks: tuple[Floats, Floats, Floats],
    asked: Asked,
) -> dict[str, Floats]:
    """Median, bound and survival of patients of one calibration."""
    risk, low, high = risks
    reached = calibration.survival(risk, calibration.ends[-1:], pattern)[:, 0] <= 0.5
    median = calibration.time_at(0.5, risk, pattern) / MONTH
    depth = depth_at(1 - asked.level, model.prognosis.bounds[pattern])
    outlived = calibration.time_at(depth, risk, pattern) / MONTH
    found = {"median_months": np.where(reached, median, np.nan)}
    found[asked.outlived] = outlived
    # Low and high ends of survival: a high risk is a low survival.
    for end, value in (("", risk), ("_low", high), ("_high", low)):
        curve = calibration.survival(value, asked.days, pattern)
        found |= {month_name(m) + end: curve[:, i] for i, m in enumerate(asked.months)}
    return found


def probability_columns(
    model: FittedModel,
    calibration: Calibration,
    pattern: str,
    risks: tuple[Floats, Floats, Floats],
    asked: Asked,
) -> dict[str, Floats]:
    """Probabilities of patients of one calibration."""
    names = ("probability", "probability_low", "probability_high")
    return {n: calibration.probability(r, pattern) for n, r in zip(names, risks, strict=True)}


def no_columns(
    model: FittedModel,
    calibration: Calibration,
    pattern: str,
    risks: tuple[Floats, Floats, Floats],
    asked: Asked,
) -> dict[str, Floats]:
    """None: with competing events the cumulative incidences stand instead."""
    return {}


def possible_in_words(probability: Floats, quantiles: Floats, asked: Asked) -> list[str]:
    """The labels that can't be ruled out, in words."""
    without, having = possible_labels(probability, quantiles, asked.level)
    words = {
        (True, True): "either",
        (True, False): "no event",
        (False, True): "event",
        (False, False): "neither",
    }
    return [words[pair] for pair in zip(without.tolist(), having.tolist(), strict=True)]

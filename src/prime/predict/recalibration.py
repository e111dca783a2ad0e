"""A prognosis as another place asks for it: baselines, slopes and bounds changed, weights as they were."""

from dataclasses import replace
from typing import Literal

import numpy as np

from prime.arrays import Floats
from prime.evaluation.next_test import Shift
from prime.evaluation.recalibration import HorizonMap
from prime.methods.statistics.calibrated import CalibratedScore
from prime.predict.prognosis import Calibration, Prognosis

Method = Literal["intercept", "slope", "isotonic"]


def rescaled(prognosis: Prognosis, intercept: float, slope: float) -> Prognosis:
    """Risks times the slope, and hazards times exp(intercept), in every cancer type and pattern.

    For a binary task the log odds become intercept + slope * log odds. Percentiles, intervals and what a test
    adds go along; the order of patients stays. slope is above 0.
    """
    calibrations = {
        name: replace(
            each,
            scores={pattern: _score(score, intercept, slope) for pattern, score in each.scores.items()},
            reference={pattern: slope * risks for pattern, risks in each.reference.items()},
        )
        for name, each in prognosis.calibrations.items()
    }
    shifts = {
        name: Shift(slope * each.intercept, each.slope, slope * each.residual)
        for name, each in prognosis.shifts.items()
    }
    spread = {pattern: slope * value for pattern, value in prognosis.network_spread.items()}
    return replace(prognosis, calibrations=calibrations, shifts=shifts, network_spread=spread)


def _score(score: CalibratedScore, intercept: float, slope: float) -> CalibratedScore:
    model = score.model
    hazard = intercept + slope * model.hazard if model.binary else model.hazard * np.exp(intercept)
    return CalibratedScore(
        replace(
            model,
            weight=slope * model.weight,
            hazard=hazard,
            lowest=slope * model.lowest,
            highest=slope * model.highest,
        )
    )


def mapped(prognosis: Prognosis, maps: tuple[HorizonMap, ...]) -> Prognosis:
    """The risks by some days mapped, in every cancer type."""
    calibrations: dict[str, Calibration] = {
        name: replace(each, maps=maps) for name, each in prognosis.calibrations.items()
    }
    return replace(prognosis, calibrations=calibrations)


def rebounded(prognosis: Prognosis, bound: Floats) -> Prognosis:
    """The same bound for every pattern: local patients are too few to have one each."""
    return replace(prognosis, bounds=dict.fromkeys(prognosis.bounds, bound))

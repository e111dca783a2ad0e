"""From a score to survival: a slope and a baseline, fitted on scores of patients who did not shape them.

Source: van Houwelingen, "Validation, calibration, revision and combination of prognostic survival models",
Statistics in Medicine 2000, for the slope of a score on fresh patients.
"""

from dataclasses import dataclass

import numpy as np

from prime.arrays import Flags, Floats
from prime.methods.statistics.examples import Target
from prime.methods.statistics.ridge import RidgeModel, fit_ridge, learnable, with_weight

LEAST_SLOPE = 0.01  # survival always falls with the score
FEW_PENALTY = 1.0  # on the slope of a standardised score, where a tenth of a cohort is all there is


@dataclass(frozen=True)
class CalibratedScore:
    """A Cox or logistic regression on one score."""

    model: RidgeModel

    def survival(self, score: Floats) -> Floats:
        """Survival at the end of each bin, (n, T), of scores (n,)."""
        return self.model.survival(score[:, None])

    @property
    def parameters(self) -> int:
        """The slope and the baseline."""
        return 1 + self.model.hazard.size


def calibrate(score: Floats, target: Target) -> CalibratedScore:
    """The regression on scores (n,) alone, with a slope that cannot turn their order."""
    x = score[:, None]
    spread = float(score.std())
    if not spread > 0:
        return CalibratedScore(with_weight(np.array([LEAST_SLOPE]), x, target))
    slope = fit_ridge(x / spread, target, 1e-3).weight / spread
    return CalibratedScore(with_weight(np.maximum(slope, LEAST_SLOPE / spread), x, target))


def survival_score(survival: Floats) -> Floats:
    """A score (n,) in the order of the risks of survival curves (n, T): log(-log(mean survival))."""
    mean = np.clip(survival.mean(axis=1), 1e-12, 1 - 1e-12)
    return np.log(-np.log(mean))


def recalibrate(score: Floats, target: Target, held_out: Flags) -> CalibratedScore:
    """A slope from the few `held_out` (n,) of the scores (n,), and a baseline from all of them.

    The other scores shaped the model that gives them and are too far apart to tell the slope; but a baseline
    of the few alone would be noise. Where the few tell nothing (no event), the slope stays at one.
    """
    x, few = score[:, None], target.take(np.flatnonzero(held_out))
    spread = float(score[held_out].std()) if held_out.any() else 0.0
    if not spread > 0 or not learnable(few):
        return CalibratedScore(with_weight(np.ones(1), x, target))
    slope = fit_ridge(x[held_out] / spread, few, FEW_PENALTY).weight / spread
    return CalibratedScore(with_weight(np.maximum(slope, LEAST_SLOPE / spread), x, target))

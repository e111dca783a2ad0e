"""From a score to survival: a slope and a baseline, fitted on scores of patients who did not shape them.

Source: van Houwelingen, "Validation, calibration, revision and combination of prognostic survival models",
Statistics in Medicine 2000, for the slope of a score on fresh patients.
"""

from dataclasses import dataclass

import numpy as np

from prime.arrays import Floats
from prime.methods.statistics.examples import Target
from prime.methods.statistics.ridge import RidgeModel, fit_ridge, with_weight

LEAST_SLOPE = 0.01  # survival always falls with the score


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

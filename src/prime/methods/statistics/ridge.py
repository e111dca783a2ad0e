"""Ridge Cox or ridge logistic regression, as the task asks: from features to a score, and on to survival."""

from dataclasses import dataclass

import numpy as np
from scipy.special import expit

from prime.arrays import Floats
from prime.evaluation.cox import breslow_hazard, fit_cox
from prime.evaluation.logistic import fit_logistic, logistic_constant
from prime.methods.statistics.examples import Target


@dataclass(frozen=True)
class RidgeModel:
    """A fitted regression.

    Attributes:
        weight: (p,) of each feature.
        centre: (p,) training means, where the score is 0.
        hazard: (T,) cumulative hazard at the end of each bin where the score is 0; for a binary task (1,) the
            log odds of the event there.
        lowest, highest: scores among training patients.
        binary: which of the two it is.
    """

    weight: Floats
    centre: Floats
    hazard: Floats
    lowest: float
    highest: float
    binary: bool

    def score(self, x: Floats) -> Floats:
        """Log hazard ratio or log odds ratio to the average training patient: x (n, p) to (n,)."""
        return (x - self.centre) @ self.weight

    def survival(self, x: Floats) -> Floats:
        """Survival at the end of each bin, (n, T), of x (n, p).

        What a score has beyond those of training patients counts for less and less, and at most for one unit,
        so that an outlier does not end at 0 or 1, where it could not be told from another.
        """
        score = soften(self.score(x), self.lowest, self.highest)[:, None]
        if self.binary:
            return expit(-self.hazard - score)
        return np.exp(-self.hazard * np.exp(score))


def soften(score: Floats, lowest: float, highest: float) -> Floats:
    """The scores in the same order, with a distance d beyond a limit shortened to d / (1 + d)."""
    above, below = np.maximum(score - highest, 0.0), np.maximum(lowest - score, 0.0)
    return np.clip(score, lowest, highest) + above / (1 + above) - below / (1 + below)


def fit_ridge(x: Floats, target: Target, penalty: float) -> RidgeModel:
    """Fit the regression that maximises the summed log likelihood - penalty / 2 * |weight|^2.

    For a binary task that is logistic regression, for the other Cox's.

    Args:
        x: (n, p), finite.
        target: n patients with at least one event; for a binary task also one without.
        penalty: above zero.
    """
    if target.binary:
        return with_weight(fit_logistic(x, target.event, penalty), x, target)
    weight = fit_cox(x, target.time_days, target.event, penalty, target.entry_days)
    return with_weight(weight, x, target)


def with_weight(weight: Floats, x: Floats, target: Target) -> RidgeModel:
    """The model of given weights (p,): the baseline is fitted alone."""
    centre = x.mean(axis=0)
    score = (x - centre) @ weight
    if target.binary:
        hazard = np.array([logistic_constant(score, int(target.event.sum()))])
    else:
        followed = target.time_days, target.event
        hazard = breslow_hazard(score, *followed, bin_ends(target), target.entry_days)
    return RidgeModel(weight, centre, hazard, float(score.min()), float(score.max()), target.binary)


def bin_ends(target: Target) -> Floats:
    """(T,) the end of each time bin in days; of the open last one, the last event."""
    return np.append(target.edges[1:-1], target.time_days[target.event].max())


def learnable(target: Target) -> bool:
    """Whether a regression can be fitted: there is an event and, for a binary task, someone without."""
    return bool(target.event.any()) and not (target.binary and bool(target.event.all()))

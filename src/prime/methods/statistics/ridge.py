"""Ridge Cox or ridge logistic regression, as the task asks: from features to a score, and on to survival."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from prime.arrays import Floats
from prime.evaluation.one_covariate import logistic_constant
from prime.methods.statistics.cox import breslow_hazard, fit_cox
from prime.methods.statistics.examples import Target
from prime.methods.statistics.newton import maximise


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

    For a binary task this is scikit-learn's `LogisticRegression(C=1/penalty)`; for the other see `cox`.

    Args:
        x: (n, p), finite.
        target: n patients with at least one event; for a binary task also one without.
        penalty: above zero.
    """
    if target.binary:
        weight = fit_logistic(x, target.event, penalty)
    else:
        weight = fit_cox(x, target.time_days, target.event, penalty).weight
    return with_weight(weight, x, target)


def with_weight(weight: Floats, x: Floats, target: Target) -> RidgeModel:
    """The model of given weights (p,): the baseline is fitted alone."""
    centre = x.mean(axis=0)
    score = (x - centre) @ weight
    if target.binary:
        hazard = np.array([logistic_constant(score, int(target.event.sum()))])
    else:
        hazard = breslow_hazard(score, target.time_days, target.event).at(bin_ends(target))
    return RidgeModel(weight, centre, hazard, float(score.min()), float(score.max()), target.binary)


def bin_ends(target: Target) -> Floats:
    """(T,) the end of each time bin in days; of the open last one, the last event."""
    return np.append(target.edges[1:-1], target.time_days[target.event].max())


def learnable(target: Target) -> bool:
    """Whether a regression can be fitted: there is an event and, for a binary task, someone without."""
    return bool(target.event.any()) and not (target.binary and bool(target.event.all()))


def fit_logistic(x: Floats, label: NDArray[np.bool_], penalty: float) -> Floats:
    """Weights (p,) of the ridge logistic regression of the label on x (n, p); the intercept is free."""
    design = np.column_stack([np.ones(len(x)), x - x.mean(axis=0)])  # (n, 1 + p)
    cost = np.append(0.0, np.full(x.shape[1], penalty))

    def value(beta: Floats) -> float:
        line = design @ beta
        return float(-np.logaddexp(0.0, np.where(label, -line, line)).sum() - 0.5 * (cost * beta) @ beta)

    def derivatives(beta: Floats) -> tuple[Floats, Floats]:
        chance = expit(design @ beta)
        information = design.T @ (design * (chance * (1 - chance))[:, None]) + np.diag(cost)
        return design.T @ (label - chance) - cost * beta, information

    return maximise(value, derivatives, design.shape[1])[1:]

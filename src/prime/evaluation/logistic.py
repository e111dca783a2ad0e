"""Logistic regression by Newton's method, with a ridge penalty or of one covariate without: pure functions.

Sources: Cox, "The regression analysis of binary sequences", JRSS B 1958; le Cessie and van Houwelingen,
Applied Statistics 1992, for the penalty.
"""

from collections.abc import Callable
from typing import cast

import numpy as np
from scipy.optimize import brentq
from scipy.special import expit

from prime.arrays import Flags, Floats
from prime.evaluation.newton import Derivatives, finite_maximum, maximise


def fit_logistic(x: Floats, label: Flags, penalty: float) -> Floats:
    """Weights (p,) that maximise the summed log-likelihood - penalty / 2 * |weight|^2; the intercept is free.

    This is scikit-learn's `LogisticRegression(C=1/penalty)`.

    Args:
        x: (n, p), finite.
        label: (n,), both classes present.
        penalty: above zero.
    """
    design = np.column_stack([np.ones(len(x)), x - x.mean(axis=0)])  # (n, 1 + p)
    cost = np.append(0.0, np.full(x.shape[1], penalty))
    return maximise(logistic_likelihood(design, label, cost), design.shape[1]).point[1:]


def logistic_regression(label: Flags, x: Floats) -> tuple[float, float] | None:
    """Intercept and slope of the regression of the label on x, no penalty; None where no maximum is reached.

    Args:
        label: (n,), both classes present.
        x: (n,), not all equal.
    """
    centre, scale = x.mean(), x.std()
    design = np.column_stack([np.ones(len(x)), (x - centre) / scale])
    found = finite_maximum(logistic_likelihood(design, label, np.zeros(2)), 2)
    if found is None:
        return None
    slope = float(found[1] / scale)
    return float(found[0] - slope * centre), slope


def logistic_constant(logit: Floats, positives: int) -> float:
    """The constant that, added to each logit, makes the mean probability the share of positives."""
    goal = np.log(positives) - np.log(len(logit) - positives)
    low, high = goal - logit.max(), goal - logit.min()
    if low == high:
        return float(low)

    def excess(constant: float) -> float:
        return float(np.exp(-np.logaddexp(0.0, -logit - constant)).sum()) - positives

    return cast(float, brentq(excess, low - 1.0, high + 1.0, xtol=1e-12))


def separated(label: Flags, x: Floats) -> bool:
    """Whether a threshold separates the classes, ties at the threshold allowed: then no maximum is finite."""
    high, low = x[label], x[~label]
    return bool(high.min() >= low.max() or low.min() >= high.max())


def logistic_likelihood(design: Floats, label: Flags, cost: Floats) -> Callable[[Floats], Derivatives]:
    """The log-likelihood of weights (q,) of design (n, q), less the sum of cost / 2 * weight^2, cost (q,)."""

    def likelihood(weight: Floats) -> Derivatives:
        line = design @ weight
        chance = expit(line)
        value = -np.logaddexp(0.0, np.where(label, -line, line)).sum() - 0.5 * (cost * weight) @ weight
        gradient = design.T @ (label - chance) - cost * weight
        information = design.T @ (design * (chance * (1 - chance))[:, None]) + np.diag(cost)
        return Derivatives(float(value), gradient, information)

    return likelihood

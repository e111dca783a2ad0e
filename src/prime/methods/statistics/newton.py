"""Newton's method with halved steps for the strictly concave likelihoods of ridge regressions."""

from collections.abc import Callable

import numpy as np
from scipy.linalg import cho_factor, cho_solve

from prime.arrays import Floats

_STEPS = 100
_DECREMENT = 1e-18  # squared distance to the maximum, in the metric of the curvature, at which it stops


def maximise(
    value: Callable[[Floats], float], derivatives: Callable[[Floats], tuple[Floats, Floats]], size: int
) -> Floats:
    """The maximum (size,), starting from zero.

    Args:
        value: the function; minus infinity where it cannot be computed.
        derivatives: its gradient (size,) and information, the negative second derivatives (size, size), which
            are positive definite.
        size: the number of parameters.
    """
    beta = np.zeros(size)
    height = value(beta)
    for _ in range(_STEPS):
        gradient, information = derivatives(beta)
        step: Floats = cho_solve(cho_factor(information), gradient)
        if float(gradient @ step) < _DECREMENT:
            break
        found = value(beta + step)
        while found < height - 1e-12 * (1.0 + abs(height)):
            step = step / 2
            found = value(beta + step)
        beta, height = beta + step, found
    return beta

"""Newton's method with halved steps for concave log-likelihoods."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from scipy.linalg import cho_factor, cho_solve

from prime.arrays import Floats

_STEPS = 100
_DECREMENT = 1e-18  # squared distance to the maximum, in standard errors, at which it stops


class Derivatives(NamedTuple):
    """A function at a point of p parameters.

    Attributes:
        value: minus infinity where it cannot be computed; the derivatives do not matter there.
        gradient: (p,).
        information: (p, p), the negative second derivatives.
    """

    value: float
    gradient: Floats
    information: Floats


class Stop(NamedTuple):
    """Where Newton's method stopped.

    Attributes:
        point: (p,).
        step: (p,) the next step, which was not taken: how far the maximum still is.
        reached: False where the number of steps ran out first.
    """

    point: Floats
    step: Floats
    reached: bool


def maximise(function: Callable[[Floats], Derivatives], size: int) -> Stop:
    """Climb a strictly concave function of `size` parameters, from zero.

    Raises:
        numpy.linalg.LinAlgError: the information is not positive definite.
    """
    point = np.zeros(size)
    here = function(point)
    for _ in range(_STEPS):
        step: Floats = cho_solve(cho_factor(here.information), here.gradient)
        if float(here.gradient @ step) < _DECREMENT:
            return Stop(point, step, True)
        there = function(point + step)
        while there.value < here.value - 1e-12 * (1.0 + abs(here.value)):
            step = step / 2
            there = function(point + step)
        point, here = point + step, there
    return Stop(point, np.zeros(size), False)


def finite_maximum(function: Callable[[Floats], Derivatives], size: int) -> Floats | None:
    """The maximum (size,) of a concave function; None where it is not reached.

    A function that rises for ever can become so flat that Newton's method stops: that it has a maximum must
    be known before.
    """
    try:
        stop = maximise(function, size)
    except np.linalg.LinAlgError:
        return None
    return stop.point + stop.step if stop.reached else None

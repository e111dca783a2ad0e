"""Restricted cubic splines: smooth curves that are straight at both ends. Pure functions of arrays.

Source: Harrell, "Regression Modeling Strategies", 2nd ed. 2015, chapter 2.4.
"""

import numpy as np
from numpy.typing import NDArray

from prime.arrays import Floats
from prime.evaluation.argument_checks import finite_vector

QUANTILES = {3: (0.1, 0.5, 0.9), 4: (0.05, 0.35, 0.65, 0.95), 5: (0.05, 0.275, 0.5, 0.725, 0.95)}


def spline_knots(x: NDArray[np.floating], count: int = 3) -> Floats:
    """Knots at Harrell's quantiles of x (n,), equal ones once; fewer than three make a straight line.

    Raises:
        ValueError: x that is not finite or empty, or another number than 3, 4 or 5.
    """
    values = finite_vector(x, None, "x")
    if count not in QUANTILES or not len(values):
        raise ValueError(f"needs 3, 4 or 5 knots and a value, found {count} and {len(values)} values")
    return np.unique(np.quantile(values, QUANTILES[count]))


def restricted_cubic_spline(x: NDArray[np.floating], knots: Floats) -> Floats:
    """The basis (n, max(1, k - 1)) at x (n,) of k knots: x itself, then k - 2 cubic terms.

    Below the first and above the last knot every term is straight. Raises ValueError for values that are not
    finite.
    """
    values = finite_vector(x, None, "x")
    columns = [values]
    if len(knots) >= 3:
        last, before = knots[-1], knots[-2]
        scale = (last - knots[0]) ** 2
        for knot in knots[:-2]:
            term = _cubed(values, knot) - _cubed(values, before) * (last - knot) / (last - before)
            term += _cubed(values, last) * (before - knot) / (last - before)
            columns.append(term / scale)
    return np.stack(columns, axis=1)


def _cubed(values: Floats, knot: float) -> Floats:
    return np.maximum(values - knot, 0.0) ** 3

"""Discrete-time predictions as survival curves: S(t) at any time. Pure functions of arrays."""

import numpy as np
from numpy.typing import NDArray

from prime.arrays import Floats
from prime.evaluation.argument_checks import check_probabilities, finite_vector


def step_survival(
    edges: NDArray[np.floating],
    survival: NDArray[np.floating],
    times: NDArray[np.floating],
    interpolate: bool = False,
) -> Floats:
    """S(t) of each patient at each time, from a discrete-time prediction.

    Bin k is [edges[k], edges[k + 1]), and survival[:, k] the probability to survive past its end. The step
    function is right-continuous: S(t) = 1 for t < edges[1], and S(t) = survival[:, k] for
    edges[k + 1] <= t < edges[k + 2]. It keeps its value beyond the last finite edge; with edges[-1] = +inf
    the last column is therefore never reached. With `interpolate`, S falls linearly from one finite edge to
    the next, starting with S = 1 at edges[0], or at time 0 where edges[0] is -inf; the two agree at the
    edges and beyond the last finite one.

    Args:
        edges: (T + 1,), increasing; the first may be -inf and the last +inf.
        survival: (n, T), within [0, 1].
        times: (q,), finite.

    Returns:
        (n, q).

    Raises:
        ValueError: shapes that disagree, edges that do not increase or are infinite inside, a survival
            outside [0, 1], or a time that is not finite.
    """
    limits, curves = _discrete(edges, survival)
    asked = finite_vector(times, None, "times")
    low, high, share = _between(limits, asked, interpolate)
    padded = np.concatenate([np.ones((len(curves), 1)), curves], axis=1)
    return padded[:, low] + share * (padded[:, high] - padded[:, low])


def row_interpolation(at: Floats, x: Floats, y: Floats) -> Floats:
    """Each row's piecewise linear function at its own place: at (n,), x and y (n, T), from (0, 0) on.

    x must not fall along a row. Beyond the last x, the last y.
    """
    rows = zip(at, x, y, strict=True)
    return np.array([np.interp(a, np.append(0.0, p), np.append(0.0, q)) for a, p, q in rows])


def own_time_survival(
    edges: NDArray[np.floating],
    survival: NDArray[np.floating],
    time: NDArray[np.floating],
    interpolate: bool = True,
) -> Floats:
    """(n,) S(t) of each patient at the patient's own time (n,): the diagonal of `step_survival`.

    What `d_calibration` asks for. Beyond the last finite edge S stays as it is, so there an event should be
    handed on as a censoring: the prediction says no more than that the patient got that far.
    """
    limits, curves = _discrete(edges, survival)
    asked = finite_vector(time, len(curves), "time")
    low, high, share = _between(limits, asked, interpolate)
    padded = np.concatenate([np.ones((len(curves), 1)), curves], axis=1)
    rows = np.arange(len(curves))
    return padded[rows, low] + share * (padded[rows, high] - padded[rows, low])


def _discrete(edges: NDArray[np.floating], survival: NDArray[np.floating]) -> tuple[Floats, Floats]:
    limits, curves = np.asarray(edges, dtype=np.float64), np.asarray(survival, dtype=np.float64)
    if curves.ndim != 2 or limits.shape != (curves.shape[1] + 1,) or len(limits) < 2:
        raise ValueError(
            f"edges {limits.shape} must be one longer than the columns of survival {curves.shape}"
        )
    if not (np.diff(limits) > 0).all() or not np.isfinite(limits[1:-1]).all():
        raise ValueError("edges must increase strictly, only the first and the last may be infinite")
    check_probabilities(curves, "survival")
    return limits, curves


def _between(
    limits: Floats, times: Floats, interpolate: bool
) -> tuple[NDArray[np.int64], NDArray[np.int64], Floats]:
    """For each time the column of [1, survival] reached, the next one, and the share of the way to it."""
    ends = limits[1:][np.isfinite(limits[1:])]
    low = np.searchsorted(ends, times, side="right")
    high = np.minimum(low + 1, len(ends))
    if not interpolate or not len(ends):
        return low, low, np.zeros(len(times))
    start = limits[0] if np.isfinite(limits[0]) else min(0.0, float(ends[0]))
    knots = np.concatenate([[start], ends])
    width = knots[high] - knots[low]
    share = np.divide(times - knots[low], width, out=np.zeros(len(times)), where=width > 0)
    return low, high, np.clip(share, 0.0, 1.0)

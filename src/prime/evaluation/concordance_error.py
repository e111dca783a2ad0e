"""How far a concordance could be off: its standard error over patients, without drawing samples.

A patient's influence is the derivative of the concordance by the patient's weight, where a pair weighs the
product of its two patients' weights (infinitesimal jackknife). Source: Efron, "Nonparametric estimates of
standard error", Biometrika 1981.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit, ndtri

from prime.arrays import Flags, Floats
from prime.evaluation.argument_checks import finite_vector

_CHUNK = 1 << 22  # pairs compared at once


def concordance_error(
    time: Floats, event: Flags, risk: Floats, strata: NDArray[np.generic], entry: Floats | None = None
) -> float:
    """Standard error of `metrics.concordance_within`; NaN where no pair is comparable.

    Args:
        time: (n,) in any one unit.
        event: (n,) bool, True = event observed.
        risk: (n,), higher = worse.
        strata: (n,) only pairs of one stratum count.
        entry: (n,) delayed entry.

    Raises:
        ValueError: a time or risk that is not finite.
    """
    times, risks = finite_vector(time, None, "time"), finite_vector(risk, None, "risk")
    concordant, comparable = np.zeros(len(times)), np.zeros(len(times))
    for label in np.unique(strata):
        rows = np.flatnonzero(strata == label)
        late = None if entry is None else entry[rows]
        concordant[rows], comparable[rows] = _pairs_of(times[rows], event[rows], risks[rows], late)
    pairs = comparable.sum() / 2
    if not pairs:
        return float("nan")
    influence = (concordant - concordant.sum() / comparable.sum() * comparable) / pairs
    return float(np.sqrt((influence**2).sum()))


def concordance_interval(value: float, error: float, level: float = 0.95) -> tuple[float, float]:
    """Ends of the interval of a concordance with its standard error, symmetric in log odds; NaN at 0 or 1."""
    if not 0.0 < value < 1.0:
        return float("nan"), float("nan")
    half = float(ndtri((1 + level) / 2)) * error / (value * (1.0 - value))
    return float(expit(logit(value) - half)), float(expit(logit(value) + half))


def _pairs_of(time: Floats, event: Flags, risk: Floats, entry: Floats | None) -> tuple[Floats, Floats]:
    """Of each patient (n,), the concordant pairs that it is in, ties one half, and the comparable ones."""
    n, cases = len(time), np.flatnonzero(event)
    concordant, comparable = np.zeros(n), np.zeros(n)
    step = max(1, _CHUNK // max(n, 1))
    for start in range(0, len(cases), step):
        mine = cases[start : start + step]
        rows = mine[:, None]
        pairs = (time[rows] < time) | ((time[rows] == time) & ~event)
        if entry is not None:
            pairs &= entry < time[rows]
        right = pairs * ((risk[rows] > risk) + 0.5 * (risk[rows] == risk))
        for total, found in ((comparable, pairs), (concordant, right)):
            total += found.sum(axis=0)
            total[mine] += found.sum(axis=1)
    return concordant, comparable

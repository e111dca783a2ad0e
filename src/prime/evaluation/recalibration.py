"""Recalibration of predicted survival to patients of another place. Pure functions of arrays.

Sources: Crowson, Atkinson and Therneau, "Assessing calibration of prognostic risk scores", Stat. Methods Med.
Res. 2016, for the Poisson regression; Steyerberg et al., Stat. Med. 2004, for the steps from intercept to
slope; Zadrozny and Elkan, KDD 2002, for isotonic maps.
"""

from dataclasses import dataclass

import numpy as np

from prime.arrays import Flags, Floats
from prime.evaluation.newton import Derivatives, finite_maximum
from prime.evaluation.product_limit import product_limit

LEAST_HAZARD = 1e-12


def hazard_recalibration(expected: Floats, event: Flags, line: Floats | None) -> tuple[float, float] | None:
    """(a, c) of the Poisson regression log mean = log(expected) + a + c * line; c is 0 without a line.

    The recalibrated cumulative hazard of a patient is H(t) exp(a + c line): a alone makes the events expected
    as many as those observed; 1 + c is the slope on the log hazard where line is the log cumulative hazard.

    Args:
        expected: (n,) predicted cumulative hazard at the end of each patient's follow-up, not negative.
        event: (n,) bool, at least one.
        line: (n,) the centred covariate, or None.

    Returns:
        None where no finite maximum is reached.
    """
    offset = np.log(np.maximum(expected, LEAST_HAZARD))
    if line is None:
        return float(np.log(event.sum()) - np.log(np.exp(offset).sum())), 0.0
    design = np.column_stack([np.ones(len(line)), line])

    def likelihood(weight: Floats) -> Derivatives:
        log_mean = offset + design @ weight
        with np.errstate(over="ignore"):
            mean = np.exp(log_mean)
        value = float(log_mean[event].sum() - mean.sum())
        value = value if np.isfinite(value) else -np.inf
        return Derivatives(value, design.T @ (event - mean), design.T @ (design * mean[:, None]))

    found = finite_maximum(likelihood, 2)
    return None if found is None else (float(found[0]), float(found[1]))


def known_by(time: Floats, event: Flags, horizon: float) -> tuple[Flags, Floats]:
    """The event by the horizon (n,), and each patient's weight (n,): 1 / P(not censored by then), else 0.

    The weight of those censored before the horizon is 0. Source: Graf et al., Stat. Med. 1999.
    """
    label = event & (time <= horizon)
    free = product_limit(time, event, censoring=True).at(np.minimum(time, horizon))
    known = (label | (time > horizon)) & (free > 0)
    return label, np.divide(1.0, free, out=np.zeros(len(time)), where=known)


@dataclass(frozen=True)
class HorizonMap:
    """A rising map of predicted risks by some day, linear between (k,) risks and constant beyond them."""

    days: float
    predicted: Floats
    observed: Floats

    def __call__(self, chance: Floats) -> Floats:
        """What predicted risks become, in any shape."""
        return np.interp(chance, self.predicted, self.observed)


def bent(days: Floats, curve: Floats, maps: tuple[HorizonMap, ...], at_maps: Floats) -> Floats:
    """Survival curves (n, h) at days (h,) that have, at the days of the maps, the survival that they give.

    at_maps (n, q): the curves' own survival at the days of the q maps, which rise. Where later maps would
    raise survival again, it stays.
    """
    own = np.maximum(at_maps, LEAST_HAZARD)
    wanted = np.stack([1.0 - each(1.0 - own[:, k]) for k, each in enumerate(maps)], axis=1)
    falling = np.maximum(np.minimum.accumulate(wanted, axis=1), LEAST_HAZARD)
    return through_points(days, curve, np.array([each.days for each in maps]), own, falling)


def through_points(times: Floats, survival: Floats, days: Floats, at_days: Floats, wanted: Floats) -> Floats:
    """Survival curves bent so that they have the wanted values at some days: (n, T) to (n, T).

    Between two of the days, and before the first, the log of the curve is stretched; beyond the last one it
    keeps the stretch of the last stretch. Where the curve does not fall between two days nothing can be
    stretched, and the fall wanted comes at the second of them.

    Args:
        times: (T,) days; survival: (n, T) of the curves there, NaN where it is not known.
        days: (q,) increasing. at_days: (n, q) the curves' own values at them, above 0.
        wanted: (n, q), above 0, not increasing along days.
    """
    before = np.column_stack([np.zeros(len(survival)), np.log(at_days)])
    after = np.column_stack([np.zeros(len(survival)), np.log(wanted)])
    fall, goal = np.diff(before, axis=1), np.diff(after, axis=1)
    stretch = np.divide(goal, fall, out=np.ones_like(goal), where=fall < 0)
    log = np.log(np.maximum(survival, np.finfo(np.float64).tiny))
    place = np.minimum(np.searchsorted(days, times, side="left"), len(days) - 1)
    result = np.empty_like(log)
    for column, k in enumerate(place.tolist()):
        near = k + 1 if times[column] >= days[k] else k
        result[:, column] = after[:, near] + stretch[:, k] * (log[:, column] - before[:, near])
    return np.exp(np.minimum(result, 0.0))

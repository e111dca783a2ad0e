"""Bounds that hold for new patients: of a survival time under censoring, and of a label.

Both are calibrated on patients whom the model was fitted without. A survival time T with the predicted curve
S becomes the depth U = 1 - S(T), how far the curve has fallen when the patient dies. Whatever the curves are,
held-out deaths, weighted by the inverse probability of not being censored before, tell how often U < a; so
the time at which a new patient's curve has fallen by that a is outlived as often as promised, among patients
like those of the calibration, as long as censoring does not depend on the risk.

Source: Candes, Lei and Ren, "Conformalized survival analysis", JRSS B 2023, for the aim and for lower bounds
as the right kind of interval under censoring; Vovk, "Conditional validity of inductive conformal predictors",
2012, for calibration within groups, here within patterns of what is missing.
"""

import numpy as np

from prime.arrays import Flags, Floats
from prime.evaluation.product_limit import at_risk_at, product_limit

LEVELS = np.arange(1, 100) / 100  # of which depths are kept


def death_weights(time: Floats, event: Flags, entry: Floats | None = None) -> Floats:
    """One over the probability of not being censored before each death, (n,); 0 for who is censored.

    The probability is the Kaplan-Meier estimate among these patients, who should be of one cohort. Source:
    Robins and Rotnitzky, "Recovery of information and adjustment for dependent censoring", 1992. With delayed
    entry (n,), before the time, a death weighs n S(t-) / Y(t), the product-limit estimate's mass of it, which
    is the same without: Y(t) patients at risk, S their survival.
    """
    if entry is not None:
        return _truncated_weights(time, event, entry)
    censoring = product_limit(time, event, censoring=True)
    before = np.concatenate([[1.0], censoring.curve])
    kept = before[np.searchsorted(censoring.times, time, side="left")]
    return np.divide(1.0, kept, out=np.zeros(len(time)), where=(kept > 0) & event)


def _truncated_weights(time: Floats, event: Flags, entry: Floats) -> Floats:
    found = product_limit(time, event, entry=entry)
    before = np.concatenate([[1.0], found.curve])[np.searchsorted(found.times, time, side="left")]
    return np.where(event, len(time) * before / at_risk_at(time, time, entry), 0.0)


def depth_quantiles(depth: Floats, weight: Floats) -> Floats:
    """For each of LEVELS the largest depth with an estimated share of deaths of at most that level below it.

    Args:
        depth: (n,) in [0, 1]: 1 - S at the time of death or of censoring.
        weight: (n,) of `death_weights`.

    Returns:
        (99,) ascending in [0, 1]. A share is counted as if one more patient had died at once, as in split
        conformal prediction; levels beyond what deaths tell keep the largest depth of a death.
    """
    died = np.flatnonzero(weight > 0)
    if not len(died):
        return np.zeros(len(LEVELS))
    order = died[np.argsort(depth[died], kind="stable")]
    below = (np.cumsum(weight[order]) - weight[order] + 1) / (len(depth) + 1)  # the share before each death
    place = np.searchsorted(below, LEVELS, side="right") - 1
    return np.where(place >= 0, depth[order][np.maximum(place, 0)], 0.0)


def depth_at(level: float, quantiles: Floats) -> float:
    """The depth for a level in (0, 1), by linear interpolation of `depth_quantiles`."""
    return float(np.interp(level, LEVELS, quantiles))


def time_at_depth(depth: float, ends: Floats, hazard: Floats, factor: Floats) -> Floats:
    """When curves exp(-H(t) * factor) have fallen by a depth.

    Args:
        depth: in [0, 1].
        ends: (T,) rising times.
        hazard: (T,) the cumulative baseline hazard H there, linear between, 0 at time 0.
        factor: (n,) hazard ratios.

    Returns:
        (n,) times; the last end where a curve has not fallen so far by then.
    """
    with np.errstate(divide="ignore"):
        wanted = -np.log1p(-min(depth, 1.0)) / factor
    grid, heights = np.append(0.0, ends), np.append(0.0, hazard)
    strict = np.maximum.accumulate(heights + np.arange(len(heights)) * 1e-15)
    return np.interp(wanted, strict, grid)


def miscoverage(bound: Floats, time: Floats, event: Flags) -> float:
    """The estimated share of patients who die before their bound: bound, time, event (n,).

    Deaths are weighted by the inverse probability of not being censored before; no prediction is used.
    """
    if not len(time):
        return float("nan")
    return float(death_weights(time, event)[time < bound].sum() / len(time))


def label_quantiles(probability: Floats, label: Flags) -> Floats:
    """(2, 101) percentiles of the probabilities of those without the event and with it; NaN for none."""
    rows = [probability[~label], probability[label]]
    percent = np.arange(101)
    return np.stack([np.percentile(row, percent) if len(row) else np.full(101, np.nan) for row in rows])


def possible_labels(probability: Floats, quantiles: Floats, level: float) -> tuple[Flags, Flags]:
    """Which labels can't be ruled out at a level: (n,) bool "no event", (n,) bool "event".

    A label is ruled out where at most a share 1 - level of held-out patients with that label have a
    probability as extreme: as high for "no event", as low for "event".
    """
    percent = np.arange(101.0)
    without, having = quantiles
    nothing = np.ones(len(probability), dtype=bool)
    negative = np.interp(probability, without, percent) <= 100 * level
    positive = np.interp(probability, having, percent) >= 100 * (1 - level)
    return (
        nothing if np.isnan(without).any() else negative,
        nothing if np.isnan(having).any() else positive,
    )

"""Smooth calibration curves and what they say in one number. Pure functions of arrays.

The outcome is regressed on a restricted cubic spline of the transformed prediction; the curve is the risk
that this regression gives at each prediction. ICI, E50 and E90 are the mean, the median and the 90th
percentile, over patients, of the distance between the curve and the prediction. What is undefined is NaN.

Sources: Austin and Steyerberg, "The Integrated Calibration Index", Stat. Med. 2019; Austin, Harrell and van
Klaveren, "Graphical calibration curves and the integrated calibration index for survival models", Stat. Med.
2020.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit

from prime.arrays import Floats
from prime.evaluation.argument_checks import (
    bool_vector,
    entry_times,
    probability_vector,
    survival_arrays,
)
from prime.evaluation.cox import breslow_hazard, partial_likelihood
from prime.evaluation.logistic import logistic_likelihood
from prime.evaluation.newton import Derivatives, finite_maximum
from prime.evaluation.splines import restricted_cubic_spline, spline_knots

FEWEST = 10  # events, and patients without one, below which a smooth curve says nothing
_POINTS = 50
_FAR = 50.0  # a weight of a standardised term beyond which the likelihood is taken to rise for ever


@dataclass(frozen=True)
class SmoothCalibration:
    """A smooth calibration curve.

    Attributes:
        predicted, observed: (50,) points of the curve, from the 1st to the 99th percentile of predictions.
        ici, e50, e90, largest: mean, median, 90th percentile and maximum of |observed - predicted| over
            patients.
        n: patients.
        events: events (by the horizon), or positives.
        reason: why the numbers are NaN; None where they are defined.
    """

    predicted: Floats
    observed: Floats
    ici: float
    e50: float
    e90: float
    largest: float
    n: int
    events: int
    reason: str | None = None


def smooth_calibration(
    label: NDArray[np.bool_], probability: NDArray[np.floating], knots: int = 3
) -> SmoothCalibration:
    """Of a binary prediction: logistic regression on a spline of its logit.

    Args:
        label: (n,) bool, True = positive. probability: (n,), within [0, 1]. knots: 3, 4 or 5.

    Raises:
        ValueError: shapes that disagree, a label that is not bool, a probability outside [0, 1].
    """
    labels = bool_vector(label, "label")
    chances = probability_vector(probability, len(labels), "probability")
    positives = int(labels.sum())
    reason = _too_few(positives, len(labels) - positives, chances)
    if reason:
        return _undefined(len(labels), positives, reason)

    def fit(basis: Floats) -> Callable[[Floats], Floats] | None:
        design = np.column_stack([np.ones(len(basis)), basis])
        weight = _maximum(logistic_likelihood(design, labels, np.zeros(design.shape[1])), design.shape[1])
        return None if weight is None else lambda at: expit(weight[0] + at @ weight[1:])

    return _smooth(chances, logit, fit, knots, positives)


def smooth_survival_calibration(
    time: NDArray[np.floating],
    event: NDArray[np.bool_],
    probability: NDArray[np.floating],
    horizon: float,
    knots: int = 3,
    entry: NDArray[np.floating] | None = None,
) -> SmoothCalibration:
    """Of a predicted risk by a horizon: Cox regression on a spline of log(-log(1 - risk)).

    Follow-up is cut off at the horizon, so that hazards need be proportional no longer than that.

    Args:
        time: (n,) in any one unit. event: (n,) bool, True = event observed.
        probability: (n,), predicted risk of an event by the horizon, within [0, 1].
        horizon: in the unit of time. knots: 3, 4 or 5.
        entry: (n,) delayed entry, before the time; who enters at the horizon or later is left out.

    Raises:
        ValueError: shapes that disagree, event not bool, a time that is not finite, a probability outside
            [0, 1].
    """
    times, events = survival_arrays(time, event)
    chances = probability_vector(probability, len(times), "probability")
    late = None if entry is None else entry_times(entry, times)
    if late is not None:
        kept = late < horizon
        times, events, chances, late = times[kept], events[kept], chances[kept], late[kept]
    beyond = int((times > horizon).sum())
    times, events = np.minimum(times, horizon), events & (times <= horizon)
    by_then = int(events.sum())
    reason = _too_few(by_then, beyond, chances)
    if reason:
        return _undefined(len(times), by_then, reason)

    def fit(basis: Floats) -> Callable[[Floats], Floats] | None:
        likelihood = partial_likelihood(basis, times, events, entry=late)
        weight = _maximum(likelihood, basis.shape[1])
        if weight is None:
            return None
        hazard = float(breslow_hazard(basis @ weight, times, events, np.array([horizon]), late)[0])
        return lambda at: -np.expm1(-hazard * np.exp(at @ weight))

    return _smooth(chances, lambda p: np.log(-np.log1p(-p)), fit, knots, by_then)


def _smooth(
    chances: Floats,
    link: Callable[[Floats], Floats],
    fit: Callable[[Floats], Callable[[Floats], Floats] | None],
    knots: int,
    events: int,
) -> SmoothCalibration:
    """`link` transforms predictions; `fit` gives the risk as a function of the scaled basis of them."""
    places = spline_knots(link(chances), knots)
    basis = restricted_cubic_spline(link(chances), places)
    centre, scale = basis.mean(axis=0), basis.std(axis=0)
    curve = fit((basis - centre) / scale)
    if curve is None:
        return _undefined(len(chances), events, "the likelihood has no finite maximum")
    first, last = np.quantile(chances, [0.01, 0.99])
    shown = np.linspace(first, last, _POINTS)
    observed = curve((restricted_cubic_spline(link(shown), places) - centre) / scale)
    away = np.abs(curve((basis - centre) / scale) - chances)
    e50, e90 = np.quantile(away, [0.5, 0.9])
    return SmoothCalibration(
        shown, observed, float(away.mean()), float(e50), float(e90), float(away.max()), len(chances), events
    )


def _maximum(function: Callable[[Floats], Derivatives], size: int) -> Floats | None:
    found = finite_maximum(function, size)
    return None if found is None or np.abs(found).max() > _FAR else found


def _too_few(events: int, without: int, chances: Floats) -> str | None:
    if min(events, without) < FEWEST:
        return f"fewer than {FEWEST} patients with the event, or followed beyond without it"
    if ((chances <= 0) | (chances >= 1)).any():
        return "a predicted probability of exactly 0 or 1"
    return "all predicted probabilities are equal" if np.ptp(chances) == 0 else None


def _undefined(n: int, events: int, reason: str) -> SmoothCalibration:
    nothing, nan = np.full(_POINTS, np.nan), float("nan")
    return SmoothCalibration(nothing, nothing, nan, nan, nan, nan, n, events, reason)

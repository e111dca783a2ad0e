"""Kaplan-Meier curves as figures show them, with an interval and the numbers at risk.

Times may be in any one unit, days elsewhere in this package. Where a figure is undefined it is NaN. Lifelines
is imported inside the function, because importing it takes a second. The bare estimate that metrics rest on
is `product_limit.product_limit`.
"""

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from prime.evaluation.argument_checks import check_level, follow_up_times, sized_bool_vector

_NAN = float("nan")


@dataclass(frozen=True)
class KaplanMeier:
    """A product-limit curve as steps: `survival[i]` holds from `times[i]` up to the next time.

    Attributes:
        times: (points,) ascending, 0 first; events and censorings both have a point.
        survival: (points,) share still alive, in [0, 1]; NaN for nobody.
        low, high: (points,) pointwise interval by Greenwood's variance of log(-log S).
        median: first time at which survival is one half or less; NaN where it never is.
    """

    times: NDArray[np.float64]
    survival: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    median: float


def kaplan_meier(time: NDArray[np.floating], event: NDArray[np.bool_], level: float = 0.95) -> KaplanMeier:
    """Product-limit estimate of survival with a pointwise interval.

    Source: Kaplan & Meier, "Nonparametric estimation from incomplete observations", JASA 1958.

    Args:
        time: (n,) >= 0.
        event: (n,) bool, True = event observed.
        level: coverage of the interval, in (0, 1).

    Raises:
        ValueError: shapes that disagree, event not bool, a time that is negative or not finite, or level
            outside (0, 1).
    """
    times = follow_up_times(time)
    events = sized_bool_vector(event, len(times), "event")
    check_level(level)
    if not len(times):
        return KaplanMeier(np.zeros(1), *(np.full(1, _NAN) for _ in range(3)), median=_NAN)
    from lifelines import KaplanMeierFitter

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fitted: Any = KaplanMeierFitter(alpha=1.0 - level).fit(times, event_observed=events)
    interval = fitted.confidence_interval_.to_numpy(dtype=np.float64)
    median = float(fitted.median_survival_time_)
    return KaplanMeier(
        times=fitted.survival_function_.index.to_numpy(dtype=np.float64),
        survival=fitted.survival_function_.iloc[:, 0].to_numpy(dtype=np.float64),
        low=interval[:, 0],
        high=interval[:, 1],
        median=median if np.isfinite(median) else _NAN,
    )


def numbers_at_risk(time: NDArray[np.floating], at: ArrayLike) -> NDArray[np.int64]:
    """(q,) patients still followed just before each of the (q,) times `at`: those with time >= at.

    Raises:
        ValueError: a time that is negative or not finite.
    """
    times = np.sort(follow_up_times(time))
    return (len(times) - np.searchsorted(times, np.asarray(at, dtype=np.float64), side="left")).astype(
        np.int64
    )

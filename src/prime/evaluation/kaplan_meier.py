"""Kaplan-Meier curves as figures show them, with an interval and the numbers at risk.

Times may be in any one unit, days elsewhere in this package. Where a figure is undefined it is NaN. The bare
estimate that metrics rest on is `product_limit.product_limit`.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from prime.evaluation.argument_checks import (
    check_level,
    entry_times,
    follow_up_times,
    sized_bool_vector,
)
from prime.evaluation.product_limit import at_risk_at, product_limit

_NAN = float("nan")
_ROUNDING = 1e-12  # by which a product that is one half may lie above it


@dataclass(frozen=True)
class KaplanMeier:
    """A product-limit curve as steps: `survival[i]` holds from `times[i]` up to the next time.

    Attributes:
        times: (points,) ascending, 0 first; events and censorings both have a point.
        survival: (points,) share still alive, in [0, 1]; NaN for nobody.
        low, high: (points,) pointwise interval by Greenwood's variance of log(-log S); equal to S where that
            is 0 or 1.
        median: first time at which survival is one half or less; NaN where it never is.
    """

    times: NDArray[np.float64]
    survival: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    median: float


def kaplan_meier(
    time: NDArray[np.floating],
    event: NDArray[np.bool_],
    level: float = 0.95,
    entry: NDArray[np.floating] | None = None,
) -> KaplanMeier:
    """Product-limit estimate of survival with a pointwise interval.

    Source: Kaplan & Meier, "Nonparametric estimation from incomplete observations", JASA 1958.

    Args:
        time: (n,) >= 0.
        event: (n,) bool, True = event observed.
        level: coverage of the interval, in (0, 1).
        entry: (n,) when each came under observation, before the time; None where all did at the beginning.

    Raises:
        ValueError: shapes that disagree, event not bool, a time that is negative or not finite, an entry not
            before its time, or level outside (0, 1).
    """
    times = follow_up_times(time)
    events = sized_bool_vector(event, len(times), "event")
    check_level(level)
    if not len(times):
        return KaplanMeier(np.zeros(1), *(np.full(1, _NAN) for _ in range(3)), median=_NAN)
    found = product_limit(times, events, entry=entry)
    low, high = (np.where(np.isnan(end), found.curve, end) for end in found.interval(level))
    start = np.zeros(int(found.times[0] > 0))
    below = np.flatnonzero(found.curve <= 0.5 + _ROUNDING)
    return KaplanMeier(
        np.append(start, found.times),
        *(np.append(start + 1.0, values) for values in (found.curve, low, high)),
        median=float(found.times[below[0]]) if len(below) else _NAN,
    )


def numbers_at_risk(
    time: NDArray[np.floating], at: ArrayLike, entry: NDArray[np.floating] | None = None
) -> NDArray[np.int64]:
    """(q,) patients followed just before each of the (q,) times `at`: those with time >= at.

    With `entry` (n,) those alone who had come under observation before; entry at 0 is the beginning.

    Raises:
        ValueError: a time that is negative or not finite, or an entry not before its time.
    """
    times, asked = follow_up_times(time), np.asarray(at, dtype=np.float64)
    late = None if entry is None else entry_times(entry, times)
    if late is not None:
        late = np.where(late <= 0, -np.inf, late)
    return at_risk_at(times, asked, late).astype(np.int64)

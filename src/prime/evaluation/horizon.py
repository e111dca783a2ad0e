"""Outcome at a fixed horizon as a label, a pure function of arrays."""

import numpy as np
from numpy.typing import NDArray

from prime.evaluation.argument_checks import survival_arrays


def horizon_label(
    time_days: NDArray[np.floating], event: NDArray[np.bool_], horizon_days: float
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Who has had the event by the horizon, and of whom that is known.

    An event at or before the horizon is a positive; whoever is followed for longer than the horizon is a
    negative, whatever comes later; a censoring at or before the horizon leaves it unknown. With 1,095 days
    these are the usual three-year labels.

    Args:
        time_days: (n,) days.
        event: (n,) bool, True = event observed.
        horizon_days: days.

    Returns:
        label (n,) bool, True = positive, False also where unknown; known (n,) bool, a mask for the metrics.

    Raises:
        ValueError: shapes that disagree, event not bool, or a time or horizon that is not finite.
    """
    times, events = survival_arrays(time_days, event)
    if not np.isfinite(horizon_days):
        raise ValueError(f"horizon_days must be finite, found {horizon_days}")
    within = times <= horizon_days
    return events & within, events | ~within

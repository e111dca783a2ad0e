"""Follow-up from a landmark on, of those who are still followed at a fixed time: pure functions of arrays."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from prime.arrays import Flags, Floats
from prime.evaluation.argument_checks import entry_times, finite_vector


@dataclass(frozen=True)
class Landmark:
    """Follow-up counted from a landmark.

    Attributes:
        kept: (n,) bool, who is followed beyond the landmark.
        time: (n,) from the landmark on; NaN where not kept.
        entry: (n,) delayed entry counted from the landmark, 0 for those under observation by then; NaN where
            not kept. None where no entry was given.
    """

    kept: Flags
    time: Floats
    entry: Floats | None


def landmark(time: NDArray[np.floating], at: float, entry: NDArray[np.floating] | None = None) -> Landmark:
    """Follow-up (n,) counted anew from the landmark `at`, in the unit of time, for those who outlast it.

    An event or a censoring at the landmark or before leaves a patient out. Conditioning on what was known at
    the landmark, and on nothing later, is what keeps patients from being credited with the time that they
    had to live to be known. Source: Anderson, Cain and Gelber, J. Clin. Oncol. 1983.

    Raises:
        ValueError: values that are not finite, a landmark below 0, or an entry not before its time.
    """
    times = finite_vector(time, None, "time")
    if not (np.isfinite(at) and at >= 0):
        raise ValueError(f"the landmark must be a time from 0, found {at}")
    kept = times > at
    late = None
    if entry is not None:
        late = np.where(kept, np.maximum(entry_times(entry, times) - at, 0.0), np.nan)
    return Landmark(kept, np.where(kept, times - at, np.nan), late)

"""Competing events: cumulative incidence and cause-specific hazards. Pure functions of arrays.

A patient's cause is 0 for a censoring, else the number of the event that came first, 1 to C. One minus
Kaplan-Meier with other events taken for censorings overstates the risk of each cause; the Aalen-Johansen
estimate does not.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from prime.arrays import Floats
from prime.evaluation.argument_checks import cause_vector, entry_times, finite_vector
from prime.evaluation.product_limit import at_risk_at, died_out


@dataclass(frozen=True)
class CumulativeIncidence:
    """The Aalen-Johansen estimate as right-continuous steps, 0 before the first time.

    Attributes:
        times: (k,) the distinct times of the sample, increasing.
        incidence: (C, k) probability that the event of each cause came by then.
        survival: (k,) probability that none came; the columns of both sum to 1.
        hazard: (C, k) cumulative cause-specific hazard (Nelson-Aalen).
    """

    times: Floats
    incidence: Floats
    survival: Floats
    hazard: Floats

    def at(self, times: NDArray[np.floating]) -> Floats:
        """(C, q) incidence at any times (q,); NaN beyond the last time while somebody is free of events.

        With delayed entry NaN also from where an early risk set died out, though others were followed later.
        """
        asked = np.asarray(times, dtype=np.float64)
        if not len(self.times):
            return np.full((len(self.incidence), *asked.shape), np.nan)
        steps = np.concatenate([np.zeros((len(self.incidence), 1)), self.incidence], axis=1)
        found = steps[:, np.searchsorted(self.times, asked, side="right")]
        beyond = (asked > self.times[-1]) & (self.survival[-1] > 0)
        return np.where(beyond | (asked >= died_out(self.times, self.survival)), np.nan, found)


def aalen_johansen(
    time: NDArray[np.floating],
    cause: NDArray[np.integer],
    causes: int | None = None,
    entry: NDArray[np.floating] | None = None,
) -> CumulativeIncidence:
    """Cumulative incidence of each cause, with censoring and, where given, delayed entry.

    At each time t the incidence of cause c grows by S(t-) d_c / Y: d_c events of the cause, Y patients at
    risk, S the product-limit of all causes together. Events come before censorings at a tied time. Source:
    Aalen and Johansen, "An empirical transition matrix for nonhomogeneous Markov chains based on censored
    observations", Scand. J. Stat. 1978.

    Args:
        time: (n,) in any one unit.
        cause: (n,) whole numbers, 0 = censored.
        causes: C; None takes the highest number that occurs.
        entry: (n,) when each came under observation, before the time.

    Raises:
        ValueError: shapes that disagree, a time that is not finite, causes that are no whole numbers from
            0 to C, or an entry that is not before its time.
    """
    times = finite_vector(time, None, "time")
    events = cause_vector(cause, len(times))
    highest = int(events.max(initial=0))
    count = highest if causes is None else causes
    if highest > count:
        raise ValueError(f"cause {highest} occurs, but there are {count} causes")
    late = None if entry is None else entry_times(entry, times)
    distinct, group = np.unique(times, return_inverse=True)
    at_risk = at_risk_at(times, distinct, late)
    died = np.zeros((count, len(distinct)))
    np.add.at(died, (events[events > 0] - 1, group[events > 0]), 1.0)
    share = np.divide(died, at_risk, out=np.zeros_like(died), where=died > 0)
    survival: Floats = np.cumprod(1.0 - share.sum(axis=0), dtype=np.float64)
    before = np.concatenate([[1.0], survival[:-1]])[: len(distinct)]
    return CumulativeIncidence(
        distinct, np.cumsum(before * share, axis=1), survival, np.cumsum(share, axis=1)
    )

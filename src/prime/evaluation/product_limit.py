"""The product-limit (Kaplan-Meier) estimate as metrics need it: a curve to be evaluated at any time.

It stands for the events or for the censorings, and gives the weights of censored patients. The curve with an
interval that figures show is `kaplan_meier.kaplan_meier`.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from prime.arrays import Floats
from prime.evaluation.argument_checks import check_level, entry_times, survival_arrays

_ROUNDING = 1e-12  # by which a curve that has fallen to zero may lie above it


@dataclass(frozen=True)
class ProductLimit:
    """A Kaplan-Meier curve: right-continuous, 1 before the first time.

    Attributes:
        times: (k,) the distinct times of the sample, increasing.
        curve: (k,) the probability to be free of the event beyond each of them.
        variance: (k,) Greenwood's sum, the variance of log(curve); infinite where the curve is zero.
    """

    times: Floats
    curve: Floats
    variance: Floats

    def at(self, times: NDArray[np.floating]) -> Floats:
        """The curve at any times, same shape; NaN beyond the last time unless it has reached zero there.

        With delayed entry NaN also from where an early risk set died out, though others were followed later.
        """
        asked = np.asarray(times, dtype=np.float64)
        if not len(self.times):
            return np.full(asked.shape, np.nan)
        steps = np.concatenate([[1.0], self.curve])
        found = steps[np.searchsorted(self.times, asked, side="right")]
        beyond = (asked > self.times[-1]) & (self.curve[-1] > 0)
        return np.where(beyond | (asked >= died_out(self.times, self.curve)), np.nan, found)

    def interval(self, level: float = 0.95) -> tuple[Floats, Floats]:
        """Low and high end (k,) of a pointwise interval by Greenwood's variance of log(-log(curve)).

        NaN where the curve is zero or one. Source: Kalbfleisch and Prentice, "The Statistical Analysis of
        Failure Time Data", 1980.

        Raises:
            ValueError: level outside (0, 1).
        """
        check_level(level)
        inside = (self.curve > 0) & (self.curve < 1)
        curve = np.where(inside, self.curve, np.nan)
        reach = ndtri((1.0 + level) / 2.0) * np.sqrt(self.variance) / np.log(curve)  # negative
        return curve ** np.exp(-reach), curve ** np.exp(reach)


def at_risk_at(times: NDArray[np.floating], at: Floats, entry: Floats | None = None) -> Floats:
    """(q,) patients at risk at each of the times `at` (q,): those with entry < at <= time.

    times (n,); entry (n,) when each came under observation, None where all did at the beginning.
    """
    here = len(times) - np.searchsorted(np.sort(times), at, side="left").astype(np.float64)
    if entry is not None:
        here -= len(times) - np.searchsorted(np.sort(entry), at, side="left")
    return here


def died_out(times: Floats, curve: Floats) -> float:
    """The time from which a curve (k,) is zero although later times (k,) follow, else infinity.

    It comes with delayed entry alone: all who were at risk died before others entered, and from then on the
    curve says nothing of those.
    """
    gone = np.flatnonzero(curve[:-1] <= _ROUNDING)
    return float(times[gone[0]]) if len(gone) else np.inf


def population_size(
    time: NDArray[np.floating], event: NDArray[np.bool_], entry: NDArray[np.floating]
) -> float:
    """How many patients there were for the n who were seen: those who died before their entry were not.

    A patient is seen with the probability to outlive the entry, so counts one over it: the sum of
    1 / S(entry) with the product-limit S of these patients. It is n where nobody entered late, and NaN where
    S died out before an entry. Entry must not depend on survival. Source: Wang, "Nonparametric estimation
    from cross-sectional survival data", JASA 1991.

    Args:
        time, event, entry: (n,) as for `product_limit`.
    """
    return float((1.0 / product_limit(time, event, entry=entry).at(entry)).sum())


def product_limit(
    time: NDArray[np.floating],
    event: NDArray[np.bool_],
    censoring: bool = False,
    entry: NDArray[np.floating] | None = None,
) -> ProductLimit:
    """The Kaplan-Meier curve of (n,) times and (n,) bool events; of the censoring times if `censoring`.

    Events come before censorings at a tied time. With `entry` (n,), patients came under observation late
    (left truncation): each is at risk in (entry, time]; a risk set of few early patients can then bring the
    whole curve to zero. Sources: Kaplan and Meier, JASA 1958; Tsai, Jewell and Wang, Biometrika 1987, for
    delayed entry.

    Raises:
        ValueError: shapes that disagree, event not bool, values that are not finite, or an entry that is not
            before the patient's time.
    """
    times, events = survival_arrays(time, event)
    late = None if entry is None else entry_times(entry, times)
    distinct, group = np.unique(times, return_inverse=True)
    total = np.bincount(group, minlength=len(distinct)).astype(np.float64)
    died = np.bincount(group, weights=events, minlength=len(distinct))
    at_risk = at_risk_at(times, distinct, late)
    if censoring:
        at_risk, died = at_risk - died, total - died
    share = np.divide(died, at_risk, out=np.zeros_like(total), where=died > 0)
    with np.errstate(divide="ignore"):
        terms = np.divide(share, at_risk - died, out=np.zeros_like(total), where=died > 0)
    curve = np.cumprod(1.0 - share, dtype=np.float64)
    return ProductLimit(distinct, curve, np.cumsum(terms, dtype=np.float64))

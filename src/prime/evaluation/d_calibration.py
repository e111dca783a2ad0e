"""Is the predicted survival at the patients' own times uniform: D-calibration, a pure function of arrays."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import chdtrc

from prime.arrays import Floats
from prime.evaluation.argument_checks import finite_vector, probability_vector, survival_arrays


@dataclass(frozen=True)
class DCalibration:
    """A chi-square test that the predicted survival at each patient's own time is uniform.

    Attributes:
        statistic: Pearson's, on bins - 1 degrees of freedom.
        p_value: small where the prediction is not calibrated.
        n: patients: the sum of the weights.
        observed: (bins,) expected patients in each bin of predicted survival; they sum to n.
        reason: why the statistic is NaN; None where it is defined.
    """

    statistic: float
    p_value: float
    n: int
    observed: Floats
    reason: str | None = None


def d_calibration(
    time: NDArray[np.floating],
    event: NDArray[np.bool_],
    survival_at_own_time: NDArray[np.floating],
    bins: int = 10,
    weight: NDArray[np.floating] | None = None,
) -> DCalibration:
    """Is the predicted survival at the own time uniform over [0, 1], as it is for the true model?

    A patient with an event counts in the bin of the predicted S(time). Of one censored at S(time) = c the
    event would come at some S uniform on [0, c): bins below c take their width / c, the bin holding c the
    rest. Bins are [k / bins, (k + 1) / bins), the last one closed. The test is conservative under heavy
    censoring, and rough with fewer than about five patients a bin. Source: Haider et al., "Effective ways
    to build and evaluate individual survival distributions", JMLR 2020.

    Args:
        time: (n,), checked only; it fixes what survival_at_own_time means.
        event: (n,) bool, True = event observed.
        survival_at_own_time: (n,), within [0, 1]; see `step_curves.own_time_survival`.
        bins: at least 2.
        weight: (n,) not negative, how much of a patient a row is, where several predictions of one patient
            stand in rows of their own; None: each row is a patient.

    Raises:
        ValueError: shapes that disagree, event not bool, a survival outside [0, 1], a negative weight, or
            bins < 2.
    """
    times, events = survival_arrays(time, event)
    own = probability_vector(survival_at_own_time, len(times), "survival_at_own_time")
    weights = np.ones(len(times)) if weight is None else finite_vector(weight, len(times), "weight")
    if bins < 2 or (weights < 0).any():
        raise ValueError(f"bins must be at least 2 and weights not negative, found {bins} bins")
    n, edges = float(weights.sum()), np.arange(bins + 1) / bins
    holding = np.clip(np.searchsorted(edges, own, side="right") - 1, 0, bins - 1)
    observed: Floats = np.bincount(holding[events], weights[events], minlength=bins).astype(np.float64)
    for k in range(bins):
        rows = ~events & (holding == k)
        ends, share = own[rows], weights[rows]
        within = np.divide(ends - edges[k], ends, out=np.ones(len(ends)), where=ends > 0)
        observed[k] += share @ within
        if k:
            observed[:k] += (share / bins / ends).sum()
    if not n:
        return DCalibration(float("nan"), float("nan"), 0, observed, "nobody")
    expected = n / bins
    statistic = float(((observed - expected) ** 2).sum() / expected)
    return DCalibration(statistic, float(chdtrc(bins - 1, statistic)), round(n), observed)

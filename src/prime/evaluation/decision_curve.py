"""Decision curves: what it is worth to act on a prediction. Pure functions of arrays.

Whoever is indifferent between acting and not at a risk of p weighs a needless action as p / (1 - p) of a
timely one. Net benefit counts the timely actions less the weighted needless ones, per patient; a model is of
use at p where it is above acting on everybody and on nobody. Where a value is undefined it is NaN.

Sources: Vickers and Elkin, "Decision curve analysis", Med. Decis. Making 2006; Vickers et al., BMC Med.
Inform. Decis. Mak. 2008, for censoring and competing risks; Baker et al., J. R. Stat. Soc. A 2009, for the
test tradeoff.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from prime.arrays import Flags, Floats
from prime.evaluation.argument_checks import (
    bool_vector,
    entry_times,
    finite_vector,
    probability_vector,
    survival_arrays,
)
from prime.evaluation.competing_risks import aalen_johansen
from prime.evaluation.product_limit import population_size, product_limit

ROUNDING = 1e-12  # of shares of patients


@dataclass(frozen=True)
class DecisionCurve:
    """Net benefit by threshold, each array (q,). `flagged` are those whose prediction reaches the threshold.

    Attributes:
        threshold: probabilities at which one acts.
        flagged: share of patients flagged.
        true_positive, false_positive: share of patients flagged rightly and needlessly.
        net_benefit: of acting on those flagged.
        treat_all: of acting on everybody; acting on nobody is 0.
    """

    threshold: Floats
    flagged: Floats
    true_positive: Floats
    false_positive: Floats
    net_benefit: Floats
    treat_all: Floats

    @property
    def gain(self) -> Floats:
        """Net benefit less that of the better of acting on everybody and on nobody."""
        return self.net_benefit - np.maximum(self.treat_all, 0.0)

    @property
    def avoided(self) -> Floats:
        """Net actions spared per patient, none of them timely, against acting on everybody; NaN at 0."""
        odds = self.threshold / (1.0 - self.threshold)
        out = np.full(len(odds), np.nan)
        return np.divide(self.net_benefit - self.treat_all, odds, out=out, where=odds > 0)

    @property
    def number_flagged(self) -> Floats:
        """Patients flagged for one who has the event; NaN where none has."""
        return _inverse(self.true_positive) * self.flagged

    @property
    def number_tested(self) -> Floats:
        """Patients to be predicted for a net gain of one timely action (test tradeoff); NaN without one."""
        return _inverse(self.gain)


def decision_curve(
    label: NDArray[np.bool_], probability: NDArray[np.floating], thresholds: NDArray[np.floating]
) -> DecisionCurve:
    """Decision curve of a binary prediction.

    Args:
        label: (n,) bool, True = positive.
        probability: (n,), predicted chance of a positive, within [0, 1].
        thresholds: (q,), in [0, 1).

    Raises:
        ValueError: shapes that disagree, a label that is not bool, a probability or threshold out of range.
    """
    labels = bool_vector(label, "label")
    chances = probability_vector(probability, len(labels), "probability")
    return _curve(chances, thresholds, lambda rows: float(labels[rows].mean()), _count)


def survival_decision_curve(
    time: NDArray[np.floating],
    event: NDArray[np.bool_],
    probability: NDArray[np.floating],
    horizon: float,
    thresholds: NDArray[np.floating],
    entry: NDArray[np.floating] | None = None,
) -> DecisionCurve:
    """Decision curve of a predicted risk by a horizon, with the events among the flagged by Kaplan-Meier.

    Undefined at a threshold whose flagged patients are not followed up to the horizon. With delayed entry the
    shares are those of all patients, whom those who died before their entry belong to: the flagged are more
    of them than of the patients who were seen (`product_limit.population_size`).

    Args:
        time: (n,) in any one unit. event: (n,) bool, True = event observed.
        probability: (n,), predicted risk of an event by the horizon, within [0, 1].
        horizon: in the unit of time.
        thresholds: (q,), in [0, 1).
        entry: (n,) delayed entry, before the time; None where all were under observation from the beginning.

    Raises:
        ValueError: as `decision_curve`; a time that is not finite.
    """
    times, events = survival_arrays(time, event)
    chances = probability_vector(probability, len(times), "probability")
    late, at = None if entry is None else entry_times(entry, times), np.array([horizon])

    def risk(rows: Flags) -> float:
        own = None if late is None else late[rows]
        return 1.0 - float(product_limit(times[rows], events[rows], entry=own).at(at)[0])

    return _curve(chances, thresholds, risk, _size(times, events, late))


def competing_decision_curve(
    time: NDArray[np.floating],
    cause: NDArray[np.integer],
    probability: NDArray[np.floating],
    horizon: float,
    thresholds: NDArray[np.floating],
    of: int = 1,
    entry: NDArray[np.floating] | None = None,
) -> DecisionCurve:
    """The same where other events compete: events of cause `of` among the flagged by Aalen-Johansen.

    cause (n,): 0 = censored, else the number of the event. The other arguments and errors are those of
    `survival_decision_curve`.
    """
    times = finite_vector(time, None, "time")
    chances = probability_vector(probability, len(times), "probability")
    causes, at = max(of, int(np.max(cause, initial=0))), np.array([horizon])
    late = None if entry is None else entry_times(entry, times)

    def risk(rows: Flags) -> float:
        own = None if late is None else late[rows]
        return float(aalen_johansen(times[rows], cause[rows], causes, own).at(at)[of - 1, 0])

    return _curve(chances, thresholds, risk, _size(times, cause > 0, late))


def _count(rows: Flags) -> float:
    return float(rows.sum())


def _size(times: Floats, events: Flags, entry: Floats | None) -> Callable[[Flags], float]:
    """How many patients some stand for."""
    if entry is None:
        return _count
    return lambda rows: population_size(times[rows], events[rows], entry[rows])


def _curve(
    chances: Floats,
    thresholds: NDArray[np.floating],
    risk: Callable[[Flags], float],
    size: Callable[[Flags], float],
) -> DecisionCurve:
    """`risk` gives the share of patients with the event among some, at least one; `size` their number."""
    limits = finite_vector(thresholds, None, "thresholds")
    if ((limits < 0) | (limits >= 1)).any():
        raise ValueError("thresholds must be in [0, 1)")
    shares = np.full((3, len(limits)), np.nan)
    overall = risk(np.ones(len(chances), dtype=np.bool_)) if len(chances) else float("nan")
    known = {len(chances): (1.0, overall), 0: (0.0, 0.0)}  # who is flagged follows from how many
    for k, limit in enumerate(limits if len(chances) else ()):
        rows = chances >= limit
        count = int(rows.sum())
        if count not in known:
            flagged = size(rows)
            known[count] = flagged / (flagged + size(~rows)), risk(rows)
        share, among = known[count]
        shares[:, k] = share, among * share, (1.0 - among) * share
    odds = limits / (1.0 - limits)
    flagged, true_positive, false_positive = shares
    benefit = true_positive - odds * false_positive
    return DecisionCurve(
        limits, flagged, true_positive, false_positive, benefit, overall - odds * (1.0 - overall)
    )


def _inverse(values: Floats) -> Floats:
    """One over each value; NaN where it is no more than rounding above 0."""
    return np.divide(1.0, values, out=np.full(len(values), np.nan), where=values > ROUNDING)

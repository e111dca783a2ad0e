"""Harrell's concordance, the area under the ROC curve, and bootstrap intervals: pure functions of arrays.

Higher risk means a worse outcome. A value is reported as it is, below one half too; where a metric is
undefined its value is NaN and the reason is given.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from prime.evaluation.argument_checks import finite_vector

_CHUNK = 1 << 22  # pairs compared at once; bounds the memory for large cohorts


@dataclass(frozen=True)
class Score:
    """A metric with what it rests on.

    Attributes:
        value: the metric, NaN where undefined.
        n: patients used.
        events: events (or positives) among them.
        reason: why the value is NaN; None where it is defined.
        pairs: comparable pairs that the value is a share of; None for a metric that is no such share.
    """

    value: float
    n: int
    events: int
    reason: str | None = None
    pairs: int | None = None


@dataclass(frozen=True)
class Interval:
    """A percentile bootstrap interval.

    Attributes:
        low, high: its ends; NaN where no replicate was defined.
        used: replicates that the ends rest on.
        undefined: replicates left out because the metric was undefined on them.
    """

    low: float
    high: float
    used: int
    undefined: int


@dataclass(frozen=True)
class _Pairs:
    comparable: int
    concordant: int
    tied: int


def concordance(
    time: NDArray[np.floating],
    event: NDArray[np.bool_],
    risk: NDArray[np.floating],
    mask: NDArray[np.bool_] | None = None,
    entry: NDArray[np.floating] | None = None,
) -> Score:
    """Harrell's C: the share of comparable pairs in which the patient who fares worse has the higher risk.

    A pair is comparable when the shorter time is an event; an event is also comparable with a censoring at
    the same time, two events at the same time are not. Equal risks count one half. Source: Harrell et al.,
    "Evaluating the yield of medical tests", JAMA 1982.

    Args:
        time: (n,) in any one unit.
        event: (n,) bool, True = event observed.
        risk: (n,), higher = worse.
        mask: (n,) bool, the rows to use; what stands in the others has no effect.
        entry: (n,) delayed entry: an event is comparable with who had entered before it.

    Returns:
        The score with its comparable pairs; NaN with a reason for fewer than two patients, no events or no
        comparable pair.

    Raises:
        ValueError: shapes that disagree, event not bool, or a used time or risk that is not finite.
    """
    times, events, risks = _survival_rows(time, event, risk, mask)
    late = _entry_rows(entry, mask, np.shape(time))
    return _ratio(_count_pairs(times, events, risks, late), len(times), int(events.sum()))


def concordance_within(
    time: NDArray[np.floating],
    event: NDArray[np.bool_],
    risk: NDArray[np.floating],
    strata: NDArray[np.generic],
    mask: NDArray[np.bool_] | None = None,
    entry: NDArray[np.floating] | None = None,
) -> Score:
    """Harrell's C over the pairs whose two patients are in the same stratum.

    For predictions pooled over folds: each fold's model has its own scale, so only pairs within a fold say
    anything. `strata` is (n,) of any type that compares equal; the rest is as in `concordance`.
    """
    labels = np.asarray(strata)
    times, events, risks = _survival_rows(time, event, risk, mask)
    if labels.shape != np.shape(time):
        raise ValueError(f"strata {labels.shape} must be as long as time {np.shape(time)}")
    labels = labels if mask is None else labels[np.asarray(mask)]
    late = _entry_rows(entry, mask, np.shape(time))
    parts = [
        _count_pairs(times[rows], events[rows], risks[rows], None if late is None else late[rows])
        for rows in (labels == label for label in np.unique(labels))
    ]
    total = _Pairs(
        sum(part.comparable for part in parts),
        sum(part.concordant for part in parts),
        sum(part.tied for part in parts),
    )
    return _ratio(total, len(times), int(events.sum()))


def auroc(
    label: NDArray[np.bool_], score: NDArray[np.floating], mask: NDArray[np.bool_] | None = None
) -> Score:
    """Area under the ROC curve: the chance that a positive scores above a negative, ties one half.

    Args:
        label: (n,) bool, True = positive.
        score: (n,), higher = more likely positive.
        mask: (n,) bool, the rows to use; what stands in the others has no effect.

    Returns:
        The score, `events` counting the positives; NaN with a reason where one class is absent.

    Raises:
        ValueError: shapes that disagree, a label that is not bool, or a used score that is not finite.
    """
    labels = _bool_vector(label, "label")
    rows = _rows(mask, labels.shape)
    scores = _finite_rows(score, rows, "score")
    labels = labels[rows]
    positives = int(labels.sum())
    negatives = len(labels) - positives
    if not positives or not negatives:
        absent = "nobody" if not len(labels) else "no positive" if not positives else "no negative"
        return Score(float("nan"), len(labels), positives, absent, 0)
    below = np.sort(scores[~labels])
    left = np.searchsorted(below, scores[labels], side="left")
    right = np.searchsorted(below, scores[labels], side="right")
    pairs = positives * negatives
    return Score(float((left + right).sum()) / (2.0 * pairs), len(labels), positives, None, pairs)


def bootstrap_interval(
    metric: Callable[..., Score],
    *arrays: NDArray[np.generic],
    replicates: int = 1000,
    seed: int = 0,
    level: float = 0.95,
) -> Interval:
    """Percentile interval of a metric over patients drawn with replacement.

    Args:
        metric: called with the resampled arrays in the order given.
        arrays: each (n, ...), one row a patient; all are resampled together.
        replicates: draws, at least 1.
        seed: of the draws; the same seed gives the same interval.
        level: coverage wanted, in (0, 1).

    Returns:
        The interval; replicates without a value are left out and counted.

    Raises:
        ValueError: no array, lengths that disagree, replicates < 1, or level outside (0, 1).
    """
    if not arrays or len({len(array) for array in arrays}) != 1:
        raise ValueError("give at least one array, and all of one length")
    if replicates < 1 or not 0.0 < level < 1.0:
        raise ValueError(f"replicates must be positive and level in (0, 1), found {replicates} and {level}")
    n = len(arrays[0])
    if n == 0:
        return Interval(float("nan"), float("nan"), 0, replicates)
    generator = np.random.default_rng(seed)
    values = np.empty(replicates)
    for index in range(replicates):
        rows = generator.integers(0, n, n)
        values[index] = metric(*(array[rows] for array in arrays)).value
    defined = values[~np.isnan(values)]
    if not defined.size:
        return Interval(float("nan"), float("nan"), 0, replicates)
    low, high = np.quantile(defined, [(1.0 - level) / 2.0, (1.0 + level) / 2.0])
    return Interval(float(low), float(high), int(defined.size), int(replicates - defined.size))


def _ratio(pairs: _Pairs, n: int, events: int) -> Score:
    if pairs.comparable:
        value = (pairs.concordant + 0.5 * pairs.tied) / pairs.comparable
        return Score(value, n, events, None, pairs.comparable)
    reason = "fewer than two patients" if n < 2 else "no events" if not events else "no comparable pair"
    return Score(float("nan"), n, events, reason, 0)


def _count_pairs(
    time: NDArray[np.float64],
    event: NDArray[np.bool_],
    risk: NDArray[np.float64],
    entry: NDArray[np.float64] | None = None,
) -> _Pairs:
    """Comparable, concordant and tied pairs, comparing each event with everybody at risk."""
    n = len(time)
    comparable = concordant = tied = 0
    cases = np.flatnonzero(event)
    step = max(1, _CHUNK // max(n, 1))
    for start in range(0, len(cases), step):
        rows = cases[start : start + step, None]
        pairs = (time[rows] < time) | ((time[rows] == time) & ~event)
        if entry is not None:
            pairs &= entry < time[rows]
        comparable += int(pairs.sum())
        concordant += int((pairs & (risk[rows] > risk)).sum())
        tied += int((pairs & (risk[rows] == risk)).sum())
    return _Pairs(comparable, concordant, tied)


def _survival_rows(
    time: NDArray[np.floating],
    event: NDArray[np.bool_],
    risk: NDArray[np.floating],
    mask: NDArray[np.bool_] | None,
) -> tuple[NDArray[np.float64], NDArray[np.bool_], NDArray[np.float64]]:
    events = _bool_vector(event, "event")
    rows = _rows(mask, events.shape)
    return _finite_rows(time, rows, "time"), events[rows], _finite_rows(risk, rows, "risk")


def _entry_rows(
    entry: NDArray[np.floating] | None, mask: NDArray[np.bool_] | None, shape: tuple[int, ...]
) -> NDArray[np.float64] | None:
    return None if entry is None else _finite_rows(entry, _rows(mask, shape), "entry")


def _bool_vector(values: NDArray[np.bool_], name: str) -> NDArray[np.bool_]:
    array = np.asarray(values)
    if array.dtype != np.bool_:
        raise ValueError(
            f"{name} must be bool, found {array.dtype}: state the polarity where the file is read"
        )
    if array.ndim != 1:
        raise ValueError(f"{name} must be one vector, found shape {array.shape}")
    return array


def _rows(mask: NDArray[np.bool_] | None, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    if mask is None:
        return np.ones(shape, dtype=np.bool_)
    rows = _bool_vector(mask, "mask")
    if rows.shape != shape:
        raise ValueError(f"mask {rows.shape} must be as long as the other arrays {shape}")
    return rows


def _finite_rows(values: NDArray[np.floating], rows: NDArray[np.bool_], name: str) -> NDArray[np.float64]:
    array = np.asarray(values, dtype=np.float64)
    if array.shape != rows.shape:
        raise ValueError(f"{name} {array.shape} must be as long as the other arrays {rows.shape}")
    return finite_vector(array[rows], None, name)

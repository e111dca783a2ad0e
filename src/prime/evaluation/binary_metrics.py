"""Outcome at a fixed horizon as a label, and average precision: pure functions of arrays."""

import numpy as np
from numpy.typing import NDArray

from prime.evaluation.argument_checks import bool_vector, finite_vector, survival_arrays
from prime.evaluation.metrics import Score


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


def average_precision(
    label: NDArray[np.bool_], score: NDArray[np.floating], mask: NDArray[np.bool_] | None = None
) -> Score:
    """Average precision: the precision at each distinct score, weighted by the recall gained there.

    Undefined where one class is absent, as `metrics.auroc` is. scikit-learn gives 0 without a positive and
    1 without a negative, whatever the scores.

    Args:
        label: (n,) bool, True = positive.
        score: (n,), higher = more likely positive.
        mask: (n,) bool, the rows to use; what stands in the others has no effect.

    Returns:
        The score, `events` counting the positives; NaN with a reason where one class is absent.

    Raises:
        ValueError: shapes that disagree, a label that is not bool, or a used score that is not finite.
    """
    labels, scores = _used(label, score, mask)
    n, positives = len(labels), int(labels.sum())
    if not 0 < positives < n:
        absent = "nobody" if not n else "no positive" if not positives else "no negative"
        return Score(float("nan"), n, positives, absent)
    order = np.argsort(-scores, kind="stable")
    last = np.append(np.diff(scores[order]) != 0, True)  # the last patient of each distinct score
    true = np.cumsum(labels[order])[last]
    precision = true / (np.flatnonzero(last) + 1)
    gained = np.diff(true, prepend=0) / positives
    return Score(float(precision @ gained), n, positives)


def _used(
    label: NDArray[np.bool_], score: NDArray[np.floating], mask: NDArray[np.bool_] | None
) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    labels = bool_vector(label, "label")
    scores = np.asarray(score, dtype=np.float64)
    if scores.shape != labels.shape:
        raise ValueError(f"score {scores.shape} must be as long as label {labels.shape}")
    if mask is None:
        return labels, finite_vector(scores, len(labels), "score")
    rows = bool_vector(mask, "mask")
    if rows.shape != labels.shape:
        raise ValueError(f"mask {rows.shape} must be as long as label {labels.shape}")
    return labels[rows], finite_vector(scores[rows], int(rows.sum()), "score")

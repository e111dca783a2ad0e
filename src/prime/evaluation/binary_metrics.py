"""Average precision, a pure function of arrays."""

import numpy as np
from numpy.typing import NDArray

from prime.evaluation.argument_checks import bool_vector, finite_vector
from prime.evaluation.metrics import Score


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

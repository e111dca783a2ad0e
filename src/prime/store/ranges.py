"""The range of a source's features among the training patients, and values far outside it."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from prime.arrays import Indices
from prime.store.rows import gather_rows, patient_chunks
from prime.store.store import Store

MARGIN = 1.0  # times the range's own width, beyond either end, is far outside
SHARE = 0.05  # of a patient's numbers in a source; more are no longer single oddities


@dataclass(frozen=True)
class Range:
    """The lowest and highest value of each feature, (d,) float32 each; NaN where there was no number."""

    low: NDArray[np.float32]
    high: NDArray[np.float32]


@dataclass(frozen=True)
class Outside:
    """The numbers of a patient in a source that are far outside: how many of how many, and the farthest."""

    count: int
    total: int
    feature: int
    value: float


def training_range(store: Store, source: str, patients: Indices) -> Range:
    """The range of a source among these patients (positions in the store)."""
    index, values = store.index(source), store.values(source)
    low = np.full(values.shape[1], np.inf, dtype=np.float32)
    high = -low
    for part in patient_chunks(index, patients, values.shape[1]):
        rows = np.asarray(values[gather_rows(index, patients[part])], dtype=np.float32)
        if len(rows):
            low = np.fmin(low, np.fmin.reduce(rows, axis=0))
            high = np.fmax(high, np.fmax.reduce(rows, axis=0))
    nothing = ~np.isfinite(low)
    return Range(np.where(nothing, np.nan, low), np.where(nothing, np.nan, high))


def far_outside(rows: NDArray[np.generic], known: Range) -> Outside | None:
    """Whether a patient's rows (n, d) of a source are far outside of what the model was fitted on.

    They are where more than SHARE of their numbers lie beyond the range by more than MARGIN of its width. A
    feature that had one value only in training says nothing.
    """
    x = np.asarray(rows, dtype=np.float64)
    width = (known.high - known.low).astype(np.float64)
    with np.errstate(invalid="ignore", divide="ignore"):
        beyond = np.fmax(known.low - x, x - known.high) / width  # in widths of the range
    beyond = np.where(np.isnan(x) | ~(width > 0), -np.inf, beyond)
    total = int(np.isfinite(beyond).sum())
    count = int((beyond > MARGIN).sum())
    if not total or count <= SHARE * total:
        return None
    row, feature = np.unravel_index(int(beyond.argmax()), beyond.shape)
    return Outside(count, total, int(feature), float(x[row, feature]))

"""Where a source's features lie among the training patients, and values that are far from there."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from prime.arrays import Indices
from prime.store.rows import draw_rows, gather_rows, patient_chunks
from prime.store.scaling import MAX_ROWS, fit_scaling
from prime.store.store import Store

MARGIN = 1.0  # a number is outside from this many widths of the training range beyond it
SHARE = 0.2  # of a patient's numbers: from here on they are no single oddities
SINGLE, FEW = 5.0, 3  # fewer than FEW numbers count only where one is this many widths beyond
DISTANT = 4.0  # spreads from the centre of training, for half of a patient's numbers


SHIFT, SPREAD = 1.5, 2.2  # of a typical feature over many patients: spreads away, times as wide or narrow
MANY, WIDE = 20, 20  # patients from whom on they are judged together; features, for their spread


@dataclass(frozen=True)
class Range:
    """The training values of each feature, (d,) float32 each; NaN where there was no number.

    Attributes:
        low, high: the lowest and the highest value.
        centre, spread: median, and interquartile range / 1.349.
    """

    low: NDArray[np.float32]
    high: NDArray[np.float32]
    centre: NDArray[np.float32]
    spread: NDArray[np.float32]


@dataclass(frozen=True)
class Outside:
    """A patient's numbers in a source that are far from training: how many of how many, and the farthest."""

    count: int
    total: int
    feature: int
    value: float


def training_range(store: Store, source: str, patients: Indices) -> Range:
    """Where a source's features lie among these patients (positions in the store)."""
    index, values = store.index(source), store.values(source)
    low = np.full(values.shape[1], np.inf, dtype=np.float32)
    high = -low
    for part in patient_chunks(index, patients, values.shape[1]):
        rows = np.asarray(values[gather_rows(index, patients[part])], dtype=np.float32)
        if len(rows):
            low = np.fmin(low, np.fmin.reduce(rows, axis=0))
            high = np.fmax(high, np.fmax.reduce(rows, axis=0))
    typical = fit_scaling(values[draw_rows(index, patients, MAX_ROWS, seed=0)], 1.0)
    nothing = ~np.isfinite(low)
    nan = np.float32(np.nan)
    return Range(
        np.where(nothing, nan, low), np.where(nothing, nan, high),
        np.where(nothing, nan, typical.centre), typical.scale,
    )  # fmt: skip


def far_outside(rows: NDArray[np.generic], known: Range) -> Outside | None:
    """Whether a patient's rows (n, d) of a source are far from what the model was fitted on.

    They are where more than SHARE of the numbers lie beyond the training range by more than MARGIN of its
    width (fewer than FEW of them only where one is SINGLE widths beyond), or half of all numbers are more
    than DISTANT spreads from the training median. A feature with one value in training says nothing.
    """
    x = np.asarray(rows, dtype=np.float64)
    width = (known.high - known.low).astype(np.float64)
    told = ~np.isnan(x) & (width > 0)
    if not told.any():
        return None
    with np.errstate(invalid="ignore", divide="ignore"):
        beyond = np.where(told, np.fmax(known.low - x, x - known.high) / width, -np.inf)
        distance = np.where(told, np.abs(x - known.centre) / known.spread, -np.inf)
    total, count = int(told.sum()), int((beyond > MARGIN).sum())
    outside = count > SHARE * total and (count >= FEW or bool(beyond.max() > SINGLE))
    few_distant = 2 * int((distance > DISTANT).sum()) < total  # then so is their median, which takes longer
    if not outside and (few_distant or float(np.median(distance[told])) <= DISTANT):
        return None
    if not outside:
        count, beyond = int((distance > DISTANT).sum()), distance
    row, feature = np.unravel_index(int(beyond.argmax()), beyond.shape)
    return Outside(count, total, int(feature), float(x[row, feature]))


def other_scale(rows: NDArray[np.generic], known: Range) -> str | None:
    """Whether many patients' rows (n, d) together have another centre or spread than the training patients'.

    Over the features that vary in training: the median distance of the centres is above SHIFT spreads, or the
    median ratio of the spreads (of WIDE features or more) is above SPREAD or below its inverse. Returns
    which, in words.
    """
    here = fit_scaling(rows, 1.0)
    varies = known.high > known.low
    if not varies.any():
        return None
    shift = float(np.median((np.abs(here.centre - known.centre) / known.spread)[varies]))
    ratio = float(np.median((here.scale / known.spread)[varies]))
    if varies.sum() >= WIDE and not 1 / SPREAD < ratio < SPREAD:
        return f"spread {ratio:.2g} times as widely as in training"
    return f"{shift:.1f} spreads away from training" if shift > SHIFT else None

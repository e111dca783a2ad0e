"""Robust scaling of features, fitted on training patients only and saved with the model."""

from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

MAX_ROWS = 20_000
LEAST_PATIENTS = 20  # of a cancer type, for a scaling of its own


@dataclass(frozen=True)
class SourceScaling:
    """Centre and scale of one source's features.

    Attributes:
        centre: (d,) float32 medians.
        scale: (d,) float32, positive.
        clip: scaled values are clipped to [-clip, clip], because some features reach 1e7.
        own: the scalings of cancer types that have one of their own; the others take this one.
    """

    centre: NDArray[np.float32]
    scale: NDArray[np.float32]
    clip: float
    own: dict[str, "SourceScaling"] = field(default_factory=dict[str, "SourceScaling"])

    def rows(self, values: NDArray[np.generic], types: NDArray[np.str_]) -> NDArray[np.float32]:
        """Scaled float32 rows (R, d) of patients of these cancer types (R,)."""
        if not self.own:
            return self(values)
        scaled = np.empty(values.shape, dtype=np.float32)
        for name in np.unique(types):
            mine = types == name
            scaled[mine] = self.own.get(str(name), self)(values[mine])
        return scaled

    def __call__(self, values: NDArray[np.generic]) -> NDArray[np.float32]:
        """Scaled float32 values of any shape (..., d); a NaN feature becomes 0, the training median.

        They are taken as those of no cancer type with a scaling of its own.
        """
        with np.errstate(over="ignore"):  # what overflows is clipped like any other large value
            scaled = (np.asarray(values, dtype=np.float32) - self.centre) / self.scale
        return np.nan_to_num(np.clip(scaled, -self.clip, self.clip), nan=0.0)


def fit_scaling(values: NDArray[np.generic], clip: float, seed: int = 0) -> SourceScaling:
    """Median and interquartile scale of (rows, d), on at most 20,000 rows drawn with `seed`.

    The scale is IQR / 1.349 (one standard deviation of a normal variable); where that is zero, the standard
    deviation; where that is zero too, or a feature has no value at all, one.
    """
    if len(values) > MAX_ROWS:
        rows = np.random.default_rng(seed).choice(len(values), MAX_ROWS, replace=False)
        values = values[np.sort(rows)]
    x = np.asarray(values, dtype=np.float64)
    empty = np.isnan(x).all(axis=0) if len(x) else np.ones(x.shape[1], dtype=bool)
    x = np.where(empty, 0.0, x) if len(x) else np.zeros((1, x.shape[1]))
    low, centre, high = np.nanpercentile(x, [25, 50, 75], axis=0)
    scale: NDArray[np.float64] = (high - low) / 1.349
    scale = np.where(scale > 1e-9, scale, np.nanstd(x, axis=0))
    scale = np.where(scale > 1e-9, scale, 1.0)
    return SourceScaling(centre.astype(np.float32), scale.astype(np.float32), clip)


def fit_scaling_within(values: NDArray[np.generic], types: NDArray[np.str_], clip: float) -> SourceScaling:
    """The scaling of (rows, d) of patients of these cancer types (rows,), with one for each type.

    A type with fewer than 20 rows, or an unknown one (an empty name), takes that of everyone.
    """
    names, counts = np.unique(types, return_counts=True)
    able = [str(name) for name in names[counts >= LEAST_PATIENTS] if name]
    own = {name: fit_scaling(values[types == name], clip) for name in able}
    return replace(fit_scaling(values, clip), own=own)


Scaling = dict[str, SourceScaling]

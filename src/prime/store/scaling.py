"""Robust scaling of features, fitted on training patients only and saved with the model."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

MAX_ROWS = 20_000


@dataclass(frozen=True)
class SourceScaling:
    """Centre and scale of one source's features.

    Attributes:
        centre: (d,) float32 medians.
        scale: (d,) float32, positive.
        clip: scaled values are clipped to [-clip, clip], because some features reach 1e7.
    """

    centre: NDArray[np.float32]
    scale: NDArray[np.float32]
    clip: float

    def __call__(self, values: NDArray[np.generic]) -> NDArray[np.float32]:
        """Scaled float32 values of any shape (..., d); a NaN feature becomes 0, the training median."""
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


Scaling = dict[str, SourceScaling]

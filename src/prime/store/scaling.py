"""Robust scaling of features, fitted on training patients only and saved with the model."""

from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import DTypeLike, NDArray
from torch import Tensor

MAX_ROWS = 20_000  # that a scaling is fitted on
VALUES_AT_ONCE = 2**18  # that are scaled together: what a processor's own cache holds
FEATURES_AT_ONCE = 64
LEAST_ROWS = 20  # of a cancer type, for a scaling of its own


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

    def is_sound(self, dim: int) -> bool:
        """Whether centre and scale are finite (dim,) numbers, and scale and clip positive."""
        return (
            self.centre.shape == self.scale.shape == (dim,)
            and bool(np.isfinite(self.centre).all() and np.isfinite(self.scale).all())
            and bool((self.scale > 0).all())
            and 0 < self.clip < float("inf")
        )

    def rows(
        self, values: NDArray[np.generic], types: NDArray[np.str_], dtype: DTypeLike = np.float32
    ) -> NDArray[np.floating]:
        """Scaled rows (R, d), float32 or float16, of patients of these cancer types (R,)."""
        if not self.own:
            return self(values, dtype)
        scaled = np.empty(values.shape, dtype=dtype)
        for name in np.unique(types):
            mine = types == name
            scaled[mine] = self.own.get(str(name), self)(values[mine], dtype)
        return scaled

    def __call__(self, values: NDArray[np.generic], dtype: DTypeLike = np.float32) -> NDArray[np.floating]:
        """Scaled values of any shape (..., d), float32 or float16; a NaN becomes 0, the training median.

        They are taken as those of no cancer type with a scaling of its own.
        """
        rows = values.reshape(-1, values.shape[-1])
        scaled = np.empty(rows.shape, dtype=dtype)
        result = torch.from_numpy(scaled)
        size = max(1, VALUES_AT_ONCE // rows.shape[1])
        for start in range(0, len(rows), size):
            result[start : start + size] = self._scaled(rows[start : start + size])
        return scaled.reshape(values.shape)

    def _scaled(self, values: NDArray[np.generic]) -> Tensor:
        # Torch, for its fast conversions of float16. What overflows is clipped like any other large value.
        scaled = torch.from_numpy(np.array(values)).to(torch.float32)
        scaled = scaled.sub_(torch.from_numpy(self.centre)).div_(torch.from_numpy(self.scale))
        return scaled.clamp_(-self.clip, self.clip).nan_to_num_(nan=0.0)


def fit_scaling(values: NDArray[np.generic], clip: float) -> SourceScaling:
    """Median and interquartile scale of (rows, d), some features at a time.

    The scale is IQR / 1.349 (one standard deviation of a normal variable); where that is zero, the standard
    deviation; where that is zero too, or a feature has no value at all, one.
    """
    starts = range(0, values.shape[1], FEATURES_AT_ONCE)
    parts = [_centre_and_scale(values[:, start : start + FEATURES_AT_ONCE]) for start in starts]
    centre, scale = (np.concatenate(some).astype(np.float32) for some in zip(*parts, strict=True))
    return SourceScaling(centre, scale, clip)


def _centre_and_scale(values: NDArray[np.generic]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Medians and scales (d,) of (rows, d)."""
    x = np.array(values, dtype=np.float64) if len(values) else np.zeros((1, values.shape[1]))
    x[:, np.isnan(x).all(axis=0)] = 0.0
    low, centre, high = np.nanpercentile(x, [25, 50, 75], axis=0)
    scale: NDArray[np.float64] = (high - low) / 1.349
    narrow = scale <= 1e-9
    scale[narrow] = np.nanstd(x[:, narrow], axis=0)
    return centre, np.where(scale > 1e-9, scale, 1.0)


Scaling = dict[str, SourceScaling]

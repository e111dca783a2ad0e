"""Tests for tissue in a tile: entropy (as in the paper), brightness and edges of its grey values."""

from dataclasses import dataclass
from typing import cast

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Grey = NDArray[np.uint8]
CANNY_LOW, CANNY_HIGH = 40.0, 100.0  # STAMP's thresholds of |dx| + |dy|, of 3 x 3 Sobel filters
TANGENT = np.tan(np.pi / 8)


@dataclass(frozen=True)
class TissueTests:
    """Limits of the tests; a tile is kept if it passes each one that is not None.

    Attributes:
        entropy_bits: least Shannon entropy of the grey values, in bits (0 to 8).
        brightness: the mean grey value (0 to 255) must be below it.
        edges: least share of pixels that are Canny edges (0 to 1).
    """

    entropy_bits: float | None = 5.0
    brightness: float | None = 240.0
    edges: float | None = None

    def failed(self, tile: NDArray[np.uint8]) -> str | None:
        """Which of entropy and edges a tile (h, w, 3) fails first; None where it is kept.

        Brightness is tested earlier, on the overview, so that bright tiles need not be read.
        """
        values = grey(tile)
        if self.entropy_bits is not None and entropy(values) < self.entropy_bits:
            return "entropy"
        if self.edges is not None and float(canny(values).mean()) < self.edges:
            return "edges"
        return None


def grey(rgb: NDArray[np.uint8]) -> Grey:
    """Luma after ITU-R BT.601, (h, w) uint8, of (h, w, 3) uint8."""
    return np.asarray(Image.fromarray(rgb).convert("L"))


def entropy(values: Grey) -> float:
    """Shannon entropy in bits of the 256 grey values' frequencies."""
    counts = np.bincount(values.reshape(-1), minlength=256)
    shares = counts[counts > 0] / values.size
    return float(-(shares * np.log2(shares)).sum())


def canny(values: Grey) -> NDArray[np.bool_]:
    """Canny's edges (h, w), without smoothing: ridges of the gradient, weak ones if joined to a strong one.

    Canny, IEEE TPAMI 8, 1986; gradient and thresholds as STAMP uses them through OpenCV.
    """
    from scipy import ndimage

    pixels = values.astype(np.int32)
    down = np.asarray(ndimage.sobel(pixels, axis=0, mode="nearest"), dtype=np.int32)
    right = np.asarray(ndimage.sobel(pixels, axis=1, mode="nearest"), dtype=np.int32)
    strength = np.abs(down) + np.abs(right)
    ridge = _ridges(strength, down, right)
    weak = ridge & (strength > CANNY_LOW)
    found = cast(tuple[NDArray[np.int32], int], ndimage.label(weak, structure=np.ones((3, 3))))
    labels, count = found
    strong = np.zeros(count + 1, dtype=np.bool_)
    strong[labels[ridge & (strength > CANNY_HIGH)]] = True
    strong[0] = False
    return strong[labels]


def _ridges(
    strength: NDArray[np.int32], down: NDArray[np.int32], right: NDArray[np.int32]
) -> NDArray[np.bool_]:
    """Where the gradient is a maximum along its own direction, rounded to one of four."""
    around = np.pad(strength, 1)
    height, width = strength.shape

    def neighbour(dy: int, dx: int) -> NDArray[np.int32]:
        return around[1 + dy : 1 + dy + height, 1 + dx : 1 + dx + width]

    def peak(before: tuple[int, int], after: tuple[int, int]) -> NDArray[np.bool_]:
        return (strength > neighbour(*before)) & (strength >= neighbour(*after))

    vertical, horizontal = np.abs(down), np.abs(right)
    along_x = vertical < TANGENT * horizontal
    along_y = horizontal < TANGENT * vertical
    same_sign = (down >= 0) == (right >= 0)
    diagonal = np.where(same_sign, peak((-1, -1), (1, 1)), peak((-1, 1), (1, -1)))
    return np.where(along_x, peak((0, -1), (0, 1)), np.where(along_y, peak((-1, 0), (1, 0)), diagonal))

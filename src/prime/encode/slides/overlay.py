"""The picture that shows which tiles of a slide were kept."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from prime.files import replacing

LINE = (0, 150, 70)
FADED = 0.75  # share of white in a tile that was left out
QUALITY = 85


def tile_overlay(overview: NDArray[np.uint8], kept: NDArray[np.bool_], side_px: int) -> NDArray[np.uint8]:
    """The overview (rows x side, columns x side, 3) with kept tiles framed and the others faded.

    `kept` is (rows, columns).
    """
    mask = np.repeat(np.repeat(kept, side_px, axis=0), side_px, axis=1)
    faded = overview + (255 - overview.astype(np.float32)) * FADED
    picture = np.where(mask[:, :, None], overview, faded.astype(np.uint8))
    width = max(1, side_px // 50)
    inside = np.arange(side_px)
    edge = (inside < width) | (inside >= side_px - width)
    frame = np.tile(edge[:, None] | edge[None, :], kept.shape)
    picture[mask & frame] = LINE
    return picture


def write_jpeg(path: Path, picture: NDArray[np.uint8]) -> None:
    """Write an (h, w, 3) picture, atomically."""
    with replacing(path) as temporary:
        Image.fromarray(picture).save(temporary, format="JPEG", quality=QUALITY)

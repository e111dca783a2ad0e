"""The grid of a slide's tiles, which have one physical size."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from prime.encode.slides.filters import TissueTests
from prime.errors import InputError

OVERVIEW_SIDE_PX = 1600  # the longer side of the overview, about
MOST_DAMAGED = 0.05  # share of a slide's tiles; with more of them damaged the slide fails
OVERVIEW_TILE_PX = 8  # least side of a tile in the overview


@dataclass(frozen=True)
class TileGrid:
    """A slide's tiles: all that a process that reads them needs to know.

    Attributes:
        path: the slide.
        size_px: its width and height at level 0.
        mpp: um per pixel at level 0.
        stated_by: where the resolution is stated.
        tile_um: side of a tile in um, as asked for.
        level0_px: side of a tile in pixels at level 0.
        tile_px: side of a tile in pixels as it is filtered and encoded.
        columns, rows: how many whole tiles fit.
        overview_px: side of a tile in pixels of the overview.
        tests: decide which tiles are kept.
        left_out: levels of the pyramid that are not read.
    """

    path: Path
    size_px: tuple[int, int]
    mpp: float
    stated_by: str
    tile_um: float
    level0_px: int
    tile_px: int
    columns: int
    rows: int
    overview_px: int
    tests: TissueTests
    left_out: tuple[int, ...] = ()

    def beyond_repair(self, damaged: int) -> bool:
        """Whether so many damaged tiles are too many to go on without them."""
        return damaged > max(1, MOST_DAMAGED * self.rows * self.columns)

    def corners(self) -> NDArray[np.int64]:
        """Upper left corners (rows x columns, 2) as x, y at level 0, sorted by y, then x."""
        y, x = np.mgrid[: self.rows, : self.columns]
        return np.stack([x.reshape(-1), y.reshape(-1)], axis=1).astype(np.int64) * self.level0_px


def tile_grid(
    path: Path,
    size_px: tuple[int, int],
    mpp: float,
    stated_by: str,
    tile_um: float,
    tile_px: int,
    tests: TissueTests,
) -> TileGrid:
    """Lay the grid over a slide of `size_px` (width, height) at level 0, from its upper left corner.

    Parts of tiles at the right and lower edges are not used.

    Raises:
        InputError: the slide is smaller than a tile, or so coarse that tiles would be enlarged more than
            twofold.
    """
    level0_px = round(tile_um / mpp)
    if 2 * level0_px < tile_px:
        raise InputError(
            f"{path}: at {mpp:g} um per pixel ({stated_by}) a tile of {tile_um:g} um has {level0_px} pixels, "
            f"too few for {tile_px}; raise --tile-um, lower --tile-px, or correct --mpp"
        )
    columns, rows = (side // level0_px for side in size_px)
    if columns == 0 or rows == 0:
        raise InputError(
            f"{path}: {size_px[0]} x {size_px[1]} pixels at {mpp:g} um ({stated_by}) are less than one tile "
            f"of {tile_um:g} um ({level0_px} pixels); lower --tile-um or correct --mpp"
        )
    overview_px = min(tile_px, max(OVERVIEW_TILE_PX, round(OVERVIEW_SIDE_PX / max(columns, rows))))
    return TileGrid(
        path, size_px, mpp, stated_by, tile_um, level0_px, tile_px, columns, rows, overview_px, tests
    )

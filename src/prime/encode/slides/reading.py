"""Reading a slide piece by piece, never the whole: its overview in blocks, its tiles in chunks."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import openslide
from numpy.typing import NDArray
from PIL import Image

from prime.encode.slides.filters import grey
from prime.encode.slides.grid import TileGrid
from prime.encode.slides.levels import same_shape
from prime.encode.slides.reading_pool import ReadingPool
from prime.encode.slides.slide_file import open_slide
from prime.errors import InputError

CHUNK = 16  # tiles read by one task
BLOCK_PX = 2048  # side of the blocks in which the overview is read
FINER = 1.01  # a level may be this factor coarser than wanted: a downsample of 4.0002 is meant as 4

DAMAGED = (200, 0, 0)

Corner = tuple[int, int]


class DamagedError(Exception):
    """A part of a slide cannot be read; others may be."""


@dataclass(frozen=True)
class Chunk:
    """Tiles read together: corners (n, 2) and pixels (n, px, px, 3) uint8 of those kept, how many failed
    each test, and where the slide is damaged.
    """

    corners: NDArray[np.int64]
    tiles: NDArray[np.uint8]
    failed: dict[str, int]
    damaged: tuple[str, ...] = ()


def overview(grid: TileGrid, pool: ReadingPool) -> NDArray[np.uint8]:
    """The tiled part of a slide, (rows x overview_px, columns x overview_px, 3) uint8, read in blocks.

    Tiles that are damaged there have the colour DAMAGED, which is dark enough for them to be read themselves.
    """
    side = grid.overview_px
    picture = np.empty((grid.rows * side, grid.columns * side, 3), dtype=np.uint8)
    level = _level(grid, side)
    step = max(1, int(BLOCK_PX * _slide(grid.path).level_downsamples[level] / grid.level0_px))
    blocks = [
        (column, row, min(step, grid.columns - column), min(step, grid.rows - row))
        for row in range(0, grid.rows, step)
        for column in range(0, grid.columns, step)
    ]
    for (column, row, width, height), block in zip(blocks, pool.map(read_block, grid, blocks), strict=True):
        picture[row * side : (row + height) * side, column * side : (column + width) * side] = block
    return picture


def below_brightness(grid: TileGrid, picture: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Which tiles (rows x columns,) have a mean grey value below the brightness limit, by the overview."""
    side = grid.overview_px
    limit = grid.tests.brightness
    if limit is None:
        return np.ones(grid.rows * grid.columns, dtype=np.bool_)
    blocks = grey(picture).reshape(grid.rows, side, grid.columns, side)
    means: NDArray[np.float64] = blocks.mean(axis=(1, 3), dtype=np.float64).reshape(-1)
    return means < limit


def tiles(grid: TileGrid, corners: NDArray[np.int64], pool: ReadingPool) -> Iterator[Chunk]:
    """Read and filter the tiles at these corners (n, 2), in their order."""
    every = [(int(x), int(y)) for x, y in corners]
    return pool.map(read_chunk, grid, [every[i : i + CHUNK] for i in range(0, len(every), CHUNK)])


def batches(chunks: Iterable[Chunk], size: int) -> Iterator[tuple[NDArray[np.int64], NDArray[np.uint8]]]:
    """Kept tiles in batches of `size`, the last one smaller: corners (b, 2) and pixels (b, px, px, 3).

    Batches depend on the tiles alone, not on the chunks in which they were read.
    """
    corners: list[NDArray[np.int64]] = []
    pixels: list[NDArray[np.uint8]] = []
    for chunk in chunks:
        corners += list(chunk.corners)
        pixels += list(chunk.tiles)
        while len(pixels) >= size:
            yield np.stack(corners[:size]), np.stack(pixels[:size])
            del corners[:size], pixels[:size]
    if pixels:
        yield np.stack(corners), np.stack(pixels)


def read_block(grid: TileGrid, block: tuple[int, int, int, int]) -> NDArray[np.uint8]:
    """A part of the overview; `block` is its column, row, width and height in tiles."""
    column, row, width, height = block
    side = grid.level0_px
    try:
        return _read(grid, (column * side, row * side), (width, height), grid.overview_px)
    except DamagedError:
        picture = np.empty((height * grid.overview_px, width * grid.overview_px, 3), dtype=np.uint8)
    found = picture.reshape(height, grid.overview_px, width, grid.overview_px, 3)
    damaged: list[str] = []
    for place in np.ndindex(height, width):
        try:
            corner = ((column + place[1]) * side, (row + place[0]) * side)
            found[place[0], :, place[1]] = _read(grid, corner, (1, 1), grid.overview_px)
        except DamagedError as error:
            damaged.append(str(error))
            if grid.beyond_repair(len(damaged)):
                raise InputError(damaged[0]) from None
            found[place[0], :, place[1]] = DAMAGED
    return picture


def read_chunk(grid: TileGrid, corners: Sequence[Corner]) -> Chunk:
    """Read tiles one by one and keep those that pass the tests; damaged ones are counted as such."""
    kept: list[Corner] = []
    pixels: list[NDArray[np.uint8]] = []
    failed: dict[str, int] = {}
    places: list[str] = []
    for corner in corners:
        try:
            tile = _read(grid, corner, (1, 1), grid.tile_px)
            reason = grid.tests.failed(tile)
        except DamagedError as error:
            places.append(str(error))
            failed["damaged"] = failed.get("damaged", 0) + 1
            if grid.beyond_repair(len(places)):
                raise InputError(places[0]) from None
            continue
        if reason is None:
            kept.append(corner)
            pixels.append(tile)
        else:
            failed[reason] = failed.get(reason, 0) + 1
    shape = (len(kept), grid.tile_px, grid.tile_px, 3)
    stacked = np.stack(pixels) if pixels else np.empty(shape, dtype=np.uint8)
    return Chunk(np.array(kept, dtype=np.int64).reshape(-1, 2), stacked, failed, tuple(places))


def _slide(path: Path) -> openslide.OpenSlide:
    """The slide that this process reads. It is opened once, and again where the file has changed."""
    try:
        facts = path.stat()
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}") from None
    return _opened(path, facts.st_size, facts.st_mtime_ns)


@lru_cache(maxsize=1)
def _opened(path: Path, size: int, changed_ns: int) -> openslide.OpenSlide:
    return open_slide(path)


def close() -> None:
    """Close the slide that this process has open."""
    _opened.cache_clear()


def _level(grid: TileGrid, side_px: int) -> int:
    """The coarsest of the usable levels with at least `side_px` pixels per side of a tile."""
    slide = _slide(grid.path)
    wanted = FINER * grid.level0_px / side_px
    usable = [level for level in same_shape(slide) if level not in grid.left_out]
    return max(level for level in usable if level == 0 or slide.level_downsamples[level] <= wanted)


def _read(grid: TileGrid, corner: Corner, size: tuple[int, int], side_px: int) -> NDArray[np.uint8]:
    """`size` (columns, rows) tiles from `corner` on, `side_px` pixels each, RGB, white where not scanned.

    Raises DamagedError where the slide is damaged there.
    """
    slide = _slide(grid.path)
    level = _level(grid, side_px)
    scale = grid.level0_px / slide.level_downsamples[level]
    extent = (max(1, round(size[0] * scale)), max(1, round(size[1] * scale)))
    try:
        region = slide.read_region(corner, level, extent)
    except openslide.OpenSlideError as error:
        _opened.cache_clear()  # after an error OpenSlide reads nothing more from this handle
        raise DamagedError(f"{grid.path}: damaged near pixel {corner} ({error}); copy it again") from None
    flat = Image.new("RGB", region.size, (255, 255, 255))
    flat.paste(region, mask=region.getchannel("A"))
    wanted = (size[0] * side_px, size[1] * side_px)
    return np.asarray(flat if flat.size == wanted else flat.resize(wanted, Image.Resampling.BILINEAR))

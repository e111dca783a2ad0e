"""From tokens back to tiles: which tile of which slide each token (a tile, or a centroid of many) stands for.

A file of centroids holds this in the group `links`; in a file of tiles each row of `coords` is a token.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from prime.arrays import Indices
from prime.cohort.readers.h5_files import fault, find_dataset, read_dataset
from prime.errors import InputError

GROUP = "links"
PIXELS, MICROMETRES = "px", "um"
SIDE = ("patch_size_level0", "tile_size_um")  # attributes of TRIDENT, and of STAMP
LARGEST = 2**31 - 1


@dataclass(frozen=True)
class SlideFrame:
    """A slide, as far as the files of its tiles tell.

    Attributes:
        name: of the slide's feature file, without the suffix.
        side: of a tile, in `unit`.
        width, height: of the slide at level 0, in pixels; 0 where not stated.
        unit: of coordinates and `side`: PIXELS of level 0, or MICROMETRES (STAMP).
    """

    name: str
    side: int
    width: int = 0
    height: int = 0
    unit: str = PIXELS


@dataclass(frozen=True)
class TileLinks:
    """Tiles, and the token that stands for each.

    Attributes:
        slides: the S slides that tiles are of.
        slide: (n,) position in `slides` of each tile.
        coords: (n, 2) x and y of each tile's upper left corner, in the slide's unit.
        token: (n,) the row of the file that stands for each tile.
    """

    slides: tuple[SlideFrame, ...]
    slide: Indices
    coords: Indices
    token: Indices

    def datasets(self) -> dict[str, NDArray[Any]]:
        """What a file of centroids holds, by the names of its datasets."""
        text = h5py.string_dtype()
        frames = [(s.side, s.width, s.height) for s in self.slides]
        return {
            f"{GROUP}/slides": np.array([s.name for s in self.slides], dtype=text),
            f"{GROUP}/units": np.array([s.unit for s in self.slides], dtype=text),
            f"{GROUP}/frames": np.array(frames, dtype=np.int32).reshape(-1, 3),
            f"{GROUP}/slide": self.slide.astype(np.int32),
            f"{GROUP}/coords": self.coords.astype(np.int32),
            f"{GROUP}/token": self.token.astype(np.int32),
        }


def joined(parts: Sequence[TileLinks], tokens: Sequence[int]) -> TileLinks:
    """Links of files whose tokens, so many of each, are put one after the other."""
    slides = np.cumsum([0, *(len(part.slides) for part in parts)])
    before = np.cumsum([0, *tokens])
    empty = np.zeros(0, dtype=np.int64)
    return TileLinks(
        tuple(frame for part in parts for frame in part.slides),
        np.concatenate([empty, *(p.slide + s for p, s in zip(parts, slides, strict=False))]),
        np.concatenate([empty.reshape(0, 2), *(p.coords for p in parts)]),
        np.concatenate([empty, *(p.token + b for p, b in zip(parts, before, strict=False))]),
    )


NO_LINKS = joined([], [])


def read_links(path: Path) -> TileLinks:
    """The tiles of one HDF5 file of tokens; without any where the file does not tell.

    Raises InputError where the file cannot be read, or its links do not fit together.
    """
    try:
        with h5py.File(path, "r") as file:
            if find_dataset(file, f"{GROUP}/token") is not None:
                return _links(file)
            found = tiles_of(file, path.stem)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    except (OSError, RuntimeError, LookupError, TypeError, ValueError) as error:
        raise InputError(f"{path}: {fault(error)}") from None
    if found is None:
        return NO_LINKS
    coords, frame = found
    return TileLinks((frame,), np.zeros(len(coords), dtype=np.int64), coords, np.arange(len(coords)))


def tiles_of(file: h5py.File, name: str) -> tuple[Indices, SlideFrame] | None:
    """x and y (n, 2) of the tiles of a slide's file, and its frame; None where it has no coordinates.

    The file is one of `prime encode slides`, TRIDENT, CLAM, STAMP or marugoto; augmented rows are dropped.
    Coordinates are rounded to whole units. Where the side of a tile is not stated, tiles are as large as they
    lie apart.
    """
    data, flags = find_dataset(file, "coords"), find_dataset(file, "augmented")
    if data is None:
        return None
    coords = read_dataset(data).astype(np.float64)
    coords = coords[0] if coords.ndim == 3 else coords
    if coords.ndim != 2 or coords.shape[1] < 2 or not np.isfinite(coords).all():
        return None
    if flags is not None:
        coords = coords[~read_dataset(flags).astype(np.bool_).reshape(-1)]
    whole = np.clip(coords[:, :2].round(), -LARGEST, LARGEST).astype(np.int64)
    stated = {**dict(file.attrs), **dict(data.attrs)}
    unit = MICROMETRES if str(stated.get("unit", "")) == MICROMETRES else PIXELS
    side = _whole(stated.get(SIDE[unit == MICROMETRES])) or _apart(whole)
    size = [_whole(stated.get(f"level0_{which}")) for which in ("width", "height")]
    return whole, SlideFrame(name, side, size[0], size[1], unit)


def _whole(value: Any) -> int:
    """A positive whole number; 0 for anything else."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        return 0
    return round(number) if 0 < number <= LARGEST else 0


def _apart(coords: Indices) -> int:
    """The least distance between two columns or two rows of tiles; 1 where there is one of each."""
    gaps = [np.diff(np.unique(coords[:, axis])) for axis in (0, 1)]
    return int(min((gap.min() for gap in gaps if len(gap)), default=1))


def _links(file: h5py.File) -> TileLinks:
    slide, coords, token = (_numbers(file, name) for name in ("slide", "coords", "token"))
    frames, names, units = _numbers(file, "frames"), _texts(file, "slides"), _texts(file, "units")
    n, s = len(token), len(names)
    fits = token.shape == slide.shape == (n,) and coords.shape == (n, 2)
    fits = fits and frames.shape == (s, 3) and len(units) == s
    if not fits or (n and (slide.min() < 0 or slide.max() >= s or token.min() < 0)):
        raise InputError(f"{GROUP}: its datasets do not fit together; cluster this patient again")
    rows = zip(names, frames.tolist(), units, strict=True)
    slides = tuple(SlideFrame(name, side, wide, high, unit) for name, (side, wide, high), unit in rows)
    return TileLinks(slides, slide, coords, token)


def _numbers(file: h5py.File, name: str) -> Indices:
    data = find_dataset(file, f"{GROUP}/{name}")
    if data is None:
        raise InputError(f"{GROUP}/{name}: no such dataset; cluster this patient again")
    return read_dataset(data).astype(np.int64)


def _texts(file: h5py.File, name: str) -> list[str]:
    data = find_dataset(file, f"{GROUP}/{name}")
    if data is None or h5py.check_string_dtype(data.dtype) is None:
        raise InputError(f"{GROUP}/{name}: no such texts; cluster this patient again")
    return [str(text) for text in data.asstr()[()]]

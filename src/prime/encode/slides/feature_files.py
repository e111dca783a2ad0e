"""Files of tiles' features: written as TRIDENT does, read as of TRIDENT, CLAM, STAMP and marugoto."""

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from prime.arrays import Indices
from prime.cohort.readers import tokens
from prime.cohort.readers.tokens import TokenSource, read_token_file
from prime.cohort.tile_links import SlideFrame, tiles_of
from prime.encode.record import EncoderRecord
from prime.errors import InputError
from prime.files import replacing

WHERE = "encode slides"
SUFFIXES = tuple(suffix for suffixes in tokens.SUFFIXES.values() for suffix in suffixes)
ROWS_PER_CHUNK = 64
WHOLE = ("slide", "patient")  # values of STAMP's feat_type where a file holds one vector, not tiles


@dataclass(frozen=True)
class TileFeatures:
    """A slide's tiles, sorted by y, then x.

    Attributes:
        features: (n, d) float32.
        attributes: of the file.
        coords: (n, 2) x and y of their upper left corners; None where the file does not tell.
        frame: of the slide, where there are coordinates.
    """

    features: NDArray[np.float32]
    attributes: dict[str, str]
    coords: Indices | None = None
    frame: SlideFrame | None = None


class FeatureWriter:
    """Appends features and corners of tiles to an open HDF5 file."""

    def __init__(self, file: h5py.File, dim: int) -> None:
        self._features = file.create_dataset(
            "features", (0, dim), maxshape=(None, dim), chunks=(ROWS_PER_CHUNK, dim), dtype=np.float32
        )
        self._coords = file.create_dataset(
            "coords", (0, 2), maxshape=(None, 2), chunks=(1024, 2), dtype=np.int64
        )

    def append(self, features: NDArray[np.float32], corners: NDArray[np.int64]) -> None:
        """Add rows (b, d) and their tiles' upper left corners (b, 2), x and y at level 0."""
        for dataset, rows in ((self._features, features), (self._coords, corners)):
            before = dataset.shape[0]
            dataset.resize(before + len(rows), axis=0)
            dataset[before:] = rows

    def set_attributes(self, features: Mapping[str, Any], coords: Mapping[str, Any]) -> None:
        """Set the attributes of both datasets."""
        self._features.attrs.update(features)
        self._coords.attrs.update(coords)

    def __len__(self) -> int:
        return int(self._features.shape[0])


@contextmanager
def feature_writer(path: Path, dim: int) -> Generator[FeatureWriter]:
    """Yield a writer of `features` (n, dim) and `coords` (n, 2); no file is left where the block fails."""
    with replacing(path) as temporary, h5py.File(temporary, "w") as file:
        yield FeatureWriter(file, dim)


def read_tiles(path: Path) -> TileFeatures:
    """Read one file, written here or by TRIDENT, CLAM, STAMP or marugoto (augmented rows are dropped).

    Tiles are sorted by their coordinates, since some of these programs write them in the order in which they
    finish; without coordinates they keep the order of the file.

    Raises:
        InputError: see `prime.cohort.readers.tokens`; or the file holds a vector of a whole slide or patient.
    """
    kind = "pt" if path.suffix.lower() == ".pt" else "h5"
    source = TokenSource(reader=kind, path=str(path.parent))
    file = read_token_file(path, source, WHERE)
    attributes = file.attributes | ({} if kind == "pt" else _record(path))
    whole = attributes.get("feat_type")
    if whole in WHOLE:
        raise InputError(f"{path}: holds one vector of a {whole}, no tiles to cluster; use it as it is")
    found = None if kind == "pt" else _places(path)
    if found is None or len(found[0]) != len(file.tokens):
        return TileFeatures(file.tokens, attributes)
    coords, frame = found
    order = np.lexsort((coords[:, 0], coords[:, 1]))
    return TileFeatures(file.tokens[order], attributes, coords[order], frame)


def _places(path: Path) -> tuple[Indices, SlideFrame] | None:
    with h5py.File(path, "r") as file:
        return tiles_of(file, path.stem)


def _record(path: Path) -> dict[str, str]:
    """The encoder's record, where `prime encode` wrote the file."""
    with h5py.File(path, "r") as file:
        found = file["features"].attrs if "features" in file else {}
        names = (field.name for field in fields(EncoderRecord))
        return {name: str(found[name]) for name in names if name in found}

"""One slide: tissue tiles through the encoder into a feature file, and a picture of what was kept."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prime.encode.slides import reading
from prime.encode.slides.encoders.interface import LoadedEncoder, Pooling, Precision, TileEncoder
from prime.encode.slides.feature_files import writing
from prime.encode.slides.filters import TissueTests
from prime.encode.slides.grid import TileGrid, tile_grid
from prime.encode.slides.inputs import InputFile
from prime.encode.slides.openslides import open_slide, resolution
from prime.encode.slides.ordered import Readers, readers
from prime.encode.slides.pictures import kept_picture, write_jpeg
from prime.encode.work import Piece, facts_of

VERSION = 1  # raised where the same settings come to give other features
UM_AT_1X = 10.0  # um a pixel at 1x, by which magnifications are named: 0.5 at 20x
GIVEN = "--mpp"


@dataclass(frozen=True)
class SlideSettings:
    """What a slide's features depend on."""

    encoder: TileEncoder
    pooling: Pooling | None
    precision: Precision
    tile_um: float
    tests: TissueTests

    def described(self) -> dict[str, Any]:
        """As JSON values, without the place of the weights; what a finished slide is compared with."""
        return {
            "version": VERSION,
            "record": self.encoder.record.attributes(),
            "pixels": asdict(self.encoder.pixels),
            "pooling": self.pooling,
            "precision": self.precision,
            "tile_um": self.tile_um,
            "tests": asdict(self.tests),
        }


@dataclass(frozen=True)
class SlideJob:
    """The settings, and what changes only how fast it goes.

    Attributes:
        settings: what the features depend on.
        mpp: um a pixel of slides whose metadata state none.
        device: for the encoder, `auto` or as torch names it.
        batch_size: tiles encoded at once.
        workers: reading processes.
        threads: of the encoder.
    """

    settings: SlideSettings
    mpp: float | None
    device: str
    batch_size: int
    workers: int
    threads: int


def slide_pieces(found: list[InputFile], out: Path, mpp: float | None) -> list[Piece]:
    """The work on each slide: `features/NAME.h5` and `overlays/NAME.jpg` in `out`.

    Features made with another `--mpp` than `mpp` are removed, to be made again; those of slides that state
    their resolution stay.
    """
    pieces: list[Piece] = []
    for item in found:
        features = out / "features" / f"{item.name}.h5"
        piece = Piece(item.name, item.files, (features, out / "overlays" / f"{item.name}.jpg"))
        try:
            facts = facts_of(piece, features.parent)
        except (ValueError, KeyError, TypeError):  # no note, or a damaged one: not done
            facts = {}
        if facts.get("stated_by") == GIVEN and facts.get("mpp") != mpp:
            features.unlink(missing_ok=True)
        pieces.append(piece)
    return pieces


def encode_slide(job: SlideJob, piece: Piece) -> dict[str, Any]:
    """Encode one slide. Returns facts: resolution, tiles, those kept, and how many each test left out.

    Raises:
        InputError: the slide can't be read, has no resolution or not one tile, or the encoder fails.
    """
    path, (features, overlay) = piece.inputs[0], piece.outputs
    encoder = _encoder(job)
    grid, magnification = _grid(path, job)
    corners = grid.corners()
    kept = np.zeros(len(corners), dtype=np.bool_)
    failed: dict[str, int] = {}
    try:
        work = readers(job.workers)
        with writing(features, encoder.dim) as file:
            picture = reading.overview(grid, work)
            tissue = reading.dark_enough(grid, picture)
            chunks = _counted(grid, corners[tissue], work, failed)
            for batch_corners, tiles in reading.batches(chunks, job.batch_size):
                file.append(encoder.encode(tiles), batch_corners)
                kept[_indices(grid, batch_corners)] = True
            file.describe(
                _about_features(job, encoder, piece.name), _about_coords(grid, magnification, piece.name)
            )
            write_jpeg(
                overlay, kept_picture(picture, kept.reshape(grid.rows, grid.columns), grid.overview_px)
            )
    finally:
        reading.close()
    return {
        "mpp": grid.mpp, "stated_by": grid.stated_by, "tiles": len(corners), "kept": int(kept.sum()),
        "too_bright": int((~tissue).sum()), **{f"too_low_{test}": number for test, number in failed.items()},
    }  # fmt: skip


def check_encoder(job: SlideJob) -> None:
    """Raise InputError where the encoder can't be loaded, before any slide is begun."""
    _encoder(job)


def _grid(path: Path, job: SlideJob) -> tuple[TileGrid, float]:
    """The slide's tiles and its magnification at level 0."""
    settings = job.settings
    with open_slide(path) as slide:
        found = resolution(slide.properties, path, job.mpp)
        size, power = slide.dimensions, slide.properties.get("openslide.objective-power")
    side = settings.encoder.pixels.side_px
    grid = tile_grid(path, size, found.mpp, found.stated_by, settings.tile_um, side, settings.tests)
    return grid, float(power) if power else UM_AT_1X / found.mpp


def _counted(
    grid: TileGrid, corners: NDArray[np.int64], work: Readers, failed: dict[str, int]
) -> Iterator[reading.Chunk]:
    """The chunks of tiles, while `failed` counts those that each test left out."""
    for chunk in reading.tiles(grid, corners, work):
        for test, number in chunk.failed.items():
            failed[test] = failed.get(test, 0) + number
        yield chunk


def _indices(grid: TileGrid, corners: NDArray[np.int64]) -> NDArray[np.int64]:
    """Places of tiles in `grid.corners()`."""
    columns, rows = corners[:, 0] // grid.level0_px, corners[:, 1] // grid.level0_px
    return rows * grid.columns + columns


def _about_features(job: SlideJob, encoder: LoadedEncoder, name: str) -> dict[str, Any]:
    facts: dict[str, Any] = {"name": name, **job.settings.encoder.record.attributes()}
    facts |= {"pooling": job.settings.pooling or "default", "precision": job.settings.precision}
    if encoder.feature_names:
        facts["feature_names"] = ",".join(encoder.feature_names)
    return facts


def _about_coords(grid: TileGrid, magnification: float, name: str) -> dict[str, Any]:
    """TRIDENT's attributes, and the resolution."""
    return {
        "name": name,
        "patch_size": grid.tile_px,
        "patch_size_level0": grid.level0_px,
        "level0_magnification": magnification,
        "target_magnification": UM_AT_1X * grid.tile_px / grid.tile_um,
        "overlap": 0,
        "level0_width": grid.size_px[0],
        "level0_height": grid.size_px[1],
        "mpp": grid.mpp,
        "mpp_stated_by": grid.stated_by,
        "tile_um": grid.tile_um,
    }


def _encoder(job: SlideJob) -> LoadedEncoder:
    settings = job.settings
    return _loaded(settings.encoder, settings.pooling, settings.precision, job.device, job.threads)


@lru_cache(maxsize=1)
def _loaded(
    encoder: TileEncoder, pooling: Pooling | None, precision: Precision, device: str, threads: int
) -> LoadedEncoder:
    """The encoder, loaded once a process."""
    return encoder.load(pooling, precision, device, threads)

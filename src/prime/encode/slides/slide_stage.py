"""First stage, one slide: its tissue tiles become a feature file, with a picture of the kept tiles."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prime.encode.slides import reading
from prime.encode.slides.encoders.interface import LoadedEncoder, Pooling, Precision, TileEncoder
from prime.encode.slides.feature_files import feature_writer
from prime.encode.slides.filters import TissueTests
from prime.encode.slides.grid import TileGrid, tile_grid
from prime.encode.slides.inputs import InputFile
from prime.encode.slides.levels import Levels, judged_levels
from prime.encode.slides.overlay import tile_overlay, write_jpeg
from prime.encode.slides.reading_pool import ReadingPool, reading_pool
from prime.encode.slides.slide_file import GIVEN, open_slide, resolution
from prime.encode.work import Piece, facts_of
from prime.errors import InputError

VERSION = 2  # raise it when the same settings give other features, so that slides are encoded again
UM_AT_1X = 10.0  # um per pixel at 1x, so that 20x is 0.5 um


@dataclass(frozen=True)
class SlideSettings:
    """What a slide's features depend on."""

    encoder: TileEncoder
    pooling: Pooling | None
    precision: Precision
    tile_um: float
    tests: TissueTests

    def as_json(self) -> dict[str, Any]:
        """As JSON values, without the path of the weights; a finished slide is compared with them."""
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
    """The settings, and options that change only the speed, or serve slides without a resolution.

    Attributes:
        settings: what the features depend on.
        mpp: um per pixel of slides whose metadata state none, or one with which they have no tiles.
        device: of the encoder: torch's name, or `auto`.
        batch_size: tiles encoded at once.
        workers: reading processes.
        threads: processor threads of the encoder.
        override_mpp: whether `mpp` is that of every slide, whatever its metadata state.
    """

    settings: SlideSettings
    mpp: float | None
    device: str
    batch_size: int
    workers: int
    threads: int
    override_mpp: bool = False


def slide_pieces(
    found: list[InputFile], out: Path, mpp: float | None, override_mpp: bool = False
) -> list[Piece]:
    """The work on each slide: `features/NAME.h5` and `overlays/NAME.jpg` in `out`.

    Features that were made with another `--mpp` are removed, to be made again; those of slides that state
    their resolution stay, unless it is overridden, or was.
    """
    pieces: list[Piece] = []
    for item in found:
        features = out / "features" / f"{item.name}.h5"
        piece = Piece(item.name, item.files, (features, out / "overlays" / f"{item.name}.jpg"))
        try:
            facts = facts_of(piece, features.parent)
        except (ValueError, KeyError, TypeError):  # no note, or a damaged one: not done
            facts = {}
        by_user = facts.get("stated_by") == GIVEN
        if (by_user and facts.get("mpp") != mpp) or (facts and override_mpp != facts.get("override_mpp")):
            features.unlink(missing_ok=True)
        pieces.append(piece)
    return pieces


def encode_slide(job: SlideJob, piece: Piece) -> dict[str, Any]:
    """Encode one slide. Returns its resolution, and the numbers of tiles, of those kept, and failed by test.

    Raises:
        InputError: the slide cannot be read, has no resolution or not one tile, or the encoder fails.
    """
    path, (features, overlay) = piece.inputs[0], piece.outputs
    encoder = _encoder(job)
    grid, magnification, levels = _grid(path, job)
    corners = grid.corners()
    kept = np.zeros(len(corners), dtype=np.bool_)
    failed: dict[str, int] = {}
    damaged: list[str] = []
    try:
        pool = reading_pool(job.workers)
        with feature_writer(features, encoder.dim) as file:
            picture = reading.overview(grid, pool)
            tissue = reading.below_brightness(grid, picture)
            chunks = _counted(grid, corners[tissue], pool, failed, damaged)
            for batch_corners, tiles in reading.batches(chunks, job.batch_size):
                file.append(encoder.encode(tiles), batch_corners)
                kept[_indices(grid, batch_corners)] = True
            file.set_attributes(
                _feature_attributes(job, encoder, piece.name),
                _coord_attributes(grid, magnification, piece.name),
            )
            write_jpeg(
                overlay, tile_overlay(picture, kept.reshape(grid.rows, grid.columns), grid.overview_px)
            )
    finally:
        reading.close()
    return {
        "mpp": grid.mpp, "stated_by": grid.stated_by, "tiles": len(corners), "kept": int(kept.sum()),
        "too_bright": int((~tissue).sum()), "override_mpp": job.override_mpp,
        **{"damaged" if test == "damaged" else f"too_low_{test}": number for test, number in failed.items()},
        "notes": "; ".join([*levels.reasons, *damaged[:1]]),
    }  # fmt: skip


def check_encoder(job: SlideJob) -> None:
    """Raise InputError where the encoder can't be loaded, before any slide is begun."""
    _encoder(job)


def _grid(path: Path, job: SlideJob) -> tuple[TileGrid, float, Levels]:
    """The slide's tiles, its magnification at level 0, and its levels."""
    settings = job.settings
    with open_slide(path) as slide:
        found = resolution(slide.properties, path, job.mpp, job.override_mpp)
        size, power = slide.dimensions, slide.properties.get("openslide.objective-power")
        count = slide.level_count
    side = settings.encoder.pixels.side_px

    def laid_out(mpp: float, stated_by: str) -> TileGrid:
        return tile_grid(path, size, mpp, stated_by, settings.tile_um, side, settings.tests)

    try:
        grid = laid_out(found.mpp, found.stated_by)
    except InputError:
        if job.mpp is None or found.stated_by == GIVEN:
            raise
        grid = laid_out(job.mpp, GIVEN)  # what the slide states is of no use
    levels = judged_levels(path)
    grid = replace(grid, left_out=tuple(level for level in range(count) if level not in levels.used))
    return grid, float(power) if power else UM_AT_1X / grid.mpp, levels


def _counted(
    grid: TileGrid,
    corners: NDArray[np.int64],
    pool: ReadingPool,
    failed: dict[str, int],
    damaged: list[str],
) -> Iterator[reading.Chunk]:
    """The chunks of tiles; those that failed are added to `failed` by test, and damaged places to `damaged`.

    Raises InputError where more of the slide is damaged than can be left out.
    """
    for chunk in reading.tiles(grid, corners, pool):
        damaged += chunk.damaged
        if grid.beyond_repair(len(damaged)):
            raise InputError(f"{damaged[0]}; {len(damaged)} tiles are damaged so far, too many to go without")
        for test, number in chunk.failed.items():
            failed[test] = failed.get(test, 0) + number
        yield chunk


def _indices(grid: TileGrid, corners: NDArray[np.int64]) -> NDArray[np.int64]:
    """Positions in `grid.corners()` of the tiles at these corners (n, 2)."""
    columns, rows = corners[:, 0] // grid.level0_px, corners[:, 1] // grid.level0_px
    return rows * grid.columns + columns


def _feature_attributes(job: SlideJob, encoder: LoadedEncoder, name: str) -> dict[str, Any]:
    facts: dict[str, Any] = {"name": name, **job.settings.encoder.record.attributes()}
    facts |= {"pooling": job.settings.pooling or "default", "precision": job.settings.precision}
    if encoder.feature_names:
        facts["feature_names"] = ",".join(encoder.feature_names)
    return facts


def _coord_attributes(grid: TileGrid, magnification: float, name: str) -> dict[str, Any]:
    """The attributes that TRIDENT writes, and the resolution."""
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
    """The encoder, loaded once per process."""
    return encoder.load(pooling, precision, device, threads)

"""Time and weigh `prime encode slides`: its stages apart, a plain loop beside it, a slide of gigapixel size.

    python benchmarks/slides.py [--slide SLIDE --mpp 0.5] [--encoder FOLDER] [--workers 1 2] [--repeats 3]
    python benchmarks/slides.py --memory [--encoder FOLDER]

Without a slide one is made up: half tissue of coarse noise, half background, in a tiled, pyramidal TIFF. The
plain loop reads every tile at level 0, one after the other, resizes it, tests entropy and brightness, and
encodes what is kept in batches. Reading and filtering apart are of all tiles, encoding of the kept ones.
Medians are printed, in tiles of the grid a second (encoding: kept tiles a second).

--memory runs the whole of one slide in a process of its own, for slides of 120 megapixels and of 1.2
gigapixels, with and without a pyramid, and prints each process's peak memory.
"""

import argparse
import resource
import statistics
import subprocess
import sys
import tempfile
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import tifffile
from PIL import Image

from prime.encode.slides import reading
from prime.encode.slides.encoders import find_encoder
from prime.encode.slides.encoders.interface import EncoderChoice, LoadedEncoder
from prime.encode.slides.filters import TissueTests, grey
from prime.encode.slides.grid import TileGrid, tile_grid
from prime.encode.slides.reading_pool import reading_pool, reading_processes
from prime.encode.slides.slide_file import open_slide, resolution
from prime.encode.slides.slide_stage import SlideJob, SlideSettings, encode_slide
from prime.encode.work import Piece
from prime.libraries import quiet_libraries

SIDE = 256  # pixels of a tile of the file
BATCH = 64
TISSUE = 0.5  # share of a made-up slide's rows that hold tissue
TILE_UM = 256.0
SMALL, MIDDLE, LARGE = (12_800, 9_472), (25_600, 18_944), (40_448, 30_208)
PYRAMID = (1, 4, 16)
WEIGHED = {
    "120 megapixels": (SMALL, PYRAMID),
    "1.2 gigapixels": (LARGE, PYRAMID),
    "1.2 gigapixels in one level": (LARGE, (1,)),
}


def compressed_tiles() -> tuple[list[bytes], list[bytes]]:
    """A few compressed tiles of tissue made of coarse noise, and one of background."""
    generator = np.random.default_rng(0)
    tissue: list[bytes] = []
    for _ in range(8):
        shade = generator.integers(0, 160, (SIDE // 4, SIDE // 4, 1)).repeat(4, axis=0).repeat(4, axis=1)
        pixels = np.array([210, 110, 190]) - shade * np.array([0.9, 0.6, 0.3])
        tissue.append(zlib.compress(np.clip(pixels, 0, 255).astype(np.uint8).tobytes()))
    return tissue, [zlib.compress(np.full((SIDE, SIDE, 3), 245, dtype=np.uint8).tobytes())]


def make_slide(path: Path, size_px: tuple[int, int], factors: tuple[int, ...] = PYRAMID) -> Path:
    """Write a tiled TIFF of (width, height) at 0.25 um from generators of tiles: nothing is held."""
    mpp = 0.25
    tissue, background = compressed_tiles()
    with tifffile.TiffWriter(path, bigtiff=True) as file:
        for level, factor in enumerate(factors):
            columns, rows = (max(1, side // factor // SIDE) for side in size_px)

            def stream(columns: int = columns, rows: int = rows) -> Iterator[bytes]:
                for row in range(rows):
                    kinds = tissue if row < TISSUE * rows else background
                    for column in range(columns):
                        yield kinds[(7 * row + column) % len(kinds)]

            file.write(
                stream(), shape=(rows * SIDE, columns * SIDE, 3), dtype=np.uint8, tile=(SIDE, SIDE),
                photometric="rgb", compression="zlib", subfiletype=int(level > 0),
                resolution=(10_000 / mpp / factor, 10_000 / mpp / factor), resolutionunit="CENTIMETER",
                metadata=None,
            )  # fmt: skip
    return path


def grid_of(path: Path, mpp: float | None, tile_px: int, tests: TissueTests) -> TileGrid:
    with open_slide(path) as slide:
        found = resolution(slide.properties, path, mpp)
        return tile_grid(path, slide.dimensions, found.mpp, found.stated_by, TILE_UM, tile_px, tests)


def plain_loop(grid: TileGrid, encoder: LoadedEncoder) -> int:
    """Every tile at level 0, one after the other. Returns how many were kept."""
    kept, batch = 0, []
    limit = grid.tests.brightness or 256
    with open_slide(grid.path) as slide:
        for x, y in grid.corners():
            region = slide.read_region((int(x), int(y)), 0, (grid.level0_px, grid.level0_px)).convert("RGB")
            tile = np.asarray(region.resize((grid.tile_px, grid.tile_px), Image.Resampling.BILINEAR))
            if grey(tile).mean() >= limit or grid.tests.failed(tile):
                continue
            batch.append(tile)
            kept += 1
            if len(batch) == BATCH:
                encoder.encode(np.stack(batch))
                batch = []
    if batch:
        encoder.encode(np.stack(batch))
    return kept


def whole(grid: TileGrid, encoder: LoadedEncoder, workers: int) -> int:
    """The command's way. Returns how many were kept."""
    kept = 0
    work = reading_pool(workers)
    tissue = reading.below_brightness(grid, reading.overview(grid, work))
    for _, tiles in reading.batches(reading.tiles(grid, grid.corners()[tissue], work), BATCH):
        encoder.encode(tiles)
        kept += len(tiles)
    reading.close()
    return kept


def read_all(grid: TileGrid, workers: int) -> None:
    work = reading_pool(workers)
    for _ in reading.tiles(grid, grid.corners(), work):
        pass
    reading.close()


def seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def speed(slide: Path, mpp: float | None, name: str, workers: list[int], repeats: int) -> None:
    """Print medians of tiles a second."""
    found = find_encoder(EncoderChoice(name))
    encoder, side = found.load(), found.pixels.side_px
    every, tested = (grid_of(slide, mpp, side, t) for t in (TissueTests(None, None, None), TissueTests()))
    work = reading_pool(1)
    tiles = np.concatenate([chunk.tiles for chunk in reading.tiles(every, every.corners(), work)])
    reading.close()
    kept = [tile for tile in tiles if grey(tile).mean() < 240 and tested.tests.failed(tile) is None]
    batches = [np.stack(kept[i : i + BATCH]) for i in range(0, len(kept), BATCH)]
    works: dict[str, tuple[int, Callable[[], object]]] = {
        "filtering": (len(tiles), lambda: [tested.tests.failed(tile) for tile in tiles]),
        "encoding": (len(kept), lambda: [encoder.encode(batch) for batch in batches]),
        "plain loop": (len(tiles), lambda: plain_loop(tested, encoder)),
    }
    for number in workers:
        works[f"reading, {number} workers"] = (len(tiles), lambda n=number: read_all(every, n))
        works[f"everything, {number} workers"] = (len(tiles), lambda n=number: whole(tested, encoder, n))
    taken = {label: [seconds(work) for _ in range(repeats)] for label, (_, work) in works.items()}
    print(f"{slide.name}: {len(tiles)} tiles, {len(kept)} kept, encoder {name}, medians of {repeats}")
    for label, (count, _) in works.items():
        print(f"  {label:24s} {count / statistics.median(taken[label]):8.1f} tiles/s")


def weigh(slide: Path, name: str, workers: int) -> None:
    """Encode a slide in this process and print its peak memory."""
    settings = SlideSettings(find_encoder(EncoderChoice(name)), None, "float32", TILE_UM, TissueTests())
    job = SlideJob(settings, None, "cpu", BATCH, workers, 1)
    out = slide.parent / f"{slide.stem}_out"
    facts = encode_slide(job, Piece("slide", (slide,), (out / "slide.h5", out / "slide.jpg")))
    if workers > 1:
        reading_processes(workers).shutdown()  # a process is weighed once it has ended
    here, child = (
        resource.getrusage(who).ru_maxrss / 1024 for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    )
    workers_text = f", largest reading process {child:.0f} MiB" if workers > 1 else ""
    print(f"{facts['kept']} of {facts['tiles']} tiles kept, peak {here:.0f} MiB{workers_text}")


def memory(name: str, workers: list[int]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        for label, (size, factors) in WEIGHED.items():
            slide = make_slide(Path(folder) / "slide.tif", size, factors)
            for number in workers:
                print(f"{label} ({size[0]} x {size[1]}), {number} workers: ", end="", flush=True)
                own = [sys.executable, __file__, "--weigh", str(slide), "--encoder", name]
                subprocess.run([*own, "--workers", str(number)], check=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--slide", type=Path)
    parser.add_argument("--mpp", type=float)
    parser.add_argument("--encoder", default="colour")
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--memory", action="store_true")
    parser.add_argument("--weigh", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    quiet_libraries()
    if arguments.weigh:
        weigh(arguments.weigh, arguments.encoder, arguments.workers[0])
    elif arguments.memory:
        memory(arguments.encoder, arguments.workers)
    elif arguments.slide:
        speed(arguments.slide, arguments.mpp, arguments.encoder, arguments.workers, arguments.repeats)
    else:
        with tempfile.TemporaryDirectory() as folder:
            slide = make_slide(Path(folder) / "made_up.tif", MIDDLE)
            speed(slide, None, arguments.encoder, arguments.workers, arguments.repeats)


if __name__ == "__main__":
    main()

"""Slides to tiles: resolution, grid, pixels against plain reading, order, and how much is held at once."""

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from prime.encode.slides import reading
from prime.encode.slides.filters import TissueTests, entropy, grey
from prime.encode.slides.grid import TileGrid, tile_grid
from prime.encode.slides.levels import Levels, judged_levels
from prime.encode.slides.reading_pool import AHEAD, reading_pool
from prime.encode.slides.slide_file import open_slide, resolution
from prime.errors import InputError
from tests.encode.slide_files import damage, tissue, write_dicom, write_levels, write_slide

EVERYTHING = TissueTests(None, None, None)


def grid_of(path: Path, tile_um: float, tile_px: int, tests: TissueTests = EVERYTHING) -> TileGrid:
    with open_slide(path) as slide:
        found = resolution(slide.properties, path)
        return tile_grid(path, slide.dimensions, found.mpp, found.stated_by, tile_um, tile_px, tests)


@pytest.mark.parametrize(
    ("properties", "mpp", "stated_by"),
    [
        ({"openslide.mpp-x": "0.25", "openslide.mpp-y": "0.252", "aperio.MPP": "9"}, 0.251,
         "openslide.mpp-x"),
        ({"openslide.mpp-x": "0.25", "openslide.mpp-y": "0.5", "aperio.MPP": "0.4"}, 0.4, "aperio.MPP"),
        ({"aperio.MPP": "no", "openslide.comment": "x|MPP = 0.5|"}, 0.5, "MPP in the description"),
        ({"tiff.XResolution": "20000", "tiff.YResolution": "20000", "tiff.ResolutionUnit": "centimeter"}, 0.5,
         "tiff.XResolution"),
        ({"tiff.XResolution": "50800", "tiff.ResolutionUnit": "inch"}, 0.5, "tiff.XResolution"),
        ({"tiff.ImageDescription": '<Pixels PhysicalSizeX="0.5" PhysicalSizeY="0.5">'}, 0.5, "OME-XML"),
        ({"tiff.XResolution": "72", "tiff.ResolutionUnit": "inch"}, 0.3, "--mpp"),
        ({"tiff.XResolution": "1", "tiff.ResolutionUnit": "none"}, 0.3, "--mpp"),
        ({"openslide.comment": '<Pixels PhysicalSizeX="500" PhysicalSizeXUnit="nm">'}, 0.3, "--mpp"),
    ],
)  # fmt: skip
def test_where_the_resolution_is_found(properties: dict[str, str], mpp: float, stated_by: str) -> None:
    found = resolution(properties, Path("a.svs"), given=0.3)
    assert (found.mpp, found.stated_by) == (pytest.approx(mpp), stated_by)


def test_no_resolution_is_an_error_that_says_what_to_do() -> None:
    with pytest.raises(
        InputError, match=r"a\.svs: its metadata state no resolution \(it states .* 20x\).*--mpp"
    ):
        resolution({"openslide.objective-power": "20"}, Path("a.svs"))


def test_the_grid_by_hand() -> None:
    grid = tile_grid(Path("a"), (1000, 700), 0.5, "here", 100.0, 200, EVERYTHING)
    assert (grid.level0_px, grid.columns, grid.rows, grid.overview_px) == (200, 5, 3, 200)
    corners = grid.corners().tolist()
    assert corners[:6] == [[0, 0], [200, 0], [400, 0], [600, 0], [800, 0], [0, 200]]
    assert corners == sorted(corners, key=lambda corner: (corner[1], corner[0]))
    assert tile_grid(Path("a"), (400_000, 1000), 0.5, "here", 100.0, 200, EVERYTHING).overview_px == 8
    with pytest.raises(InputError, match="less than one tile"):
        tile_grid(Path("a"), (1000, 199), 0.5, "here", 100.0, 200, EVERYTHING)
    with pytest.raises(InputError, match="10 pixels, too few for 200"):
        tile_grid(Path("a"), (1000, 700), 10, "here", 100.0, 200, EVERYTHING)


def test_pixels_are_those_of_the_file_at_its_own_scale(tmp_path: Path) -> None:
    picture = tissue(300, 400)
    grid = grid_of(write_slide(tmp_path / "a.tif", picture), 64, 64)
    work = reading_pool(1)
    for chunk in reading.tiles(grid, grid.corners(), work):
        for (x, y), tile in zip(chunk.corners, chunk.tiles, strict=True):
            assert np.array_equal(tile, picture[y : y + 64, x : x + 64])
    overview = reading.overview(grid, work)
    reading.close()
    assert np.array_equal(overview, picture[:256, :384])


def test_a_coarser_level_is_read_where_it_suffices(tmp_path: Path) -> None:
    picture = tissue(512, 512)
    path = write_slide(tmp_path / "a.tif", picture, levels=2)
    with tifffile.TiffFile(path) as file:
        half = file.pages[1].asarray()
    grid = grid_of(path, 128, 64)
    work = reading_pool(1)
    chunks = list(reading.tiles(grid, grid.corners(), work))
    reading.close()
    (x, y), tile = chunks[0].corners[5], chunks[0].tiles[5]
    assert np.array_equal(tile, half[y // 2 : y // 2 + 64, x // 2 : x // 2 + 64])


def test_other_scales_are_resized_in_one_step(tmp_path: Path) -> None:
    picture = tissue(512, 512)
    grid = grid_of(write_slide(tmp_path / "a.tif", picture), 100, 70)
    work = reading_pool(1)
    chunk = next(reading.tiles(grid, grid.corners(), work))
    reading.close()
    (x, y) = chunk.corners[6]
    cut = Image.fromarray(picture[y : y + 100, x : x + 100]).resize((70, 70), Image.Resampling.BILINEAR)
    assert np.array_equal(chunk.tiles[6], np.asarray(cut))


def test_below_brightness_agrees_with_each_tile(tmp_path: Path) -> None:
    picture = tissue(512, 768)
    tests = TissueTests(None, 200.0, None)
    grid = grid_of(write_slide(tmp_path / "a.tif", picture), 64, 64, tests)
    work = reading_pool(1)
    found = reading.below_brightness(grid, reading.overview(grid, work))
    reading.close()
    expected = [grey(picture[y : y + 64, x : x + 64]).mean() < 200 for x, y in grid.corners()]
    assert found.tolist() == expected
    assert 0 < sum(expected) < len(expected)


def test_only_tiles_that_pass_are_kept_and_the_rest_is_counted(tmp_path: Path) -> None:
    picture = tissue(512, 768)
    grid = grid_of(write_slide(tmp_path / "a.tif", picture), 64, 64, TissueTests())
    work = reading_pool(1)
    chunks = list(reading.tiles(grid, grid.corners(), work))
    reading.close()
    expected = [
        [int(x), int(y)] for x, y in grid.corners() if entropy(grey(picture[y : y + 64, x : x + 64])) >= 5
    ]
    assert np.concatenate([chunk.corners for chunk in chunks]).tolist() == expected
    assert sum(sum(chunk.failed.values()) for chunk in chunks) == 96 - len(expected)


def test_batches_depend_on_the_tiles_alone() -> None:
    tiles = np.arange(23 * 3, dtype=np.uint8).reshape(23, 1, 1, 3)
    corners = np.arange(46).reshape(23, 2)

    def cut(*ends: int) -> Iterator[reading.Chunk]:
        for start, end in zip((0, *ends), (*ends, 23), strict=True):
            yield reading.Chunk(corners[start:end], tiles[start:end], {})

    one, other = list(reading.batches(cut(), 5)), list(reading.batches(cut(2, 2, 11, 12), 5))
    assert [len(batch[0]) for batch in one] == [5, 5, 5, 5, 3]
    for (a, b), (c, d) in zip(one, other, strict=True):
        assert np.array_equal(a, c)
        assert np.array_equal(b, d)
    assert np.array_equal(np.concatenate([pixels for _, pixels in one]), tiles)


def double(grid: TileGrid, number: int) -> int:
    return 2 * number


def explode(grid: TileGrid, number: int) -> int:
    raise InputError(f"{grid.path}: number {number}")


def die(grid: TileGrid, number: int) -> int:
    os._exit(9)


def test_a_killed_reading_process_is_told() -> None:
    grid = tile_grid(Path("a"), (1000, 700), 0.5, "here", 100.0, 200, EVERYTHING)
    work = reading_pool(2)
    with pytest.raises(InputError, match="a: a reading process was killed"):
        list(work.map(die, grid, range(3)))


@pytest.mark.parametrize("processes", [1, 2])
def test_tasks_keep_their_order_and_few_are_held(processes: int) -> None:
    grid = tile_grid(Path("a"), (1000, 700), 0.5, "here", 100.0, 200, EVERYTHING)
    taken: list[int] = []

    def numbers() -> Iterator[int]:
        for number in range(30):
            taken.append(number)
            yield number

    ahead: list[int] = []
    found: list[int] = []
    work = reading_pool(processes)
    for result in work.map(double, grid, numbers()):
        found.append(result)
        ahead.append(len(taken) - len(found))
    with pytest.raises(InputError, match="a: number 0"):
        list(work.map(explode, grid, range(3)))
    assert found == [2 * number for number in range(30)]
    assert max(ahead) <= AHEAD * processes


def test_what_was_not_scanned_is_white(tmp_path: Path) -> None:
    paths = write_dicom(tmp_path / "slide", np.full((128, 192, 3), 9, dtype=np.uint8), 1.0)
    grid = tile_grid(paths[0], (192, 192), 1.0, "here", 96.0, 96, EVERYTHING)
    work = reading_pool(1)
    tiles = np.concatenate([chunk.tiles for chunk in reading.tiles(grid, grid.corners(), work)])
    reading.close()
    assert (tiles[:2] == 9).all()
    assert (tiles[2:, :32] == 9).all()
    assert (tiles[2:, 32:] == 255).all()


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"no slide at all", "not a slide that OpenSlide reads"), (None, "not a slide that OpenSlide reads")],
)
def test_what_is_no_slide(content: bytes | None, message: str, tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    if content is None:
        Image.fromarray(tissue(64, 64)).save(path)
    else:
        path.write_bytes(content)
    with pytest.raises(InputError, match=rf"a\.tif: {message}"):
        open_slide(path)


def test_tiles_that_are_damaged_are_left_out_with_their_places(tmp_path: Path) -> None:
    picture = tissue(1024, 1024)
    path = write_slide(tmp_path / "a.tif", picture, levels=2)
    damage(path, 0, 18)  # the third of the third row
    grid = grid_of(path, 64, 64)
    work = reading_pool(1)
    chunks = list(reading.tiles(grid, grid.corners(), work))
    overview = reading.overview(grid, work)
    reading.close()
    kept = {(int(x), int(y)) for chunk in chunks for x, y in chunk.corners}
    lost = {(x, y) for x in (256, 320) for y in (256, 320)}
    assert kept == {(int(x), int(y)) for x, y in grid.corners()} - lost
    for chunk in chunks:
        for (x, y), tile in zip(chunk.corners, chunk.tiles, strict=True):
            assert np.array_equal(tile, picture[y : y + 64, x : x + 64])
    places = [place for chunk in chunks for place in chunk.damaged]
    assert [place.split("near pixel ")[1][:10] for place in places] == [
        "(256, 256)", "(320, 256)", "(256, 320)", "(320, 320)",
    ]  # fmt: skip
    assert sum(chunk.failed.get("damaged", 0) for chunk in chunks) == 4
    assert (overview[256:384, 256:384] == reading.DAMAGED).all()
    assert np.array_equal(overview[384:], picture[384:])


def test_a_slide_with_too_much_damage_fails_and_names_the_first_place(tmp_path: Path) -> None:
    path = write_slide(tmp_path / "a.tif", tissue(512, 512))
    damage(path, 0, 5)
    grid = grid_of(path, 64, 64)
    for part in (reading.tiles(grid, grid.corners(), reading_pool(1)), [None]):
        with pytest.raises(InputError, match=r"a\.tif: damaged near pixel \(128, 128\)"):
            list(part) if part != [None] else reading.overview(grid, reading_pool(1))
    reading.close()


def halved(picture: np.ndarray, down: int, right: int) -> np.ndarray:
    """The picture with the mean of every block of so many pixels."""
    height, width = picture.shape[0] // down * down, picture.shape[1] // right * right
    blocks = picture[:height, :width].reshape(height // down, down, width // right, right, 3)
    return blocks.mean(axis=(1, 3)).round().astype(np.uint8)


def test_a_level_of_another_aspect_ratio_is_not_read(tmp_path: Path) -> None:
    picture = tissue(512, 512)
    path = write_levels(tmp_path / "a.tif", [picture, halved(picture, 4, 2)])
    grid = grid_of(path, 64, 16)  # the second level would do, were it not squeezed
    work = reading_pool(1)
    chunks = list(reading.tiles(grid, grid.corners(), work))
    reading.close()
    for chunk in chunks:
        for (x, y), tile in zip(chunk.corners, chunk.tiles, strict=True):
            cut = Image.fromarray(picture[y : y + 64, x : x + 64]).resize((16, 16), Image.Resampling.BILINEAR)
            assert np.array_equal(tile, np.asarray(cut))
    assert judged_levels(path) == Levels((0,), ("level 1 has another aspect ratio",))


@pytest.mark.parametrize("sides", [(513, 771), (1023, 1025), (4000, 517)])
def test_levels_cut_to_whole_pixels_are_read(tmp_path: Path, sides: tuple[int, int]) -> None:
    picture = tissue(*sides)
    path = write_slide(tmp_path / "a.tif", picture, levels=3)
    assert judged_levels(path) == Levels((0, 1, 2))


@pytest.mark.parametrize("seed", range(4))
def test_a_speck_of_tissue_makes_no_level_suspect(tmp_path: Path, seed: int) -> None:
    draw = np.random.default_rng(seed)
    picture = np.full((1500, 1700, 3), 245, dtype=np.uint8)
    for side in (40, 90, 200):
        y, x = draw.integers(0, 1300, 2)
        picture[y : y + side, x : x + side] = draw.integers(60, 220, (side, side, 3))
    assert judged_levels(write_slide(tmp_path / "a.tif", picture, levels=6)).used == (0, 1, 2, 3, 4, 5)


def test_levels_that_show_another_picture_are_not_read(tmp_path: Path) -> None:
    picture = tissue(512, 768)
    half, quarter = halved(picture, 2, 2), halved(picture, 4, 4)
    white = np.full_like(half, 250)
    path = write_levels(tmp_path / "a.tif", [picture, white, quarter])
    assert judged_levels(path) == Levels((0, 2), ("level 1 shows another picture than level 0",))
    path = write_levels(tmp_path / "b.tif", [picture, half[:, ::-1][::-1] // 2, quarter])
    assert judged_levels(path).used == (0, 2)
    path = write_levels(tmp_path / "c.tif", [np.full_like(picture, 250), half])
    with pytest.raises(InputError, match=r"c\.tif: level 0 is blank where level 1 shows tissue"):
        judged_levels(path)
    path = write_levels(tmp_path / "d.tif", [np.full_like(picture, 250), white])
    assert judged_levels(path).used == (0, 1)
    path = write_slide(tmp_path / "e.tif", picture, levels=3)
    damage(path, 0, 2)
    assert judged_levels(path).used == (0, 1, 2)


def test_the_users_resolution_can_overrule_what_a_slide_states() -> None:
    properties = {"openslide.mpp-x": "0.25", "openslide.mpp-y": "0.25"}
    found = resolution(properties, Path("a.svs"), given=0.5, override=True)
    assert (found.mpp, found.stated_by) == (0.5, "--mpp")
    assert resolution(properties, Path("a.svs"), given=0.5).mpp == 0.25


@pytest.mark.parametrize("processes", [1, 2])
def test_a_file_that_was_replaced_is_opened_again(processes: int, tmp_path: Path) -> None:
    """The reading processes outlive a slide and keep the last one open."""
    path = tmp_path / "a.tif"
    for shade in (10, 200):
        write_slide(path, np.full((256, 256, 3), shade, dtype=np.uint8))
        grid = grid_of(path, 64, 64)
        for chunk in reading.tiles(grid, grid.corners(), reading_pool(processes)):
            assert (chunk.tiles == shade).all()
    reading.close()

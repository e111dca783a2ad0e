"""Feature files of several programs to centroids: what is read, in which order, and what comes out."""

from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from prime.cohort.readers.tokens import TokenSource, read_tokens
from prime.cohort.tile_links import NO_LINKS, SlideFrame, read_links
from prime.encode.slides.centroid_stage import centroid_pieces, make_centroids
from prime.encode.slides.centroids import centroids, padded
from prime.encode.slides.feature_files import feature_writer, read_tiles
from prime.encode.slides.inputs import by_patient, find_inputs
from prime.encode.slides.options import ClusterOptions
from prime.encode.work import Piece
from prime.errors import InputError

Rows = NDArray[np.float32]


@pytest.mark.parametrize("patient", ["../../../evil", "a/b", "/abs", "a.b", "x" * 230, "a\\b"])
def test_a_patient_of_a_slide_table_is_no_path(tmp_path: Path, patient: str) -> None:
    trident(tmp_path / "in" / "s1.h5", *bag(3))
    (tmp_path / "slides.csv").write_text(f"PATIENT,FILENAME\n{patient},s1.h5\n")
    found, _ = find_inputs([tmp_path / "in"], tmp_path / "out")
    with pytest.raises(InputError, match=r"slides\.csv: patient .* cannot name a file"):
        by_patient(found, tmp_path / "slides.csv", None)


SETTINGS = ClusterOptions(4)


def bag(tiles: int, dim: int = 3, seed: int = 0) -> tuple[Rows, NDArray[np.int64]]:
    """Features, and coordinates sorted by y, then x."""
    generator = np.random.default_rng(seed)
    coords = np.stack([np.arange(tiles) % 5, np.arange(tiles) // 5], axis=1) * 256
    return generator.normal(size=(tiles, dim)).astype(np.float32), coords


def write(path: Path, **datasets: NDArray[np.generic]) -> h5py.File:
    path.parent.mkdir(parents=True, exist_ok=True)
    file = h5py.File(path, "w")
    for name, values in datasets.items():
        file[name] = values
    return file


def trident(path: Path, rows: Rows, coords: NDArray[np.int64]) -> None:
    with write(path, features=rows, coords=coords) as file:
        file["features"].attrs["encoder"] = "uni_v1"


def clam(path: Path, rows: Rows, coords: NDArray[np.int64]) -> None:
    write(path, features=rows[None], coords=coords).close()


def stamp(path: Path, rows: Rows, coords: NDArray[np.int64]) -> None:
    with write(path, feats=rows, coords=coords * 0.5) as file:
        file.attrs.update(
            {"stamp_version": "2.0", "feat_type": "tile", "extractor": "ctranspath", "unit": "um"}
        )


def marugoto(path: Path, rows: Rows, coords: NDArray[np.int64]) -> None:
    noise = np.full_like(rows, 99)
    flags = np.repeat([False, True], len(rows))
    write(path, feats=np.concatenate([rows, noise]), coords=np.tile(coords, (2, 1)), augmented=flags).close()


@pytest.mark.parametrize("layout", [trident, clam, stamp, marugoto])
def test_files_of_other_programs_give_sorted_tiles(layout: Callable[..., None], tmp_path: Path) -> None:
    rows, coords = bag(23)
    order = np.random.default_rng(1).permutation(23)
    layout(tmp_path / "a.h5", rows[order], coords[order])
    assert np.array_equal(read_tiles(tmp_path / "a.h5").features, rows)


def test_a_tensor_keeps_its_order(tmp_path: Path) -> None:
    rows, _ = bag(5)
    torch.save(torch.from_numpy(rows), tmp_path / "a.pt")
    assert np.array_equal(read_tiles(tmp_path / "a.pt").features, rows)


def test_a_vector_of_a_slide_holds_no_tiles(tmp_path: Path) -> None:
    with write(tmp_path / "a.h5", feats=np.zeros((1, 3))) as file:
        file.attrs.update({"stamp_version": "2.0", "feat_type": "slide"})
    with pytest.raises(InputError, match=r"a\.h5: holds one vector of a slide"):
        read_tiles(tmp_path / "a.h5")


def test_what_we_write_is_trident_s_layout(tmp_path: Path) -> None:
    rows, coords = bag(7)
    with feature_writer(tmp_path / "a.h5", 3) as file:
        file.append(rows[:4], coords[:4])
        file.append(rows[4:], coords[4:])
        file.set_attributes({"encoder": "e"}, {"patch_size": 224})
    with h5py.File(tmp_path / "a.h5") as found:
        assert np.array_equal(found["features"][()], rows)
        assert np.array_equal(found["coords"][()], coords)
        assert (found["coords"].dtype, found["features"].dtype) == (np.int64, np.float32)
        assert found["features"].attrs["encoder"] == "e"
    with pytest.raises(ZeroDivisionError), feature_writer(tmp_path / "b.h5", 3):
        raise ZeroDivisionError
    assert [path.name for path in tmp_path.iterdir()] == ["a.h5"]


def test_groups_that_lie_apart_are_found_with_their_counts() -> None:
    sizes = [40, 7, 300, 111]
    corners = np.array([[0, 0], [100, 0], [0, 100], [100, 100]], dtype=np.float32)
    noise = np.random.default_rng(0).uniform(-1, 1, (sum(sizes), 2)).astype(np.float32)
    found, counts, _ = centroids(corners.repeat(sizes, axis=0) + noise, 4)
    order = np.lexsort((found[:, 0], found[:, 1]))
    assert counts[order].tolist() == sizes
    assert np.abs(found[order] - corners).max() < 1
    assert (found.dtype, counts.dtype) == (np.float32, np.int64)


def test_each_tile_is_counted_at_its_nearest_centroid() -> None:
    rows, _ = bag(900)
    found, counts, of_tile = centroids(rows, 128)
    distances = np.linalg.norm(rows[:, None].astype(np.float64) - found[None], axis=2)
    assert np.array_equal(distances.argmin(axis=1), of_tile)
    assert np.array_equal(np.bincount(of_tile, minlength=len(found)), counts)
    within = (distances.min(axis=1) ** 2).sum()
    drawn = rows[np.random.default_rng(0).choice(900, 128, replace=False)]
    at_random = (np.linalg.norm(rows[:, None] - drawn[None], axis=2).min(axis=1) ** 2).sum()
    assert 100 < len(found) <= 128
    assert within < at_random
    again, same, _ = centroids(rows, 128)
    assert np.array_equal(again, found)
    assert np.array_equal(same, counts)
    assert not np.array_equal(centroids(rows, 128, seed=1)[0], found)


def test_few_tiles_stand_for_themselves() -> None:
    rows, _ = bag(4)
    found, counts, of_tile = centroids(rows, 4)
    assert np.array_equal(found, rows)
    assert counts.tolist() == [1, 1, 1, 1]
    assert of_tile.tolist() == [0, 1, 2, 3]
    filled, mask = padded(rows, 6)
    assert mask.tolist() == [True] * 4 + [False] * 2
    assert np.array_equal(filled[mask], rows)
    assert (filled[~mask] == 0).all()


def test_equal_tiles_leave_no_empty_centroid() -> None:
    found, counts, of_tile = centroids(np.ones((500, 3), dtype=np.float32), 128)
    assert counts.sum() == 500
    assert (counts > 0).all()
    assert np.array_equal(np.bincount(of_tile), counts)
    assert np.allclose(found, 1)


def test_the_order_of_tiles_in_a_file_does_not_matter(tmp_path: Path) -> None:
    rows, coords = bag(300)
    for name, seed in (("a", 1), ("b", 2)):
        order = np.random.default_rng(seed).permutation(300)
        stamp(tmp_path / name / "s.h5", rows[order], coords[order])
        make_centroids(SETTINGS, Piece("p", (tmp_path / name / "s.h5",), (tmp_path / name / "p.h5",)))
    assert (tmp_path / "a" / "p.h5").read_bytes() == (tmp_path / "b" / "p.h5").read_bytes()


def test_a_patient_s_slides_are_pooled(tmp_path: Path) -> None:
    (one, coords), (two, _) = bag(40), bag(40, seed=1)
    for name, rows in (("a", one), ("b", two)):
        trident(tmp_path / f"{name}.h5", rows, coords)
    piece = Piece("p", (tmp_path / "a.h5", tmp_path / "b.h5"), (tmp_path / "out" / "p.h5",))
    assert make_centroids(SETTINGS, piece) == {"tiles": 80, "centroids": 4}
    expected, counts, of_tile = centroids(np.concatenate([one, two]), 4)
    with h5py.File(piece.outputs[0]) as file:
        assert np.array_equal(file["features"][()], expected)
        assert np.array_equal(file["counts"][()], counts)
        assert dict(file["features"].attrs) == {
            "encoder": "uni_v1", "name": "p", "slides": "a,b", "tiles": 80, "clusters": 4, "seed": 42,
            "scope": "patient",
        }  # fmt: skip
    source = TokenSource(reader="h5", path="out")
    read = dict(read_tokens(source, tmp_path, "test").patients)
    assert np.array_equal(read["p"], expected)
    links = read_links(piece.outputs[0])
    assert links.slides == (SlideFrame("a", 256), SlideFrame("b", 256))
    assert np.array_equal(links.slide, np.repeat([0, 1], 40))
    assert np.array_equal(links.coords, np.tile(coords, (2, 1)))
    assert np.array_equal(links.token, of_tile)
    assert np.array_equal(np.bincount(links.token), counts)


def test_readers_of_cohorts_do_not_see_the_links(tmp_path: Path) -> None:
    """The same file without the group gives the same rows, attributes, notes and format, bit for bit."""
    rows, coords = bag(300)
    trident(tmp_path / "s.h5", rows, coords)
    for folder in ("with", "without"):
        make_centroids(
            ClusterOptions(8, pad=True), Piece("p", (tmp_path / "s.h5",), (tmp_path / folder / "p.h5",))
        )
    with h5py.File(tmp_path / "without" / "p.h5", "a") as file:
        assert set(file) == {"features", "counts", "mask", "links"}
        del file["links"]
    found = [read_tokens(TokenSource(reader="h5", path=f), tmp_path, "test") for f in ("with", "without")]
    one, other = (dict(each.patients)["p"].tobytes() for each in found)
    assert one == other
    assert (found[0].detected, found[0].attributes) == (found[1].detected, found[1].attributes)
    assert read_links(tmp_path / "without" / "p.h5") is NO_LINKS


def test_links_take_what_each_program_states(tmp_path: Path) -> None:
    rows, coords = bag(7)
    trident(tmp_path / "t.h5", rows, coords)
    with h5py.File(tmp_path / "t.h5", "a") as file:
        file["coords"].attrs.update({"patch_size_level0": 200, "level0_width": 3000, "level0_height": 2000})
    stamp(tmp_path / "s.h5", rows, coords)
    with h5py.File(tmp_path / "s.h5", "a") as file:
        file.attrs["tile_size_um"] = 128.0
    assert read_links(tmp_path / "t.h5").slides == (SlideFrame("t", 200, 3000, 2000),)
    found = read_links(tmp_path / "s.h5")
    assert found.slides == (SlideFrame("s", 128, unit="um"),)
    assert np.array_equal(found.coords, coords / 2)
    assert found.token.tolist() == list(range(7))
    trident(tmp_path / "bare.h5", rows, coords)
    with h5py.File(tmp_path / "bare.h5", "a") as file:
        del file["coords"]
    make_centroids(SETTINGS, Piece("p", (tmp_path / "bare.h5", tmp_path / "t.h5"), (tmp_path / "p.h5",)))
    mixed = read_links(tmp_path / "p.h5")
    assert [slide.name for slide in mixed.slides] == ["t"]
    with h5py.File(tmp_path / "p.h5") as file:
        assert file["counts"][()].sum() == 14
    whole = centroids(np.concatenate([rows, rows]), 4)[2]
    assert np.array_equal(mixed.token, whole[7:])


def test_links_that_do_not_fit_together_are_refused(tmp_path: Path) -> None:
    rows, coords = bag(30)
    trident(tmp_path / "s.h5", rows, coords)
    make_centroids(SETTINGS, Piece("p", (tmp_path / "s.h5",), (tmp_path / "p.h5",)))
    with h5py.File(tmp_path / "p.h5", "a") as file:
        file["links/slide"][3] = 1
    with pytest.raises(InputError, match=r"p\.h5: links: its datasets do not fit together"):
        read_links(tmp_path / "p.h5")
    with h5py.File(tmp_path / "p.h5", "a") as file:
        del file["links/slides"]
    with pytest.raises(InputError, match=r"p\.h5: links/slides: no such texts"):
        read_links(tmp_path / "p.h5")
    (tmp_path / "q.h5").write_bytes(b"no file")
    with pytest.raises(InputError, match=r"q\.h5: not a whole HDF5 file"):
        read_links(tmp_path / "q.h5")


def test_links_are_small(tmp_path: Path) -> None:
    """20,000 tiles, of which slide, place and centroid are 16 bytes each as they are."""
    side = np.arange(20_000)
    coords = np.stack([side % 200, side // 200], axis=1) * 512
    rows = np.random.default_rng(0).normal(size=(20_000, 2)).astype(np.float32)
    trident(tmp_path / "s.h5", rows, coords)
    make_centroids(ClusterOptions(64), Piece("p", (tmp_path / "s.h5",), (tmp_path / "p.h5",)))
    assert (tmp_path / "p.h5").stat().st_size < 100_000
    assert len(read_links(tmp_path / "p.h5").token) == 20_000


def test_empty_slides_are_left_out_unless_all_are(tmp_path: Path) -> None:
    rows, coords = bag(9)
    trident(tmp_path / "a.h5", rows[:0], coords[:0])
    trident(tmp_path / "b.h5", rows, coords)
    out = (tmp_path / "p.h5",)
    assert make_centroids(SETTINGS, Piece("p", (tmp_path / "a.h5", tmp_path / "b.h5"), out))["tiles"] == 9
    with pytest.raises(InputError, match="a: no tile of tissue was kept"):
        make_centroids(SETTINGS, Piece("q", (tmp_path / "a.h5",), (tmp_path / "q.h5",)))


def test_slides_of_two_encoders_are_not_pooled(tmp_path: Path) -> None:
    rows, coords = bag(9)
    trident(tmp_path / "a.h5", rows, coords)
    stamp(tmp_path / "b.h5", rows, coords)
    trident(tmp_path / "c.h5", rows[:, :2], coords)
    out = (tmp_path / "p.h5",)
    with pytest.raises(
        InputError, match=r"a and b: made by different encoders \(encoder 'uni_v1' and None\)"
    ):
        make_centroids(SETTINGS, Piece("p", (tmp_path / "a.h5", tmp_path / "b.h5"), out))
    with pytest.raises(InputError, match="a has 3 features per tile, c 2"):
        make_centroids(SETTINGS, Piece("p", (tmp_path / "a.h5", tmp_path / "c.h5"), out))


def touch(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def test_what_is_found_in_folders(tmp_path: Path) -> None:
    touch(
        tmp_path,
        "in/b.svs",
        "in/deep/a.TIF",
        "in/readme.txt",
        "in/.c.svs",
        "in/m.mrxs",
        "in/m/1.dat",
        "in/out/x.h5",
    )
    found, are_features = find_inputs([tmp_path / "in"], tmp_path / "in" / "out")
    assert ([item.name for item in found], are_features) == (["a", "b", "m"], False)
    assert [path.name for path in found[2].files] == ["m.mrxs", "1.dat"]
    touch(tmp_path, "features/a.h5", "features/b.pt")
    found, are_features = find_inputs([tmp_path / "features", tmp_path / "features" / "a.h5"], tmp_path / "o")
    assert ([item.name for item in found], are_features) == (["a", "b"], True)
    assert find_inputs([tmp_path / "features"], tmp_path) == (found, True)


def test_inputs_that_can_not_be_meant(tmp_path: Path) -> None:
    touch(tmp_path, "a/x.svs", "b/x.tif", "c/y.h5", "d/z.txt")
    out = tmp_path / "o"
    with pytest.raises(InputError, match="have the same name"):
        find_inputs([tmp_path / "a", tmp_path / "b"], out)
    with pytest.raises(InputError, match=r"both slides and feature files \(x\.svs, y\.h5\)"):
        find_inputs([tmp_path / "a", tmp_path / "c"], out)
    with pytest.raises(InputError, match=r"no slide .* and no feature file there"):
        find_inputs([tmp_path / "d"], out)
    with pytest.raises(InputError, match="no such file or folder"):
        find_inputs([tmp_path / "e"], out)


def test_patients_by_name_table_and_pattern(tmp_path: Path) -> None:
    touch(tmp_path, "s/TCGA-AA-0001-01Z.x.svs", "s/TCGA-AA-0001-02Z.y.svs", "s/other.1.svs")
    found, _ = find_inputs([tmp_path / "s"], tmp_path / "o")

    def names(table: Path | None = None, pattern: str | None = None) -> dict[str, list[str]]:
        groups = by_patient(found, table, pattern)
        return {patient: [item.name for item in items] for patient, items in groups.items()}

    assert names() == {"TCGA-AA-0001": ["TCGA-AA-0001-01Z.x", "TCGA-AA-0001-02Z.y"], "other": ["other.1"]}
    assert list(names(pattern=r"([^.]+)$")) == ["1", "x", "y"]
    (tmp_path / "t.csv").write_text("PATIENT,FILENAME\nann,other.1.h5\nann,TCGA-AA-0001-02Z.y.svs\n")
    assert names(tmp_path / "t.csv") == {"ann": ["TCGA-AA-0001-02Z.y", "other.1"]}
    (tmp_path / "t.csv").write_text("PATIENT,FILENAME\nann,none\n")
    with pytest.raises(InputError, match="lists none of the 3 files"):
        names(tmp_path / "t.csv")
    with pytest.raises(InputError, match="not a regular expression"):
        names(pattern="(")


def test_pieces_are_named_after_their_group(tmp_path: Path) -> None:
    pieces = centroid_pieces({"p": [tmp_path / "a.h5", tmp_path / "b.h5"]}, tmp_path / "out")
    assert pieces == [Piece("p", (tmp_path / "a.h5", tmp_path / "b.h5"), (tmp_path / "out" / "p.h5",))]

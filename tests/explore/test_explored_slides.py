"""Tokens that moved the risk, the tiles behind them, maps, GeoJSON and pictures, against plain loops."""

import json
import re
import shutil
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from xml.etree import ElementTree

import h5py
import numpy as np
import pytest
from PIL import Image

from prime.cohort.config import load_cohort
from prime.cohort.tile_links import SlideFrame, read_links
from prime.errors import InputError
from prime.explore import tokens
from prime.explore.cohort import Explored
from prime.explore.slide_pages import SlidePages
from prime.explore.slide_pictures import SlidePictures
from prime.explore.tile_map import geojson, shade, source_maps, tile_map
from prime.explore.tokens import SlideTokens, leave_one_out, token_tiles
from prime.predict.predict import score_patients
from prime.store.store import Store
from tests.explore.slide_cohort import CENTROIDS, HEIGHT, MOST, SIDE, WIDTH, SlideCohort
from tests.small_model import SmallModel


def row_of(store: Store, patient: str) -> int:
    return store.patients["patient_id"].tolist().index(patient)


def test_a_token_counts_what_the_patient_without_it_changes(
    slides_shown: Explored, slide_cohort: SlideCohort, small_model: SmallModel, tmp_path: Path
) -> None:
    """The oracle takes the row from the file and packs the cohort again."""
    assert slides_shown.model is not None
    store = slides_shown.store
    row = row_of(store, slide_cohort.patient)
    found = leave_one_out(slides_shown.model, store, row, "tiles")
    assert found is not None
    change, together = found
    assert (len(change), together) == (CENTROIDS, 1)
    number = int(np.argmax(np.abs(change)))
    shutil.copytree(slide_cohort.cohort.parent, tmp_path / "cohort")
    with h5py.File(tmp_path / "cohort" / "slides" / f"{slide_cohort.patient}.h5", "a") as file:
        about, rows = dict(file["features"].attrs), file["features"][()]
        del file["features"]
        file["features"] = np.delete(rows, number, axis=0)
        file["features"].attrs.update(about)
    changed = small_model.packed(tmp_path / "cohort" / "cohort.yaml", tmp_path / "store")
    whole, without = (
        score_patients(slides_shown.model, each).patients["risk"].iloc[row] for each in (store, changed)
    )
    assert abs(change[number]) > 1e-4
    assert change[number] == pytest.approx(whole - without, abs=1e-6)


def test_many_tokens_are_left_out_with_their_neighbours(
    slides_shown: Explored, slide_cohort: SlideCohort, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert slides_shown.model is not None
    row = row_of(slides_shown.store, slide_cohort.patient)
    alone = leave_one_out(slides_shown.model, slides_shown.store, row, "tiles")
    monkeypatch.setattr(tokens, "AT_ONCE", 1)  # so that variants are scored two at a time
    again = leave_one_out(slides_shown.model, slides_shown.store, row, "tiles")
    assert alone is not None
    assert again is not None
    np.testing.assert_allclose(again[0], alone[0], atol=1e-6)
    monkeypatch.setattr(tokens, "MOST", 8)
    change, together = leave_one_out(slides_shown.model, slides_shown.store, row, "tiles") or ([], 0)
    assert together == 3
    assert [len(np.unique(part)) for part in np.array_split(change, 8)] == [1] * 8


def test_tiles_are_those_of_the_patient_s_files(slides_shown: Explored, slide_cohort: SlideCohort) -> None:
    store = slides_shown.store
    slides = SlideTokens(slides_shown.config)
    links = slides.links(store, "tiles", row_of(store, slide_cohort.patient))
    assert [frame.name for frame in links.slides] == list(slide_cohort.names)
    for number, corners in enumerate(slide_cohort.tiles):
        assert np.array_equal(links.coords[links.slide == number], corners)
    # each tile of another patient's file is a token itself, thinned as the reader thins
    other = next(r for r in range(len(store.patients)) if store.index("tiles")[r, 1] == MOST)
    path = Path(slides_shown.config.root) / "slides" / f"{store.patients['patient_id'].iloc[other]}.h5"
    with h5py.File(path) as file:
        coords, rows = file["coords"][()], file["features"][()]
    assert len(coords) > MOST
    found = slides.links(store, "tiles", other)
    start = int(store.index("tiles")[other, 0])
    assert found.token.tolist() == list(range(MOST))
    for token, corner in zip(found.token, found.coords, strict=True):
        place = coords.tolist().index(corner.tolist())
        np.testing.assert_array_equal(
            store.values("tiles")[start + token], rows[place].astype(store.values("tiles").dtype)
        )


def test_files_that_changed_after_packing_are_not_drawn(
    slides_shown: Explored, slide_cohort: SlideCohort, tmp_path: Path
) -> None:
    assert slides_shown.model is not None
    shutil.copytree(slide_cohort.cohort.parent, tmp_path / "cohort")
    with h5py.File(tmp_path / "cohort" / "slides" / f"{slide_cohort.patient}.h5", "a") as file:
        file["features"][0, 0] += 1
    slides = SlideTokens(load_cohort(tmp_path / "cohort" / "cohort.yaml"))
    row = row_of(slides_shown.store, slide_cohort.patient)
    (found,) = token_tiles(slides_shown.model, slides_shown.store, slides, row)
    assert "the files have changed since the cohort was packed" in found.missing
    assert len(found.contributions) == CENTROIDS
    assert source_maps(found, None).slides == ()


def area(path: str) -> int:
    """Of the rectangles of a path."""
    return sum(int(w) * int(h) for w, h in re.findall(r"h(\d+)v(\d+)h-\d+z", path))


def test_a_map_draws_every_tile_in_the_colour_of_its_token() -> None:
    frame = SlideFrame("s<1>", 10)
    coords = np.array([[0, 0], [10, 0], [20, 0], [0, 10], [50, 10]])
    token = np.array([0, 0, 1, 2, 0])
    values = np.array([0.08, -0.02, 0.009])
    svg = ElementTree.fromstring(tile_map(frame, coords, token, values, "centroid"))
    paths = {p.get("data-token"): p for p in svg.iter() if p.tag.endswith("path")}
    assert {key: p.get("class") for key, p in paths.items()} == {
        "0": "tile worse t4", "1": "tile better t1", "2": "tile worse t0",
    }  # fmt: skip
    assert [area(paths[key].get("d") or "") for key in "012"] == [300, 100, 100]
    assert paths["0"].get("d") == "M0,0h20v10h-20zM50,10h10v10h-10z"
    title = svg[0].text
    assert title == (
        "Map of slide s<1>: 5 tiles of 3 centroids; 3 raise the risk, 1 lower it, 1 hardly change it"
    )
    assert paths["0"][0].text == "centroid 1: 3 tiles, +0.080"
    assert svg.get("viewBox") == "-15 -15 90 50"


def test_shades_go_by_the_share_of_the_largest() -> None:
    shades = [shade(v, 1.0) for v in (-1.0, -0.6, -0.1, 0.0, 0.13, 0.4, 0.9)]
    assert shades == ["better t4", "better t2", "better t0", "better t0", "worse t1", "worse t2", "worse t4"]
    assert shade(0.0, 0.0) == "better t0"


def test_geojson_has_the_places_and_numbers_of_the_tiles() -> None:
    frame = SlideFrame("s", 512, 4096, 4096)
    found = json.loads(
        json.dumps(
            geojson(frame, np.array([[1024, 512], [0, 0]]), np.array([1, 0]), np.array([-0.3, 0.1]), "tile")
        )
    )
    assert found["type"] == "FeatureCollection"
    first, second = found["features"]
    assert first["geometry"] == {
        "type": "Polygon",
        "coordinates": [[[1024, 512], [1536, 512], [1536, 1024], [1024, 1024], [1024, 512]]],
    }
    assert first["properties"] == {
        "objectType": "detection", "name": "tile 2", "color": [172, 136, 113],
        "classification": {"name": "raises the risk", "color": [196, 79, 0]},
        "measurements": {"adds to the risk": 0.1, "tile": 2},
    }  # fmt: skip
    assert second["properties"]["classification"]["name"] == "lowers the risk"
    assert second["properties"]["color"] == [0, 114, 178]


def test_the_page_of_a_patient_with_centroids(slides_shown: Explored, slide_cohort: SlideCohort) -> None:
    pages = SlidePages(slides_shown, SlidePictures(slide_cohort.slides))
    row = row_of(slides_shown.store, slide_cohort.patient)
    (own,) = pages.maps(row)
    assert (own.kind, own.tokens, own.together, own.missing) == ("centroid", CENTROIDS, 1, "")
    links = read_links(Path(slides_shown.config.root) / "slides" / f"{slide_cohort.patient}.h5")
    assert slides_shown.model is not None
    change, _ = leave_one_out(slides_shown.model, slides_shown.store, row, "tiles") or (np.zeros(0), 0)
    assert [line.token for line in own.lines] == np.argsort(-np.abs(change), kind="stable")[:12].tolist()
    assert [line.tiles for line in own.lines] == [int((links.token == t.token).sum()) for t in own.lines]
    assert sum(line.contribution for line in own.lines) + own.rest == pytest.approx(change.sum())
    for number, corners in enumerate(slide_cohort.tiles):
        slide = own.slides[number]
        assert slide.tiles == len(corners)
        found = json.loads(slide.geojson())["features"]
        assert [f["geometry"]["coordinates"][0][0] for f in found] == corners.tolist()
        for feature, token in zip(found, links.token[links.slide == number].tolist(), strict=True):
            assert feature["properties"]["measurements"]["adds to the risk"] == pytest.approx(change[token])
            assert feature["properties"]["name"] == f"centroid {token + 1}"
        assert slide.picture is not None
        assert (slide.picture.width, slide.picture.height) == (WIDTH, HEIGHT)
    assert pages.maps(row) is pages.maps(row)  # made once


def test_the_viewer_s_tiles_put_together_are_the_slide(
    slides_shown: Explored, slide_cohort: SlideCohort
) -> None:
    pages = SlidePages(slides_shown, SlidePictures(slide_cohort.slides))
    row = row_of(slides_shown.store, slide_cohort.patient)
    picture = pages.slide(row, "tiles", 1).picture
    assert picture is not None
    whole = np.zeros((HEIGHT, WIDTH, 3), dtype=np.uint8)
    for y in range(-(-HEIGHT // 254)):
        for x in range(-(-WIDTH // 254)):
            content = pages.tile(row, "tiles", 1, picture.levels - 1, x, y)
            part = np.asarray(Image.open(BytesIO(content)))
            top, left = max(0, 254 * y - 1), max(0, 254 * x - 1)
            whole[top : top + part.shape[0], left : left + part.shape[1]] = part
    with Image.open(slide_cohort.slides / f"{slide_cohort.names[1]}.tif") as file:
        slide = np.asarray(file)
    assert np.abs(whole.astype(int) - slide).mean() < 6  # JPEG of noise


def test_slides_that_can_not_be_shown_say_why(slide_cohort: SlideCohort, tmp_path: Path) -> None:
    name = slide_cohort.names[0]
    (tmp_path / "broken.svs").write_bytes(b"no slide")
    shutil.copy(slide_cohort.slides / f"{name}.tif", tmp_path / f"{name}.tif")
    pictures = SlidePictures(tmp_path)
    assert len(pictures) == 2
    told = {
        "there": pictures.find(SlideFrame(name, SIDE))[1],
        "absent": pictures.find(SlideFrame("absent", SIDE))[1],
        "broken": pictures.find(SlideFrame("broken", SIDE))[1],
        "other": pictures.find(SlideFrame(name, SIDE, 100, 200))[1],
        "um": pictures.find(SlideFrame(name, SIDE, unit="um"))[1],
    }
    assert told["there"] == ""
    assert "no slide of this name" in told["absent"]
    assert "not a slide that OpenSlide reads" in told["broken"]
    assert "another slide: 896 by 640 pixels, the tiles are of one of 100 by 200" in told["other"]
    assert "um alone" in told["um"]
    with pytest.raises(InputError, match=r"--slides .*nothing: no such folder"):
        SlidePictures(tmp_path / "nothing")


def test_who_has_no_slide_or_no_score_has_no_map(shown: Explored) -> None:
    pages = SlidePages(shown, None)
    lacking = int(np.flatnonzero(~shown.observed.any(axis=1))[0])
    assert pages.maps(lacking) == ()
    without = int(np.flatnonzero((shown.store.index("tiles")[:, 1] == 0) & shown.observed.any(axis=1))[0])
    assert pages.maps(without) == ()
    assert SlidePages(replace(shown, model=None), None).maps(0) == ()

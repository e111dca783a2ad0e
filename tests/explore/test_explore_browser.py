"""The explorer in Chromium: selections, patients, keyboard, widths, and no request to another host.

Skipped where there is no Chromium (apt install chromium) or no playwright.
"""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from os import environ
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from prime.explore.prepare import findings_folder, open_any, umap_name
from prime.store.store import Store
from tests.explore.slide_cohort import HEIGHT, WIDTH, SlideCohort
from tests.small_model import SmallModel

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
if CHROMIUM is None:
    pytest.skip("no Chromium here", allow_module_level=True)
sync_api: Any = pytest.importorskip("playwright.sync_api")


@contextmanager
def running(what: Path, cohort: Path, store: Path, cache: Path, *more: str) -> Generator[str]:
    """The address of a running `prime explore`."""
    command = [sys.executable, "-m", "prime", "explore", str(what), "--cohort", str(cohort)]
    command += ["--store", str(store), "--threads", "1", *more]
    surroundings = {**environ, "PRIME_CACHE": str(cache)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=surroundings) as process:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
        process.terminate()
        assert process.wait(30) == 0


@pytest.fixture(scope="module")
def place(small_model: SmallModel, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    cache = tmp_path_factory.mktemp("cache")
    with running(small_model.model, small_model.cohort, small_model.store, cache) as found:
        yield found


@pytest.fixture(scope="module")
def slide_place(
    small_model: SmallModel, slide_cohort: SlideCohort, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    cache = tmp_path_factory.mktemp("cache")
    more = ["--slides", str(slide_cohort.slides)]
    if find_spec("umap") is not None:  # a map is laid ready, so that none has to be computed
        store, checkpoint = Store.open(slide_cohort.store), open_any(small_model.model)[0]
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("PRIME_CACHE", str(cache))
            folder = findings_folder(checkpoint, store)
        folder.mkdir(parents=True)
        np.save(folder / umap_name(), np.random.default_rng(0).uniform(-1, 1, (len(store.patients), 2)))
        more.append("--umap")
    with running(small_model.model, slide_cohort.cohort, slide_cohort.store, cache, *more) as found:
        yield found


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with sync_api.sync_playwright() as driver:
        found = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield found
        found.close()


class Watched:
    """A page, with what it asked for and what it complained of."""

    def __init__(self, browser: Any, place: str, width: int = 1440) -> None:
        self.place = place
        self.page = browser.new_page(viewport={"width": width, "height": 900})
        self.asked: list[str] = []
        self.complaints: list[str] = []
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.on("console", lambda message: self.complaints.append(message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.goto(place)
        self.page.wait_for_selector("html[data-ready=yes]")
        self.page.wait_for_selector("#selection svg")

    def __enter__(self) -> "Watched":
        return self

    def __exit__(self, *_: object) -> None:
        self.page.close()
        assert self.complaints == []
        own = re.match(r"http://127\.0\.0\.1:\d+/[\w-]{32}/", self.place)
        assert own is not None
        assert [u for u in self.asked if not u.startswith((own[0], "data:", "blob:"))] == []

    def count(self) -> int:
        """How many patients are selected."""
        return int(self.page.text_content("#count").split()[0].replace(",", ""))

    def settled(self, text: str) -> None:
        """Wait until the survival panel says this."""
        self.page.wait_for_function(
            "text => document.getElementById('selection').textContent.includes(text)", arg=text
        )


@pytest.mark.parametrize("width", [1440, 1024, 390])
def test_nothing_is_wider_than_the_window(browser: Any, place: str, width: int) -> None:
    with Watched(browser, place, width) as it:
        page = it.page
        wide = "document.documentElement.scrollWidth"
        assert page.evaluate(wide) <= width
        page.click("#patients tbody a >> nth=0")
        page.wait_for_selector("#patient h1")
        assert page.evaluate(wide) <= width


def test_a_selection_is_linked(browser: Any, place: str) -> None:
    """A type, then a rectangle on the map, then a search; table, counts and curves follow."""
    with Watched(browser, place) as it:
        page = it.page
        everybody = it.count()
        assert everybody == 160
        page.select_option("#pick-type", index=1)
        of_type = it.count()
        label = page.text_content("#pick-type option >> nth=1")
        assert label.endswith(f"({of_type})")
        it.settled(f"{of_type} of {everybody} patients selected")
        assert page.text_content("#matches").startswith(f"{of_type} patients")
        mine = [int(t) for t in page.locator("#missing tbody tr td:nth-last-child(2)").all_text_contents()]
        assert sum(mine) == of_type
        box = page.locator("#map").bounding_box()
        page.mouse.move(box["x"] + 5, box["y"] + 5)
        page.mouse.down()
        page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] - 5, steps=3)
        page.mouse.up()
        assert 0 < it.count() < of_type
        page.click("#clear")
        assert it.count() == everybody
        one = page.text_content("#patients tbody th >> nth=3")
        page.fill("#search", one.lower())
        assert page.locator("#patients tbody tr").count() == 1
        page.fill("#search", "")
        page.click("#missing tbody button >> nth=0")
        assert it.count() == int(page.text_content("#missing tbody button >> nth=0"))
        page.select_option("#split", "type")
        it.settled("SIMA")
        for colour in ("event", "site", "pattern", "risk", "type"):
            page.select_option("#colour", colour)
            assert page.locator("#legend > *").count() > 1


def test_the_table_is_sorted_and_turned(browser: Any, place: str) -> None:
    with Watched(browser, place) as it:
        page = it.page
        column = [h.strip() for h in page.locator("#patients thead th").all_text_contents()].index(
            "risk of 100"
        )
        head, cells = (f"#patients {part}:nth-child({column + 1})" for part in ("thead th", "tbody tr td"))
        for order in ("descending", "ascending"):
            assert page.get_attribute(head, "aria-sort") == order
            risks = list(map(float, page.locator(cells).all_text_contents()))
            assert risks == sorted(risks, reverse=order == "descending")
            page.click(f"{head} button")
        assert page.get_attribute("#patients thead th >> nth=0", "aria-sort") is None
        first = page.text_content("#patients tbody th >> nth=0")
        page.click("#after")
        assert "page 2 of 4" in page.text_content("#matches")
        assert page.text_content("#patients tbody th >> nth=0") != first


def test_by_keyboard_alone(browser: Any, place: str) -> None:
    """To the map, along patients, into one, and back to where it began."""
    with Watched(browser, place) as it:
        page = it.page
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.className") == "skip"
        for _ in range(20):
            if page.evaluate("document.activeElement.id") == "map":
                break
            page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.id") == "map"
        page.keyboard.press("ArrowRight")
        page.keyboard.press("ArrowRight")
        said = page.text_content("#status")
        assert re.match(r"SIM-\d+, SIM[ABC], has ", said)
        page.keyboard.press("Space")
        assert it.count() == 1
        page.keyboard.press("Enter")
        page.wait_for_selector("#patient h1")
        assert page.text_content("#patient h1") == said.split(",")[0]
        page.wait_for_selector("[data-later$=sentences][data-done=yes]", state="attached")
        page.go_back()
        page.wait_for_selector("#cohort:not([hidden])")
        assert page.evaluate("document.activeElement.id") == "map"


def test_a_run_is_shown_without_predictions(browser: Any, small_model: SmallModel, tmp_path: Path) -> None:
    made = small_model
    with running(made.run, made.cohort, made.store, tmp_path) as place, Watched(browser, place) as it:
        page = it.page
        assert page.locator(".model-only").count() == 0
        assert "risk of 100" not in page.locator("#patients thead th").all_text_contents()
        page.select_option("#pick-type", index=1)
        chosen = it.count()
        page.click("#clear")
        assert it.count() > chosen
        page.click("#patients tbody a >> nth=0")
        page.wait_for_selector("#patient h1")
        assert "Predicted survival" not in page.text_content("#patient")


def test_files_are_saved(browser: Any, place: str, tmp_path: Path) -> None:
    with Watched(browser, place) as it:
        page = it.page
        page.select_option("#pick-type", index=1)
        with page.expect_download() as kept:
            page.click("#keep")
        kept.value.save_as(tmp_path / "selection.html")
        page.click("#patients tbody a >> nth=0")
        page.wait_for_selector("#patient h1")
        name = page.text_content("#patient h1")
        with page.expect_download() as kept:
            page.click("#patient a.keep")
        assert kept.value.suggested_filename == f"{name}.html"
        kept.value.save_as(tmp_path / "patient.html")
    for file in ("selection.html", "patient.html"):
        alone = browser.new_page()
        asked: list[str] = []
        alone.on("request", lambda request, asked=asked: asked.append(request.url))
        alone.goto((tmp_path / file).as_uri())
        assert name in alone.content()
        assert asked == [(tmp_path / file).as_uri()]
        alone.close()


def open_slides(it: Watched, patient: str) -> None:
    """The page of a patient, once the viewers of both slides stand."""
    it.page.fill("#search", patient)
    it.page.click("#patients tbody a >> nth=0")
    it.page.wait_for_selector("[data-later$=slides][data-done=yes]")
    it.page.wait_for_selector("[data-viewer] >> nth=1")
    it.page.wait_for_selector("[data-open=yes] svg.over >> nth=1")


@pytest.mark.parametrize("width", [1440, 1024, 390])
def test_slides_at_every_width(browser: Any, slide_place: str, slide_cohort: SlideCohort, width: int) -> None:
    with Watched(browser, slide_place, width) as it:
        open_slides(it, slide_cohort.patient)
        assert it.page.evaluate("document.documentElement.scrollWidth") <= width
        for tiles in it.page.locator("figure > svg.tiles").all():
            box = tiles.bounding_box()
            assert box["x"] >= 0
            assert box["x"] + box["width"] <= width
            assert box["height"] > 100
        assert [url for url in it.asked if url.endswith(".jpg")]


WIDE = "document.querySelector('svg.over').getBoundingClientRect().width"


def wait_until_wide(page: Any, low: float, high: float) -> None:
    """Wait until the map on the first slide is so wide, in pixels."""
    for _ in range(100):
        if low <= page.evaluate(WIDE) <= high:
            return
        page.wait_for_timeout(50)
    raise AssertionError(f"{page.evaluate(WIDE)} pixels, not {low} to {high}")


def test_the_map_lies_on_the_slide(browser: Any, slide_place: str, slide_cohort: SlideCohort) -> None:
    """The map over the picture is as large as the picture, before and after zooming, and can be faded out."""
    with Watched(browser, slide_place) as it:
        page = it.page
        open_slides(it, slide_cohort.patient)
        viewer = page.locator(".viewer >> nth=0").bounding_box()
        scale = min(viewer["width"] / WIDTH, viewer["height"] / HEIGHT)  # the whole slide fits
        wait_until_wide(page, WIDTH * scale - 3, WIDTH * scale + 3)
        over = page.locator("svg.over >> nth=0").bounding_box()
        middle = viewer["x"] + viewer["width"] / 2
        assert over["x"] + over["width"] / 2 == pytest.approx(middle, abs=2)
        assert page.get_attribute("svg.over >> nth=0", "viewBox") == f"0 0 {WIDTH} {HEIGHT}"
        page.click("[data-do=in] >> nth=0")
        wait_until_wide(page, 1.55 * WIDTH * scale, 1.65 * WIDTH * scale)
        page.click("[data-do=home] >> nth=0")
        wait_until_wide(page, WIDTH * scale - 3, WIDTH * scale + 3)
        page.locator("[data-do=fade] >> nth=0").fill("0")
        assert page.evaluate("document.querySelector('svg.over').style.opacity") == "0"


def test_a_token_is_marked_by_keyboard(browser: Any, slide_place: str, slide_cohort: SlideCohort) -> None:
    with Watched(browser, slide_place) as it:
        page = it.page
        open_slides(it, slide_cohort.patient)
        button = page.locator(".slides button[data-token] >> nth=0")
        button.focus()
        page.keyboard.press("Enter")
        token = button.get_attribute("data-token")
        marked = page.locator("path.on")
        assert {p.get_attribute("data-token") for p in marked.all()} == {token}
        assert marked.count() == page.locator(f"path[data-token='{token}']").count()
        assert page.locator("path.dim").count() > 0
        page.keyboard.press("Enter")
        assert page.locator("path.on, path.dim").count() == 0
        page.locator(".viewer [role=application] >> nth=0").focus()
        name = page.evaluate("document.activeElement.getAttribute('aria-label')")
        assert name.startswith(f"Slide {slide_cohort.names[0]}: arrows move")
        before = page.evaluate(WIDE)
        page.keyboard.press("+")
        wait_until_wide(page, before + 1, 10 * before)


def test_the_map_is_laid_out_anew(browser: Any, slide_place: str) -> None:
    pytest.importorskip("umap")
    with Watched(browser, slide_place) as it:
        page = it.page
        picture = "document.getElementById('map').toDataURL()"
        before = page.evaluate(picture)
        assert not page.is_visible("#map-umap")
        page.select_option("#layout", "umap")
        assert page.is_visible("#map-umap")
        assert not page.is_visible("#map-principal")
        assert page.evaluate(picture) != before
        page.select_option("#layout", "principal")
        assert page.evaluate(picture) == before


def test_geojson_is_saved_from_the_page_and_from_the_file(
    browser: Any, slide_place: str, slide_cohort: SlideCohort, tmp_path: Path
) -> None:
    with Watched(browser, slide_place) as it:
        page = it.page
        open_slides(it, slide_cohort.patient)
        with page.expect_download() as kept:
            page.click("text=GeoJSON for QuPath >> nth=0")
        assert kept.value.suggested_filename == f"{slide_cohort.names[0]}.geojson"
        kept.value.save_as(tmp_path / "page.geojson")
        with page.expect_download() as kept:
            page.click("#patient a.keep")
        kept.value.save_as(tmp_path / "patient.html")
    alone = browser.new_page()
    alone.goto((tmp_path / "patient.html").as_uri())
    with alone.expect_download() as kept:
        alone.click("text=GeoJSON for QuPath >> nth=0")
    kept.value.save_as(tmp_path / "file.geojson")
    alone.close()
    found = [json.loads((tmp_path / name).read_text()) for name in ("page.geojson", "file.geojson")]
    assert found[0] == found[1]
    corners = [feature["geometry"]["coordinates"][0][0] for feature in found[0]["features"]]
    assert corners == slide_cohort.tiles[0].tolist()

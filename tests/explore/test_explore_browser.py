"""The explorer in Chromium: selections, patients, keyboard, widths, and no request to another host.

Skipped where there is no Chromium (apt install chromium) or no playwright.
"""

import re
import shutil
import subprocess
import sys
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from os import environ
from pathlib import Path
from typing import Any

import pytest

from tests.small_model import SmallModel

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
if CHROMIUM is None:
    pytest.skip("no Chromium here", allow_module_level=True)
sync_api: Any = pytest.importorskip("playwright.sync_api")


@contextmanager
def running(what: Path, made: SmallModel, cache: Path) -> Generator[str]:
    """The address of a running `prime explore`."""
    command = [sys.executable, "-m", "prime", "explore", str(what), "--cohort", str(made.cohort)]
    command += ["--store", str(made.store), "--threads", "1"]
    surroundings = {**environ, "PRIME_CACHE": str(cache)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=surroundings) as process:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
        process.terminate()
        assert process.wait(30) == 0


@pytest.fixture(scope="module")
def place(small_model: SmallModel, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running(small_model.model, small_model, tmp_path_factory.mktemp("cache")) as found:
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
        page.wait_for_selector("[data-done=yes]", state="attached")
        page.go_back()
        page.wait_for_selector("#cohort:not([hidden])")
        assert page.evaluate("document.activeElement.id") == "map"


def test_a_run_is_shown_without_predictions(browser: Any, small_model: SmallModel, tmp_path: Path) -> None:
    with running(small_model.run, small_model, tmp_path) as place, Watched(browser, place) as it:
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

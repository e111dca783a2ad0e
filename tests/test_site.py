"""The site of the documents: it builds without a warning, and a browser that shows it asks no other host."""

import os
import subprocess
import sys
from html.parser import HTMLParser
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import pytest

from tests.documents import ROOT

LOADED = {  # what a browser fetches by itself, by tag and attribute
    ("script", "src"), ("img", "src"), ("iframe", "src"), ("source", "src"), ("video", "src"),
    ("object", "data"), ("embed", "src"), ("use", "href"), ("image", "href"),
}  # fmt: skip
FETCHED = {
    "stylesheet",
    "icon",
    "preconnect",
    "preload",
    "prefetch",
    "dns-prefetch",
    "manifest",
    "modulepreload",
}


class Loads(HTMLParser):
    """Collects what a page loads."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.found += [value for name, value in given.items() if (tag, name) in LOADED]
        if tag == "link" and FETCHED & set(given.get("rel", "").split()):
            self.found.append(given.get("href", ""))
        if "mermaid" in given.get("class", "").split():
            self.found.append("https://a script that draws graphs")


def from_elsewhere(text: str) -> list[str]:
    page = Loads()
    page.feed(text)
    return [place for place in page.found if place.startswith(("http:", "https:", "//"))]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site") / "built"
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)],
        cwd=ROOT, capture_output=True, text=True, check=False,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1", "PYTHONPATH": str(ROOT / "src")},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def test_every_page_is_there(site: Path) -> None:
    for page in (ROOT / "docs").rglob("*.md"):
        name = page.relative_to(ROOT / "docs").with_suffix(".html").as_posix()
        assert (site / name.replace("README.html", "index.html")).is_file(), name


def test_nothing_is_loaded_from_another_host(site: Path) -> None:
    pages = list(site.rglob("*.html"))
    assert len(pages) > 30
    for page in pages:
        assert from_elsewhere(page.read_text(encoding="utf-8")) == [], page.name
    styles = [path.read_text(encoding="utf-8") for path in site.rglob("*.css")]
    assert styles
    assert not any("url(http" in text or "url(//" in text or "@import" in text for text in styles)


def test_what_is_loaded_from_another_host_is_found() -> None:
    text = '<script src="https://a.org/b.js"></script><link rel="x icon" href="//c.org/d"><a href="https://e.org">e</a>'
    assert from_elsewhere(text) == ["https://a.org/b.js", "//c.org/d"]
    assert from_elsewhere(
        '<pre class="mermaid">a</pre><img src="a.png"><link rel="next" href="https://f.org">'
    )


def test_names_of_python_are_in_the_reference(site: Path) -> None:
    import prime

    text = (site / "api" / "prime.html").read_text(encoding="utf-8")
    for name in prime.OFFERED:
        assert f".{name}" in text, name
    assert "concordance" in (site / "api" / "metrics.html").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def hooks() -> ModuleType:
    spec = spec_from_file_location("site_hooks", ROOT / "docs" / "site_hooks.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_graph_becomes_a_picture(hooks: ModuleType) -> None:
    page = "Text\n\n```mermaid\nflowchart TD\n    a --> b\n    a --> c\n    b --> c\n```\n\nMore\n"
    text = hooks.on_page_markdown(page)
    assert text.startswith("Text\n\n<svg")
    assert text.endswith("</svg>\n\n\nMore\n")
    assert [text.count(part) for part in ("<rect", "marker-end", "mermaid")] == [3, 3, 0]
    at = hooks.places([("a", "b"), ("a", "c"), ("b", "c")])
    assert at["a"][1] < at["b"][1] < at["c"][1]

"""The explorer over HTTP: only with the token, nothing from elsewhere, nobody in the log."""

import base64
import hashlib
import json
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from importlib.resources import files

import numpy as np
import pytest
from starlette.testclient import TestClient

from prime.cli import main
from prime.explore.app import build_app
from prime.explore.cohort import Explored
from prime.explore.patient import PatientReport
from prime.explore.slide_pictures import SlidePictures
from tests.explore.slide_cohort import SlideCohort
from tests.small_model import SmallModel

TOKEN = "t" * 32
HERE = "http://127.0.0.1"
VOID = {"meta", "link", "input", "br", "img", "hr"}


class Page(HTMLParser):
    """A page as a browser reads it: elements with their attributes, nested as they should be."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.found if name == tag]


@pytest.fixture(scope="module")
def lines() -> list[str]:
    return []


@pytest.fixture(scope="module")
def client(shown: Explored, lines: list[str]) -> Iterator[TestClient]:
    with TestClient(build_app(shown, TOKEN, lines.append), base_url=HERE) as found:
        yield found


def test_only_the_token_opens(client: TestClient) -> None:
    for path in (
        "/",
        "/data.json",
        "/patient/0",
        f"/{TOKEN[:-1]}/",
        f"/{TOKEN[:-1]}/data.json",
        "/static/map.js",
    ):
        assert client.get(path).status_code == 404
    assert client.get(f"/{TOKEN}/").status_code == 200
    assert client.get(f"/{TOKEN}/", headers={"host": "evil.example"}).status_code == 421


def test_nothing_comes_from_elsewhere(client: TestClient, shown: Explored) -> None:
    """Pages and scripts name no other host, and the policy would not let them in."""
    home = client.get(f"/{TOKEN}/")
    policy = home.headers["content-security-policy"]
    assert "unsafe" not in policy
    assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'")
    assert home.headers["referrer-policy"] == "no-referrer"
    assert home.headers["cache-control"] == "no-store"
    texts = [home.text, client.get(f"/{TOKEN}/patient/0").text]
    for name in ("explore.js", "map.js", "slides.js", "table.js", "style.css"):
        answer = client.get(f"/{TOKEN}/static/{name}")
        assert answer.headers["content-type"].split(";")[0] in ("text/javascript", "text/css")
        texts.append(answer.text)
    for text in texts:
        assert set(re.findall(r"https?://[\w./]+", text)) <= {"http://www.w3.org/2000/svg"}
    page = Page(home.text)
    assert all("src" in script for script in page.all("script"))
    assert not [a for _, a in page.found if any(n.startswith("on") or n == "style" for n in a)]
    assert client.get(f"/{TOKEN}/static/app.py").status_code == 404


def test_every_field_has_a_label(client: TestClient) -> None:
    text = client.get(f"/{TOKEN}/").text
    page = Page(text)
    for tag in ("select", "input"):
        for field in page.all(tag):
            assert re.search(rf'<label[^>]*>[^<]+<{tag} id="{field["id"]}"', text)
    ids = {a["id"] for _, a in page.found if "id" in a}
    for _, attributes in page.found:
        for name in ("aria-labelledby", "aria-describedby"):
            if attributes.get(name):
                assert attributes[name] in ids
    assert page.all("html")[0]["lang"] == "en"


def test_a_selection_is_answered_as_a_fragment(client: TestClient, shown: Explored) -> None:
    rows = [row for row, kind in enumerate(shown.types) if kind == "SIMB"]
    answer = client.post(f"/{TOKEN}/selection", json={"rows": rows, "split": "none"})
    assert answer.status_code == 200
    assert f"{len(rows)} of {len(shown.ids)} patients selected" in answer.text
    page = Page(answer.text)
    assert len(page.all("svg")) == 1
    wrong: list[object] = [[], {}, {"rows": [0]}, {"rows": [0], "split": "age"}]
    wrong += [{"rows": rows, "split": "none"} for rows in ([len(shown.ids)], [-1], ["a"], [[0], [1, 2]])]
    for body in wrong:
        refused = client.post(f"/{TOKEN}/selection", json=body)
        assert refused.status_code == 422
        assert refused.json()["reason"]
    assert client.post(f"/{TOKEN}/selection", content=b"{").status_code == 422


def test_every_patient_has_a_page(client: TestClient, shown: Explored) -> None:
    """One of each set of modalities."""
    for name in dict.fromkeys(shown.patterns):
        row = shown.patterns.index(name)
        answer = client.get(f"/{TOKEN}/patient/{row}")
        assert answer.status_code == 200
        Page(answer.text)
        assert f"<h1>{shown.ids[row]}</h1>" in answer.text
    assert client.get(f"/{TOKEN}/patient/{len(shown.ids)}").status_code == 404
    assert client.get(f"/{TOKEN}/patient/x").status_code == 404


def test_files_need_nothing_else(client: TestClient, shown: Explored) -> None:
    report = list(shown.modalities).index("report")
    row = int(np.flatnonzero(shown.observed[:, report])[0])
    patient = client.get(f"/{TOKEN}/patient/{row}/file")
    assert patient.headers["content-disposition"] == f'attachment; filename="{shown.ids[row]}.html"'
    assert "sentence by sentence" in patient.text
    body = {"rows": list(range(40)), "split": "type"}
    selection = client.post(f"/{TOKEN}/selection/file", json=body)
    assert all(shown.ids[row] in selection.text for row in range(40))
    assert shown.ids[41] not in selection.text
    for answer in (patient, selection):
        page = Page(answer.text)
        assert page.all("script") == page.all("link") == page.all("img") == []
        assert all((a["href"] or "").startswith("data:application/geo+json;base64,") for a in page.all("a"))
        assert not re.findall(r"https?://(?!www\.w3\.org/2000/svg)", answer.text)
        assert any((m.get("content") or "").startswith("default-src 'none'") for m in page.all("meta"))
        assert "--ink" in answer.text


def test_sentences_come_apart(client: TestClient, shown: Explored) -> None:
    report = list(shown.modalities).index("report")
    having = int(np.flatnonzero(shown.observed[:, report])[0])
    lacking = int(np.flatnonzero(~shown.observed[:, report])[0])
    assert "<li" in client.get(f"/{TOKEN}/patient/{having}/sentences").text
    assert client.get(f"/{TOKEN}/patient/{lacking}/sentences").text.strip() == ""


@pytest.fixture(scope="module")
def with_slides(slides_shown: Explored, slide_cohort: SlideCohort, lines: list[str]) -> Iterator[TestClient]:
    app = build_app(slides_shown, TOKEN, lines.append, SlidePictures(slide_cohort.slides))
    with TestClient(app, base_url=HERE) as found:
        yield found


def test_slides_come_apart(
    with_slides: TestClient, slides_shown: Explored, slide_cohort: SlideCohort
) -> None:
    row = slides_shown.ids.index(slide_cohort.patient)
    here = f"/{TOKEN}/patient/{row}/slides"
    text = with_slides.get(here).text
    page = Page(text)
    assert len([a for a in page.all("svg") if a.get("class") == "tiles"]) == 2
    assert {a["data-viewer"] for a in page.all("div") if "data-viewer" in a} == {
        f"patient/{row}/slides/tiles/{number}" for number in (0, 1)
    }
    assert not [a for _, a in page.found if any(n.startswith("on") or n == "style" for n in a)]
    assert all(a.get("aria-label") for a in page.all("button") if "data-token" in a)
    found = with_slides.get(f"{here}/tiles/1.geojson")
    assert found.headers["content-type"] == "application/geo+json"
    name = slide_cohort.names[1]
    assert found.headers["content-disposition"] == f'attachment; filename="{name}.geojson"'
    assert len(found.json()["features"]) == len(slide_cohort.tiles[1])
    tile = with_slides.get(f"{here}/tiles/0/0/0_0.jpg")
    assert (tile.headers["content-type"], tile.content[:3]) == ("image/jpeg", b"\xff\xd8\xff")
    for wrong in (
        "tiles/2.geojson",
        "genes/0.geojson",
        "tiles/0/99/0_0.jpg",
        "tiles/0/0/1_0.jpg",
        "tiles/0/0/-1_0.jpg",
    ):
        assert with_slides.get(f"{here}/{wrong}").status_code == 404
    assert with_slides.get(f"/{TOKEN}/patient/9999/slides/tiles/0.geojson").status_code == 404
    assert with_slides.get(f"/patient/{row}/slides/tiles/0.geojson").status_code == 404


def test_a_file_holds_the_maps_and_their_geojson(
    with_slides: TestClient, slides_shown: Explored, slide_cohort: SlideCohort
) -> None:
    row = slides_shown.ids.index(slide_cohort.patient)
    page = Page(with_slides.get(f"/{TOKEN}/patient/{row}/file").text)
    assert len([a for a in page.all("svg") if a.get("class") == "tiles"]) == 2
    assert page.all("button") == page.all("script") == page.all("img") == []
    assert not [a for a in page.all("div") if "data-viewer" in a]
    links = page.all("a")
    assert [a["download"] for a in links] == [f"{name}.geojson" for name in slide_cohort.names]
    for number, link in enumerate(links):
        held = base64.b64decode((link["href"] or "").partition("base64,")[2])
        asked = with_slides.get(f"/{TOKEN}/patient/{row}/slides/tiles/{number}.geojson")
        assert json.loads(held) == asked.json()


def test_the_viewer_is_the_file_that_its_makers_publish() -> None:
    """OpenSeadragon 6.1.1, as `npm pack openseadragon` gives it; its licence stands beside it."""
    folder = files("prime.explore").joinpath("static")
    digest = hashlib.sha256(folder.joinpath("openseadragon.min.js").read_bytes()).hexdigest()
    assert digest == "14d587cd3ee7c4861f1a41077ce642029364a21029956ba635bd8fb1202cf9ad"
    assert "CodePlex Foundation" in folder.joinpath("openseadragon.LICENSE.txt").read_text(encoding="utf-8")


def test_texts_from_outside_are_escaped(shown: Explored) -> None:
    """A patient whose id is a script stays text."""
    from dataclasses import replace

    store = replace(shown.store, patients=shown.store.patients.assign(site="<script>alert(1)</script>"))
    with TestClient(build_app(replace(shown, store=store), TOKEN, print), base_url=HERE) as client:
        text = client.get(f"/{TOKEN}/patient/0").text
        assert "&lt;script&gt;" in text
        assert "<script" not in text


def test_the_log_of_the_explorer_holds_nobody(
    client: TestClient, lines: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object) -> PatientReport:
        raise ValueError("Secret-Value of SIM-0001")

    monkeypatch.setattr("prime.explore.app.report", fails)
    assert client.get(f"/{TOKEN}/patient/0").status_code == 500
    text = "\n".join(lines)
    assert "ValueError at fails" in text
    for secret in ("Secret", "SIM-", TOKEN, "/patient/0"):
        assert secret not in text


def test_explore_refuses_what_is_no_folder(
    small_model: SmallModel, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["explore", str(small_model.model / "none"), "--cohort", str(small_model.cohort)]
    assert main(words) == 2
    assert "no such folder" in capsys.readouterr().err

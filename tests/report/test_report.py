"""The report: everything that studies left, on one page, escaped, that asks for nothing outside."""

import base64
import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import markupsafe
import pytest

from prime.errors import InputError
from prime.files import write_json
from prime.render.draw import page_figure
from prime.render.figure import Figure, HeatMap, Panel, RankPanel, Series
from prime.report import write_markdown, write_report
from prime.report.page import environment
from prime.report.read import TableText
from prime.report.table_layout import layout
from prime.report.words import anchor, duration, moment

EVIL = "</script><script>alert('1')</script> & \"<img src=x onerror=alert(2)>"
SVG = b"<svg>not looked at</svg>"
VOID = {"meta", "img", "br", "link", "input", "hr"}


def figures() -> list[Figure]:
    curve = Series(f"high <risk> {EVIL}", [0, 1, 3], [1, 0.7, 0.3], kind="step")
    panels = tuple(Panel(name, "years", "survival", (curve,), y_range=(0, 1)) for name in ("BLCA", "UCEC"))
    heat = HeatMap("C", "K", "L", ("8", "16"), ("1", "2"), [[0.5, 0.6], [0.7, float("nan")]], "C-index")
    ranks = RankPanel("all", {"PRIME pretrained LP+Missing": 1.0, "other": 2.0})
    return [
        Figure("curves", "Curves of risk groups", "Split at the median.", panels, 2),
        Figure("sweep", f"Sweep {EVIL}", f"Caption {EVIL}", (heat,)),
        Figure("ranks", "Ranks of methods", "Mean rank.", (ranks,)),
    ]


def table(name: str = "cindex", **changes: Any) -> dict[str, Any]:
    value: dict[str, Any] = {
        "name": name,
        "title": "Concordance & more",
        "caption": "C-index, higher is better.",
        "notes": [f"why {place}" for place in range(7)],
        "index_names": ["method", "seen"],
        "index": [["PRIME", "all"], ["PRIME", "-image"], ["Cox", "all"]],
        "columns": [["OS", "BLCA"], ["OS", "UCEC"], ["mortality", "BLCA"]],
        "rows": [
            ["**0.646 ± 0.008**", "-", "0.7"],
            ["<u>0.640 ± 0.010</u>", "0.51", "a<b"],
            ["0.5", EVIL, ""],
        ],
    }
    return value | changes


def manifest(name: str, order: int, **changes: Any) -> dict[str, Any]:
    value: dict[str, Any] = {
        "study": name,
        "title": f"Study {name}",
        "order": order,
        "command": f"prime study {name} --out here",
        "preset": "full",
        "protocol": "transductive",
        "arms": [],
        "seeds": [0, 1],
        "wall_seconds": 4000.0,
        "compute_seconds": 30.2,
        "created": f"2026-01-0{order}T10:00:00+00:00",
        "versions": {"prime": "0.1.0", "torch": "2.13"},
        "hashes": {"store": {"genes": "abc123"}, "weights": {}},
        "config": {"model": {"width": 64}, "text": EVIL},
        "notes": [f"note {EVIL}"],
        "not_fitted": {"os BLCA fold 2": "12 training patients"},
        "tables": [],
        "figures": [],
    }
    return value | changes


def steps(*counts: int) -> list[dict[str, Any]]:
    known = [counts[0] + 5, *counts]
    return [
        {"name": f"step {n}", "patients": count, "left_out": before - count, "reason": f"because {n} <x>"}
        for n, (before, count) in enumerate(zip(known, counts, strict=False))
    ]


@pytest.fixture(name="studies")
def made_up_studies(tmp_path: Path) -> Path:
    """Two studies and a folder that is none."""
    folder = tmp_path / "studies"
    flow = {"os": steps(1200, 1100, 1100), "mortality_3y": steps(1200, 700)}
    write_json(folder / "flow.json", {"tasks": flow, "cohort": {"title": f"TCGA {EVIL}"}})
    write_json(folder / "later" / "manifest.json", manifest("later", 2, figures=["curves", "sweep", "ranks"]))
    for figure in figures():
        write_json(folder / "later" / f"{figure.name}.json", page_figure(figure))
        (folder / "later" / f"{figure.name}.svg").write_bytes(SVG)
    write_json(folder / "first" / "manifest.json", manifest("first", 1, tables=["cindex"]))
    write_json(folder / "first" / "cindex.json", table())
    (folder / "first" / "cindex.csv").write_text("method,mean\nPRIME,0.646\n", encoding="utf-8")
    (folder / "cache").mkdir()
    return folder


class Page(HTMLParser):
    """What a browser makes of it: elements nested as they should, attributes, text without scripts."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.scripts: list[str] = []
        self.words: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []
        self.text = " ".join(" ".join(self.words).split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {key: value or "" for key, value in attrs}))
        if tag == "script":
            self.scripts.append("")
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] == "script":
            self.scripts[-1] += data
        elif self.open and self.open[-1] != "style":
            self.words.append(data)

    def all(self, key: str) -> list[str]:
        return [attributes[key] for _, attributes in self.elements if key in attributes]


def read(folder: Path) -> tuple[str, Page]:
    text = write_report(folder).read_text(encoding="utf-8")
    return text, Page(text)


def table_html(**changes: Any) -> str:
    text = TableText.model_validate(table(**changes))
    return environment().get_template("table.html.j2").module.table(layout(text), text.title)  # type: ignore[attr-defined]


def spaced(text: str) -> str:
    return " ".join(text.split())


def test_page_holds_everything(studies: Path) -> None:
    _, page = read(studies)
    cells = [cell for row in table()["rows"] for cell in row]
    plain = [re.sub(r"^(\*\*|<u>)|(\*\*|</u>)$", "", cell) for cell in cells]
    words = ["Concordance & more", "C-index, higher is better.", "why 6", "mortality", "-image", *plain]
    words += [text for figure in figures() for text in (figure.title, figure.caption)]
    words += ["Study first", "Study later", "os BLCA fold 2: 12 training patients", f"note {EVIL}"]
    words += [
        "1 h 07 min",
        "30 s",
        "2026-01-02 10:00 UTC",
        "seeds 0, 1",
        "torch: '2.13'",
        "abc123",
        "width: 64",
    ]
    words += ["prime study first --out here", "1,205 known to the cohort", "500 left out", "because 1 <x>"]
    assert [word for word in words if spaced(word) not in page.text] == []


def test_studies_stand_in_their_order(studies: Path) -> None:
    _, page = read(studies)
    sections = [attributes["id"] for tag, attributes in page.elements if tag == "section"]
    assert sections == ["flow", "study/first", "study/later", "again"]


def test_marks_headers_and_key() -> None:
    text = table_html()
    assert '<td class="number"><b>0.646 ± 0.008</b></td>' in text
    assert "<u>0.640 ± 0.010</u>" in text
    assert '<th scope="colgroup" colspan="2" class="over">OS</th>' in text
    assert '<th scope="rowgroup" rowspan="2" class="lead">PRIME</th>' in text
    assert "second best" in text
    assert f"<td>{markupsafe.escape(EVIL)}</td>" in text
    assert "bold" not in table_html(rows=[["1", "2", "3"]] * 3)


def test_nothing_is_asked_of_a_network(studies: Path) -> None:
    text, page = read(studies)
    targets = [*page.all("src"), *page.all("href"), *page.all("action"), *page.all("srcset")]
    assert [target for target in targets if not target.startswith(("#", "data:"))] == []
    assert "link" not in {tag for tag, _ in page.elements}
    styles = re.findall(r"<style>(.*?)</style>", text, re.DOTALL)
    assert len(styles) == 1
    assert "url(" not in styles[0]
    assert "@import" not in styles[0]
    policy = next(a["content"] for t, a in page.elements if a.get("http-equiv") == "Content-Security-Policy")
    assert policy.startswith("default-src 'none';")
    assert "http" not in policy
    assert "connect-src" not in policy


def test_scripts_are_vega_once_and_our_own(studies: Path) -> None:
    text, page = read(studies)
    assert sum("window.vegaEmbed=" in script for script in page.scripts) == 1
    own = page.scripts[-1]
    assert "ast: true" in own, "the policy forbids eval"
    assert "actions: false" in own, "vega-embed offers to open figures in an editor on a web site"
    assert "unsafe-eval" not in text
    shutil.rmtree(studies / "later")
    assert "vegaEmbed=" not in read(studies)[0]


def test_text_from_outside_is_escaped(studies: Path) -> None:
    _, page = read(studies)
    assert [tag for tag, attributes in page.elements if "onerror" in attributes] == []
    kinds = [attributes.get("type", "") for tag, attributes in page.elements if tag == "script"]
    assert kinds == ["", *["application/json"] * 3, "", ""]
    assert page.text.startswith(f"PRIME: TCGA {spaced(EVIL)}")


def test_drawings_come_back_as_written(studies: Path) -> None:
    _, page = read(studies)
    for figure, script in zip(figures(), page.scripts[1:4], strict=True):
        assert not set("<>&") & set(script), "nothing can end the element"
        written = json.loads((studies / "later" / f"{figure.name}.json").read_text(encoding="utf-8"))
        assert {**json.loads(script), "title": figure.title, "caption": figure.caption} == written


def test_a_figure_is_named_for_those_who_do_not_see_it(studies: Path) -> None:
    _, page = read(studies)
    canvases = [attributes for _, attributes in page.elements if attributes.get("class") == "canvas"]
    assert [(canvas["role"], canvas["aria-label"]) for canvas in canvases] == [
        ("img", figure.title) for figure in figures()
    ]


def test_headings_name_whom_pretraining_saw(studies: Path) -> None:
    arms = [{"protocol": "inductive"}, {"protocol": "leave_cohort_out"}, {"protocol": "inductive"}]
    write_json(studies / "first" / "manifest.json", manifest("first", 1, arms=arms))
    text = read(studies)[1].text
    assert "Study first pretraining: inductive, leave cohort out" in text
    assert "Study later pretraining: transductive" in text
    write_markdown(studies, studies / "paper")
    text = (studies / "paper" / "README.md").read_text(encoding="utf-8")
    assert "preset full, pretraining inductive, leave cohort out." in text


def test_downloads_and_pictures_are_in_the_page(studies: Path) -> None:
    _, page = read(studies)
    links = [attributes for tag, attributes in page.elements if tag == "a" and "download" in attributes]
    assert [link["download"] for link in links] == ["first-cindex.csv"]
    csv = base64.b64decode(links[0]["href"].partition("base64,")[2])
    assert csv == (studies / "first" / "cindex.csv").read_bytes()
    pictures = [attributes for tag, attributes in page.elements if tag == "img"]
    assert len(pictures) == 3
    prefix = "data:image/svg+xml;base64,"
    assert all(picture["src"] == prefix + base64.b64encode(SVG).decode() for picture in pictures)
    assert pictures[0]["alt"] == "Curves of risk groups"


def test_links_within_the_page_lead_somewhere(studies: Path) -> None:
    _, page = read(studies)
    ids = page.all("id")
    assert len(ids) == len(set(ids))
    inner = [target[1:] for target in page.all("href") if target.startswith("#")]
    assert len(inner) == 8
    assert set(inner) <= set(ids)
    assert anchor("a/b", "c") != anchor("a", "b/c")


def test_same_folder_same_bytes(studies: Path, tmp_path: Path) -> None:
    once = write_report(studies)
    assert once == studies / "report.html"
    other = write_report(studies, tmp_path / "elsewhere" / "page.html")
    assert other == tmp_path / "elsewhere" / "page.html"
    assert once.read_bytes() == other.read_bytes()


def test_quick_is_said_aloud(studies: Path) -> None:
    assert "QUICK" not in read(studies)[1].text
    write_json(studies / "first" / "manifest.json", manifest("first", 1, preset="quick", seeds=[0]))
    text = read(studies)[1].text
    assert "QUICK PRESET: REDUCED GRID. Study first: one seed" in text
    assert text.count("QUICK PRESET") == 2


def test_settings_that_studies_share_are_written_once(studies: Path) -> None:
    assert read(studies)[1].text.count("width: 64") == 1
    changed = manifest("first", 1, config={"model": {"width": 65}})
    write_json(studies / "first" / "manifest.json", changed)
    text = read(studies)[1].text
    assert text.count("width: 64") == text.count("width: 65") == 1


def test_words_for_times() -> None:
    assert [duration(s) for s in (0.2, 48, 720, 11100)] == ["under 1 s", "48 s", "12 min", "3 h 05 min"]
    assert moment("2026-11-23T14:07:11+00:00") == "2026-11-23 14:07 UTC"
    assert moment("yesterday") == "yesterday"


def break_json(folder: Path) -> Path:
    path = folder / "first" / "cindex.json"
    path.write_text("{", encoding="utf-8")
    return path


def short_row(folder: Path) -> Path:
    path = folder / "first" / "cindex.json"
    write_json(path, table(rows=[["1", "2", "3"], ["1", "2"], ["1", "2", "3"]]))
    return path


def lost_picture(folder: Path) -> Path:
    path = folder / "later" / "sweep.svg"
    path.unlink()
    return path


def way_out(folder: Path) -> Path:
    path = folder / "first" / "manifest.json"
    write_json(path, manifest("first", 1, tables=["../../secret"]))
    return path


def wrong_sum(folder: Path) -> Path:
    path = folder / "flow.json"
    write_json(path, {"tasks": {"os": [*steps(10), *steps(7)]}, "cohort": {"title": "x"}})
    return path


def not_a_number(folder: Path) -> Path:
    path = folder / "later" / "sweep.json"
    path.write_text('{"title": "", "caption": "", "datasets": {"a": [{"x": NaN}]}, "wide": {}, "narrow": {}}')
    return path


def no_flow(folder: Path) -> Path:
    (folder / "flow.json").unlink()
    return folder / "flow.json"


@pytest.mark.parametrize(
    "damage", [break_json, short_row, lost_picture, way_out, wrong_sum, not_a_number, no_flow]
)
def test_a_damaged_file_is_named(studies: Path, damage: Any) -> None:
    path = damage(studies)
    with pytest.raises(InputError, match=re.escape(str(path))):
        write_report(studies)
    assert not (studies / "report.html").exists()


def test_no_folder_and_no_study(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such folder"):
        write_report(tmp_path / "absent")
    (tmp_path / "cache").mkdir()
    with pytest.raises(InputError, match="no study in it"):
        write_report(tmp_path)

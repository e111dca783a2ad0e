"""Figures: what a reader sees in print and on the page, and the same bytes each time."""

import json
import math
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import altair
import numpy as np
import pytest

from prime.render.draw import page_figure, svg, vega_lite, write_figure
from prime.render.figure import PALETTE, AtRisk, Figure, HeatMap, Panel, RankPanel, Reference, Series

NAN = math.nan
SVG = "{http://www.w3.org/2000/svg}"


def survival(title: str = "UCEC") -> Panel:
    high = Series(
        "high risk", [0, 1, 3], [1, 0.7, 0.3], [1, 0.5, 0.1], [1, 0.9, 0.5], "step", [2.0], [41, 17, 5]
    )
    low = Series("low risk", [0, 2, 4], [1, 0.9, 0.8], kind="step")
    table = AtRisk([0, 2, 4], {"high risk": [41, 17, 3], "low risk": [42, 33, 29]})
    return Panel(title, "years", "survival", (high, low), y_range=(0, 1), notes=("p = 0.01",), at_risk=table)


def dots(**changes: Any) -> Panel:
    left = Series(
        "probe", [0, 1, 2], [0.6, NAN, 0.7], [0.5, NAN, NAN], [0.7, NAN, NAN], "points", n=[25, 0, 1]
    )
    right = Series("tuned_50% & #1 <b>", [0, 1], [0.5, 0.65], kind="bars")
    words: dict[str, Any] = {
        "title": "A_b & $x$ 5%",
        "x_label": "variant",
        "y_label": "C-index (50% #1)",
        "series": (left, right),
        "categories": ("all_in & 5%", "no $\\frac$ image", "<i>#3</i>"),
    }
    return Panel(**(words | changes))


def figures() -> list[Figure]:
    lines = Series("PRIME", [32, 64, 128], [0.6, 0.62, NAN], [0.5, 0.6, NAN], [0.7, 0.64, NAN])
    sweep = Panel(
        "K", "prototypes", "C", (lines,), [32, 64, 128], x_log=True, references=(Reference(64, "c", "x"),)
    )
    ranks = RankPanel("ranks", {"b": 2.2, "a": 1.1, "c": 2.7}, (("b", "c"), ("a",)), 0.9)
    heat = HeatMap("h", "K", "w", ("32", "64"), ("0", "1"), [[0.5, NAN], [0.7, 0.6]], "C-index")
    return [
        Figure("km", "Kaplan-Meier", "", tuple(survival(name) for name in ("UCEC", "LUAD", "LGG")), 2),
        Figure("dots", "", "", (dots(references=(Reference(0.5, "chance"),)),)),
        Figure("flat", "", "", (dots(horizontal=True), dots(horizontal=True)), 2),
        Figure("sweep", "50% & #1_x", "", (sweep, dots()), 2),
        Figure("ranks", "r", "", (ranks,)),
        Figure("heat", "h", "", (heat,)),
        Figure("nothing", "", "", (Panel("n", "x", "y", (Series("a", [0, 1], [NAN, NAN], kind="step"),)),)),
    ]


@dataclass(frozen=True)
class Text:
    """A text of a picture, where it is anchored, and where it starts and ends, estimated from below."""

    text: str
    x: float
    y: float
    left: float
    right: float
    size: float
    turned: bool


def texts(picture: str) -> list[Text]:
    """All texts of an SVG in its own pixels."""
    found: list[Text] = []

    def walk(element: ElementTree.Element, x: float, y: float, turned: bool) -> None:
        transform = element.get("transform", "")
        for move in re.findall(r"translate\(([^)]*)\)", transform):
            dx, dy = (float(value) for value in move.split(","))
            x, y = x + dx, y + dy
        turned = turned or bool(re.search(r"rotate\((?!0\))", transform))
        if element.tag == f"{SVG}text":
            size = float(re.sub("px", "", element.get("font-size", "11")))
            lines = list(element.iter(f"{SVG}tspan")) or [element]
            for place, line in enumerate(lines):
                text = line.text or ""
                width = 0.42 * size * len(text)
                left = x - width * {"middle": 0.5, "end": 1.0}.get(element.get("text-anchor", ""), 0.0)
                found.append(Text(text, x, y + size * place, left, left + width, size, turned))
        for child in element:
            walk(child, x, y, turned)

    walk(ElementTree.fromstring(picture), 0.0, 0.0, False)
    return [text for text in found if text.text]


def words(figure: Figure) -> list[str]:
    return [text.text for text in texts(svg(figure))]


def legends(picture: str) -> list[list[str]]:
    """The entries of each legend of an SVG."""
    return [
        [text.text or "" for text in group.iter(f"{SVG}text")]
        for group in ElementTree.fromstring(picture).iter(f"{SVG}g")
        if "role-legend" in group.get("class", "").split()
    ]


def paths(picture: str, kind: str) -> list[str]:
    """The outlines of all marks of a kind (`line`, `area`) in an SVG."""
    return [
        path.get("d", "")
        for group in ElementTree.fromstring(picture).iter(f"{SVG}g")
        if {f"mark-{kind}", "role-mark"} <= set(group.get("class", "").split())
        for path in group.iter(f"{SVG}path")
    ]


def rows(figure: Figure, panel: int = 0, **wanted: Any) -> list[dict[str, Any]]:
    """Rows of a panel's data that have these values."""
    found = vega_lite(figure)["datasets"][f"panel{panel}"]
    return [row for row in found if all(row[key] == value for key, value in wanted.items())]


def layers(figure: Figure, panel: int = 0) -> list[dict[str, Any]]:
    return vega_lite(figure)["concat"][panel]["layer"]


def hover(figure: Figure, row: dict[str, Any]) -> dict[str, Any]:
    """What hovering over a row of the first panel shows, by its heading."""
    for layer in layers(figure):
        kinds = [part["filter"]["equal"] for part in layer.get("transform", ()) if "equal" in part["filter"]]
        if kinds == [row["kind"]] and "tooltip" in layer["encoding"]:
            return {field["title"]: row.get(field["field"]) for field in layer["encoding"]["tooltip"]}
    raise AssertionError("nothing is shown on hover")


def looks(figure: Figure) -> dict[str, tuple[str, str]]:
    """Colour and marker of each label, as the first panel's scales give them."""
    for layer in layers(figure):
        if {"color", "shape"} <= set(layer["encoding"]):
            colour, shape = (layer["encoding"][name]["scale"] for name in ("color", "shape"))
            return dict(zip(colour["domain"], zip(colour["range"], shape["range"], strict=True), strict=True))
    raise AssertionError("no layer with markers")


ALL = pytest.mark.parametrize("figure", figures(), ids=lambda figure: figure.name)


@ALL
def test_files_are_the_same_bytes_each_time(figure: Figure, tmp_path: Path) -> None:
    stem = tmp_path / "new" / "figure.1"
    write_figure(figure, stem)
    suffixes = ("svg", "pdf", "json")
    first = {path.name: path.read_bytes() for path in stem.parent.iterdir()}
    assert set(first) == {f"figure.1.{suffix}" for suffix in suffixes}
    assert first["figure.1.pdf"].startswith(b"%PDF")
    assert b"CreationDate" not in first["figure.1.pdf"]
    svg(figures()[-2])  # which counts gradients on
    write_figure(figure, stem)
    assert {path.name: path.read_bytes() for path in stem.parent.iterdir()} == first
    assert json.loads(first["figure.1.json"]) == page_figure(figure)


@ALL
def test_the_specification_is_valid_vega_lite_of_plain_data(figure: Figure) -> None:
    for spec in (vega_lite(figure), vega_lite(figure, columns=1, width=343)):
        json.dumps(spec, allow_nan=False)
        altair.ConcatChart.from_dict(spec)


@ALL
def test_nothing_is_written_outside_the_picture_or_over_other_text(figure: Figure) -> None:
    picture = svg(figure)
    root = ElementTree.fromstring(picture)
    width, height = float(root.get("width", "")), float(root.get("height", ""))
    level = [text for text in texts(picture) if not text.turned]
    for text in level:
        assert text.left >= -2, text
        assert text.right <= width + 2, text
        assert text.size * 0.7 <= text.y + text.size, text
        assert text.y <= height, text
    for place, one in enumerate(level):
        for other in level[place + 1 :]:
            apart = min(one.right, other.right) - max(one.left, other.left) < 3
            assert apart or abs(one.y - other.y) > 6, (one, other)


def test_describing_a_figure_loads_no_drawing_library() -> None:
    code = "import sys, prime.render.draw; assert not {'vl_convert', 'altair', 'pandas'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_narrow_page_has_the_same_data_one_panel_under_the_other() -> None:
    figure = figures()[0]
    page = page_figure(figure)
    assert (page["wide"]["columns"], page["narrow"]["columns"]) == (2, 1)
    assert page["datasets"] == vega_lite(figure, columns=1, width=343)["datasets"]
    for name in ("wide", "narrow"):
        assert "title" not in page[name], "the page writes it as a heading"
        assert "datasets" not in page[name]
    widths = [[view["width"] for view in page[name]["concat"]] for name in ("wide", "narrow")]
    assert max(widths[1]) < 343
    assert vega_lite(figure)["title"]["text"] == ["Kaplan-Meier"]


def test_survival_panels_have_both_curves_and_the_quantity_is_named_once_a_row() -> None:
    figure = figures()[0]
    for panel in range(3):
        high = rows(figure, panel, kind="step", label="high risk")
        assert [(row["at"], row["y"]) for row in high] == [(0, 1), (1, 0.7), (3, 0.3)]
        assert [(row["low"], row["high"]) for row in high] == [(1, 1), (0.5, 0.9), (0.1, 0.5)]
        assert rows(figure, panel, kind="censored") == [
            {"kind": "censored", "label": "high risk", "at": 2.0, "y": 0.7}
        ]
    named = [view["encoding"]["y"]["axis"]["title"] for view in vega_lite(figure)["concat"]]
    assert named == ["survival", None, "survival"]
    found = words(figure)
    assert found.count("years") == found.count("p = 0.01") == 3
    assert found.count("high risk") == 3, "at risk in the left column twice, and in the legend"
    steps = {layer["mark"]["interpolate"] for layer in layers(figure) if layer["mark"]["type"] == "line"}
    assert steps == {"step-after"}


def test_counts_stand_under_their_times_below_the_axis_label() -> None:
    figure = Figure("km", "", "", (survival(),))
    found = {text.text: text for text in texts(svg(figure))}
    for time, counts in (("0", ("41", "42")), ("2", ("17", "33")), ("4", ("3", "29"))):
        for count in counts:
            assert found[count].x == pytest.approx(found[time].x, abs=1)
            assert found[count].y > found["years"].y + 10
    assert found["41"].y == found["17"].y == found["3"].y < found["42"].y
    named = [
        text for text in texts(svg(figure)) if text.text == "high risk" and text.right < found["41"].left
    ]
    assert [text.y for text in named] == [pytest.approx(found["41"].y, abs=1)]


def test_labels_are_written_as_they_are() -> None:
    found = " ".join(words(figures()[1]))
    for text in ("A_b & $x$ 5%", "C-index (50% #1)", "tuned_50% & #1 <b>", "no $\\frac$ image", "chance"):
        assert text in found


@pytest.mark.parametrize("horizontal", [False, True])
def test_points_and_bars_stand_at_their_category(horizontal: bool) -> None:
    figure = Figure("f", "", "", (dots(horizontal=horizontal),))
    points, bars = rows(figure, kind="points"), rows(figure, kind="bars")
    assert [row["y"] for row in points] == [0.6, None, 0.7]
    assert [round(row["at"]) for row in points] == [0, 1, 2]
    assert [(row["start"] + row["end"]) / 2 for row in bars] == pytest.approx([row["at"] for row in bars])
    assert points[0]["at"] < bars[0]["start"] < bars[0]["end"]
    along, up = ("y", "x") if horizontal else ("x", "y")
    shared = vega_lite(figure)["concat"][0]["encoding"]
    assert (shared[along]["field"], shared[up]["field"]) == ("at", "y")
    (bar,) = (layer["encoding"] for layer in layers(figure) if layer["mark"]["type"] == "rect")
    assert (bar[along]["field"], bar[f"{along}2"]["field"], bar[f"{up}2"]) == ("start", "end", {"datum": 0})
    assert shared[along]["scale"]["reverse"] is horizontal, "the first name is the uppermost"


def test_an_interval_that_does_not_hold_its_value_is_drawn_as_it_is() -> None:
    odd = Series("a", [0], [0.9], [0.5], [0.7], "points")
    (row,) = rows(Figure("f", "", "", (Panel("t", "x", "y", (odd,), categories=("one",)),)))
    assert (row["low"], row["y"], row["high"]) == (0.5, 0.9, 0.7)


def test_lines_and_bands_are_broken_where_a_value_is_undefined() -> None:
    broken = Series("a", range(5), [1, 1, NAN, 1, 1], [0, 0, NAN, 0, 0], [2, 2, NAN, 2, 2])
    picture = svg(Figure("f", "", "", (Panel("t", "x", "y", (broken,)),)))
    (line,), (band,) = paths(picture, "line"), paths(picture, "area")
    assert line.count("M") == band.count("M") == 2


def test_what_has_no_place_on_the_axis_is_not_drawn(tmp_path: Path) -> None:
    smooth = Series("smooth", [NAN, NAN], [NAN, NAN])
    groups = Series("groups", [0.2, math.inf], [0.3, 0.5], [0.1, 0.2], [0.4, 0.7], "points")
    panel = Panel("5 years", "predicted", "observed", (smooth, groups), y_range=(0, 1))
    figure = Figure("calibration", "", "", (panel,))
    write_figure(figure, tmp_path / "calibration")
    drawn = json.loads((tmp_path / "calibration.json").read_text())
    rows = [row for rows in drawn["datasets"].values() for row in rows]
    assert [(row["label"], row["at"], row["y"]) for row in rows] == [("groups", 0.2, 0.3)]


def test_marks_do_not_hide_a_long_line() -> None:
    def size(count: int) -> int:
        figure = Figure("f", "", "", (Panel("t", "x", "y", (Series("a", range(count), range(count)),)),))
        return next(layer["mark"]["size"] for layer in layers(figure) if layer["mark"]["type"] == "point")

    assert size(200) < size(6)


def test_heat_map_writes_its_cells_and_frames_the_best() -> None:
    figure = figures()[5]
    assert [row["text"] for row in rows(figure)] == ["0.500", "-", "0.700", "0.600"]
    assert [row["value"] for row in rows(figure)] == [0.5, None, 0.7, 0.6]
    (best,) = rows(figure, best=True)
    assert (best["row"], best["column"]) == (1, 0)
    assert (best["left"], best["right"], best["top"], best["bottom"]) == (-0.5, 0.5, 0.5, 1.5)
    assert {"0.500", "0.600", "0.700", "-", "32", "64", "C-index"} <= set(words(figure))
    values = [[0.5, NAN], [0.7, 0.6]]
    assert HeatMap("h", "", "", ("a", "b"), ("c", "d"), values, "v", higher=False).best() == (0, 0)
    assert HeatMap("h", "", "", ("a",), ("c",), [[NAN]], "v").best() is None


def test_rank_panel_has_every_method_its_rank_and_a_bar_for_each_real_group() -> None:
    figure = figures()[4]
    panel = figure.panels[0]
    assert isinstance(panel, RankPanel)
    assert panel.spans() == [(2.2, 2.7)], "a group of one is no bar"
    found = {text.text: text for text in texts(svg(figure))}
    for name, rank in (("a", "1.10"), ("b", "2.20"), ("c", "2.70")):
        assert found[name].y == pytest.approx(found[rank].y, abs=4)
    assert found["a"].y < found["b"].y < found["c"].y
    assert "critical difference 0.90" in found
    bars = [layer["data"]["values"] for layer in layers(figure) if layer["mark"].get("strokeWidth") == 5]
    assert bars == [[{"first": 0.7, "last": 2.3, "methods": "b, c"}]]


def test_ticks_may_be_an_array() -> None:
    series = (Series("a", [0, 1], [0.2, 0.3]),)
    panels = [Panel("t", "x", "y", series, ticks) for ticks in (np.arange(3.0), [0.0, 1.0, 2.0])]
    one, other = (vega_lite(Figure("f", "", "", (panel,))) for panel in panels)
    assert one == other


def test_a_panel_without_any_value_says_so() -> None:
    assert "nothing defined" in words(figures()[6])


def test_hover_text_gives_label_x_y_interval_and_n() -> None:
    figure = figures()[0]
    assert hover(figure, rows(figure, kind="step")[1]) == {
        "title": "high risk", "years": 1, "survival": 0.7, "interval": "0.5 to 0.9", "n": 17,
    }  # fmt: skip
    figure = figures()[1]
    assert hover(figure, rows(figure, kind="points")[1]) == {
        "title": "probe", "variant": "no $\\frac$ image", "C-index (50% #1)": None, "interval": "", "n": 0,
    }  # fmt: skip


def line_panel(*labels: str) -> Panel:
    return Panel("t", "x", "y", tuple(Series(label, [0, 1], [0, 1]) for label in labels))


def test_colours_are_one_a_label_and_unique_within_a_panel() -> None:
    few = Figure("f", "", "", (line_panel("PRIME", "image"), line_panel("PRIME", "early")), 2)
    assert few.colours() == dict(zip(("PRIME", "image", "early"), PALETTE, strict=False))
    assert not few.one_legend()
    many = [f"m{number}" for number in range(7)]
    crowded = Figure("f", "", "", (line_panel("PRIME", "image", "rna"), line_panel("PRIME", *many)), 2)
    colours = crowded.colours()
    assert len({colours[label] for label in ("PRIME", *many)}) == 8
    assert colours["image"] != colours["PRIME"]
    together = Figure("f", "", "", (line_panel(*map(str, range(12))),))
    assert len(set(looks(together).values())) == 12, "past eight colours the marker tells lines apart"


def test_a_given_colour_is_kept_and_not_given_twice() -> None:
    own = Series("b", [0], [1], colour=PALETTE[0])
    figure = Figure("f", "", "", (Panel("t", "x", "y", (Series("a", [0], [1]), own)),))
    assert figure.colours() == {"a": PALETTE[1], "b": PALETTE[0]}


def test_legends_are_one_for_all_or_one_a_panel() -> None:
    assert legends(svg(figures()[0])) == [["high risk", "low risk"]]
    apart = Figure("f", "", "", (line_panel("a", "b"), line_panel("a", "c")), 2)
    assert legends(svg(apart)) == [["a", "b"], ["a", "c"]]
    assert legends(svg(Figure("f", "", "", (line_panel("a"),)))) == [], "one label has no other beside it"


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: Series("a", [0, 1], [0]), "2 x, but 1 y"),
        (lambda: Series("a", [0], [0], low=[0]), "both of low and high"),
        (lambda: Series("a", [0], [0], n=[1, 2]), "1 x, but 2 n"),
        (lambda: AtRisk([0, 1], {"a": [1]}), "2 times, but 1 counts"),
        (lambda: Panel("t", "", "", (), horizontal=True), "needs categories"),
        (lambda: Panel("t", "", "", (Series("a", [2], [0]),), categories=("x",)), "none of 1 categories"),
        (lambda: HeatMap("h", "", "", ("a",), ("b",), [[1, 2]], "v"), "not 1 x 1"),
        (lambda: RankPanel("r", {"a": 1.0}, (("b",),)), "no rank of 'b'"),
        (lambda: RankPanel("r", {"a": 3.0}), "outside 1..1"),
        (lambda: Figure("f", "", "", ()), "needs a panel"),
    ],
)
def test_descriptions_that_make_no_sense_are_refused(build: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build()


def test_rows_stand_beside_each_other_only_where_they_meet() -> None:
    names = ("one", "two", "three")

    def panel(*rows: Series) -> Panel:
        return Panel("t", "", "", rows, categories=names, horizontal=True)

    meeting = Series("a", [0, 1], [0.1, 0.2], kind="points"), Series("b", [1, 2], [0.3, 0.4], kind="points")
    assert [panel(*meeting).dodge(series)[0] for series in meeting] == pytest.approx([-0.175, 0.175])
    apart = meeting[0], Series("b", [2], [0.3], kind="points")
    assert [panel(*apart).dodge(series) for series in apart] == [(0.0, 0.7)] * 2

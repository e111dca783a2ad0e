"""Figures: what is drawn, the same bytes each time, and the same description in print and on the page."""

import json
import math
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.text import Text

from prime.render.draw_matplotlib import compose, draw
from prime.render.draw_plotly import to_plotly
from prime.render.figure import PALETTE, AtRisk, Figure, HeatMap, Panel, RankPanel, Reference, Series

NAN = math.nan


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


def texts(figure: Figure) -> list[str]:
    canvas = compose(figure)
    return [
        found.get_text() for found in canvas.findobj(Text) if isinstance(found, Text) and found.get_text()
    ]


def panels(figure: Figure) -> Iterator[Axes]:
    return (axis for axis in compose(figure).axes if axis.axison)


def near(values: Any, expected: list[float]) -> bool:
    return len(values) == len(expected) and bool(
        np.allclose(np.asarray(values, float), expected, equal_nan=True)
    )


@pytest.mark.parametrize("figure", figures(), ids=lambda figure: figure.name)
def test_files_are_the_same_bytes_each_time(figure: Figure, tmp_path: Path) -> None:
    settings = dict(matplotlib.rcParams)
    paths = draw(figure, tmp_path / "new" / "figure.1")
    assert [path.name for path in paths] == ["figure.1.png", "figure.1.pdf"]
    first = [path.read_bytes() for path in paths]
    assert first[0].startswith(b"\x89PNG")
    assert first[1].startswith(b"%PDF")
    assert b"CreationDate" not in first[1]
    assert [path.read_bytes() for path in draw(figure, tmp_path / "new" / "figure.1")] == first
    assert dict(matplotlib.rcParams) == settings, "global settings are left as they were"


def test_drawing_loads_no_window_system() -> None:
    code = (
        "import sys, prime.render.draw_matplotlib, prime.render.draw_plotly;"
        "assert 'matplotlib.pyplot' not in sys.modules; assert 'plotly' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_survival_panels_have_both_curves_counts_and_one_label_for_the_row() -> None:
    figure = figures()[0]
    axes = list(panels(figure))
    assert len(axes) == 3, "the empty place of the grid is not drawn"
    for axis in axes:
        steps = [line for line in axis.lines if line.get_drawstyle() == "steps-post"]
        assert len(steps) == 2
        assert near(steps[0].get_ydata(), [1, 0.7, 0.3])
        censored = next(line for line in axis.lines if line.get_marker() == "|" and len(line.get_xdata()))
        assert near(censored.get_xdata(), [2])
        assert near(censored.get_ydata(), [0.7])
        assert axis.get_xlabel() == "years"
        counts = [text.get_text() for text in axis.texts]
        for count in ("41", "17", "3", "42", "33", "29", "p = 0.01"):
            assert count in counts
    assert [axis.get_ylabel() for axis in axes] == ["survival", "", "survival"]
    assert texts(figure).count("high risk") == 3, "at risk in the left column twice, and in the legend"


def test_counts_stand_under_their_times_below_the_axis_label() -> None:
    canvas = compose(Figure("km", "", "", (survival(),)))
    canvas.draw_without_rendering()
    axis = canvas.axes[0]
    label = axis.xaxis.label.get_window_extent()
    for text in axis.texts:
        if text.get_text() in ("42", "33", "29"):
            box = text.get_window_extent()
            assert box.y1 < label.y0
            time = {"42": 0, "33": 2, "29": 4}[text.get_text()]
            middle = axis.transData.transform((time, 0))[0]
            assert (box.x0 + box.x1) / 2 == pytest.approx(middle, abs=2)


def test_nothing_is_drawn_outside_the_page_or_over_another_panel() -> None:
    for figure in figures():
        canvas = compose(figure)
        canvas.draw_without_rendering()
        page = canvas.bbox
        boxes = [axis.get_tightbbox() for axis in canvas.axes if axis.axison]
        for box in filter(None, boxes):
            assert box.x0 >= page.x0 - 1, figure.name
            assert box.x1 <= page.x1 + 1, figure.name
            assert box.y0 >= page.y0 - 1, figure.name
            assert box.y1 <= page.y1 + 1, figure.name
        for place, box in enumerate(boxes):
            for other in boxes[place + 1 :]:
                assert box is not None
                assert other is not None
                overlap = (
                    min(box.x1, other.x1) - max(box.x0, other.x0),
                    min(box.y1, other.y1) - max(box.y0, other.y0),
                )
                assert min(overlap) < 2, figure.name


def test_labels_are_written_as_they_are() -> None:
    found = texts(figures()[1])
    for text in ("A_b & $x$ 5%", "C-index (50% #1)", "tuned_50% & #1 <b>", "no $\\frac$ image", "chance"):
        assert text in found
    page = json.dumps(to_plotly(figures()[1]))
    assert "tuned_50% &amp; #1 &lt;b&gt;" in page
    assert "<i>" not in page


@pytest.mark.parametrize("horizontal", [False, True])
def test_points_and_bars_stand_at_their_category(horizontal: bool) -> None:
    axis = next(panels(Figure("f", "", "", (dots(horizontal=horizontal),))))
    line = axis.lines[0]
    places, values = (
        (line.get_ydata(), line.get_xdata()) if horizontal else (line.get_xdata(), line.get_ydata())
    )
    assert near(values, [0.6, NAN, 0.7])
    assert near(np.round(np.asarray(places, float)), [0, 1, 2])
    sizes = [bar.get_width() if horizontal else bar.get_height() for bar in axis.patches]  # type: ignore[attr-defined]
    assert near(sizes, [0.5, 0.65])
    ticks = axis.get_yticklabels() if horizontal else axis.get_xticklabels()
    assert [tick.get_text() for tick in ticks] == ["all_in & 5%", "no $\\frac$ image", "<i>#3</i>"]


def test_an_interval_that_does_not_hold_its_value_is_drawn_as_it_is() -> None:
    odd = Series("a", [0], [0.9], [0.5], [0.7], "points")
    figure = Figure("f", "", "", (Panel("t", "x", "y", (odd,), categories=("one",)),))
    (whisker,) = next(panels(figure)).collections
    assert near(whisker.get_paths()[0].vertices[:, 1], [0.5, 0.7])  # type: ignore[attr-defined]
    assert to_plotly(figure)["data"][1]["y"] == [0.5, 0.7, None]


def test_heat_map_writes_its_cells_and_frames_the_best() -> None:
    figure = figures()[5]
    found = texts(figure)
    assert [text for text in found if text in ("0.500", "0.600", "0.700", "-")] == [
        "0.500",
        "-",
        "0.700",
        "0.600",
    ]
    (frame,) = next(panels(figure)).patches
    assert (round(frame.get_x()), round(frame.get_y())) == (0, 1)  # type: ignore[attr-defined]
    plotly = to_plotly(figure)
    assert plotly["data"][0]["z"] == [[0.5, None], [0.7, 0.6]]
    assert plotly["layout"]["shapes"][0]["y0"] == 0.5
    values = [[0.5, NAN], [0.7, 0.6]]
    assert HeatMap("h", "", "", ("a", "b"), ("c", "d"), values, "v", higher=False).best() == (0, 0)
    assert HeatMap("h", "", "", ("a",), ("c",), [[NAN]], "v").best() is None


def test_rank_panel_has_every_method_its_rank_and_a_bar_for_each_real_group() -> None:
    figure = figures()[4]
    found = texts(figure)
    for text in ("a  1.10", "b  2.20", "2.70  c", "critical difference 0.90"):
        assert text in found
    panel = figure.panels[0]
    assert isinstance(panel, RankPanel)
    assert panel.spans() == [(2.2, 2.7)], "a group of one is no bar"
    traces = to_plotly(figure)["data"]
    assert traces[0]["x"] == [1.1, 2.2, 2.7]
    assert [trace["y"] for trace in traces if "not told apart:" in str(trace.get("hovertext"))] == [[1, 2]]


def test_a_panel_without_any_value_says_so() -> None:
    assert "nothing defined" in texts(figures()[6])
    assert "nothing defined" in json.dumps(to_plotly(figures()[6]))


@pytest.mark.parametrize("figure", figures(), ids=lambda figure: figure.name)
def test_plotly_is_plain_data_and_the_same_each_time(figure: Figure) -> None:
    data = to_plotly(figure)
    text = json.dumps(data, allow_nan=False)
    assert text == json.dumps(to_plotly(figure), allow_nan=False)
    assert "bdata" not in text
    assert data["layout"]["autosize"] is True
    assert "width" not in data["layout"]
    names = {
        "x" if key == "xaxis" else key.replace("axis", "")
        for key in data["layout"]
        if key.startswith("xaxis")
    }
    assert {trace["xaxis"] for trace in data["data"]} == names
    assert len(names) == len(figure.panels)


def test_hover_text_gives_label_x_y_interval_and_n() -> None:
    data = to_plotly(figures()[0])
    curve = next(trace for trace in data["data"] if trace.get("line", {}).get("dash") == "solid")
    wanted = "<b>high risk</b><br>years: 1<br>survival: 0.7<br>interval: 0.5 to 0.9<br>n: 17"
    assert curve["hovertext"][1] == wanted
    counts = [
        note["text"] for note in data["layout"]["annotations"] if note["y"] == 0 and note["xref"] == "x"
    ]
    assert counts == ["41", "17", "3", "42", "33", "29"]
    shown = [trace["name"] for trace in data["data"] if trace.get("showlegend")]
    assert shown == ["high risk", "low risk"], "each label once for all panels"
    dotted = to_plotly(figures()[1])["data"][0]
    assert (
        dotted["hovertext"][1]
        == "<b>probe</b><br>variant: no $\\frac$ image<br>C-index (50% #1): nan<br>n: 0"
    )


def test_a_band_is_broken_where_the_interval_is_undefined() -> None:
    broken = Series("a", [0, 1, 2, 3], [1, 1, 1, 1], [0, NAN, 0, 0], [2, NAN, 2, 2])
    traces = to_plotly(Figure("f", "", "", (Panel("", "", "", (broken,)),)))["data"]
    assert [trace["x"] for trace in traces if trace.get("fill") == "tonexty"] == [[0], [2, 3]]


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
    axis = next(panels(together))
    looks = {(line.get_color(), line.get_marker()) for line in axis.lines}
    assert len(looks) == 12, "past eight colours the marker tells lines apart"


def test_a_given_colour_is_kept_and_not_given_twice() -> None:
    own = Series("b", [0], [1], colour=PALETTE[0])
    figure = Figure("f", "", "", (Panel("t", "x", "y", (Series("a", [0], [1]), own)),))
    assert figure.colours() == {"a": PALETTE[1], "b": PALETTE[0]}


def test_legends_are_one_for_all_or_one_a_panel() -> None:
    canvas = compose(figures()[0])
    assert len(canvas.legends) == 1
    assert all(axis.get_legend() is None for axis in canvas.axes)
    apart = compose(Figure("f", "", "", (line_panel("a", "b"), line_panel("a", "c")), 2))
    assert not apart.legends
    entries = [
        [text.get_text() for text in legend.get_texts()]
        for axis in apart.axes
        if (legend := axis.get_legend())
    ]
    assert entries == [["a", "b"], ["a", "c"]]


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

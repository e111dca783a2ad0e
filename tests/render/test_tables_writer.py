"""Tables: cells, marks for the best, escaping, and the same bytes each time."""

import math
from io import StringIO
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from prime.render.tables import Table, cell, mark_best, to_latex, to_markdown, write_table

NAN = math.nan


def table(display: pd.DataFrame, **changes: object) -> Table:
    words: dict[str, object] = {"name": "t", "title": "A title", "caption": "A caption.", "frame": display}
    return Table(**(words | changes | {"display": display}))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("mean", "spread", "digits", "expected"),
    [
        (0.6456, 0.0084, 3, "0.646 ± 0.008"),
        (0.6456, NAN, 3, "0.646"),
        (NAN, 0.1, 3, "-"),
        (NAN, NAN, 3, "-"),
        (-0.0001, NAN, 3, "0.000"),
        (-0.0126, 0.5, 2, "-0.01 ± 0.50"),
        (12.0, NAN, 0, "12"),
    ],
)
def test_cell(mean: float, spread: float, digits: int, expected: str) -> None:
    assert cell(mean, spread, digits) == expected


def test_best_is_bold_second_underlined_ties_share_and_nan_is_left_alone() -> None:
    values = pd.DataFrame({"up": [0.7001, 0.5, 0.7, NAN, 0.6], "down": [3.0, 1.0, 2.0, 2.0, NAN]})
    display = values.map(cell)
    marked = mark_best(display, values, higher=[True, False])
    assert list(marked["up"]) == ["**0.700**", "0.500", "**0.700**", "-", "<u>0.600</u>"]
    assert list(marked["down"]) == ["3.000", "**1.000**", "<u>2.000</u>", "<u>2.000</u>", "-"]
    assert display["up"].iloc[0] == "0.700", "the given table is not changed"


def test_a_lone_value_is_not_called_best() -> None:
    values = pd.DataFrame({"a": [NAN, 0.5]})
    assert list(mark_best(values.map(cell), values)["a"]) == ["-", "0.500"]


def test_marks_refuse_shapes_that_disagree() -> None:
    values = pd.DataFrame({"a": [1.0, 2.0]})
    with pytest.raises(ValueError, match="display is"):
        mark_best(values.map(cell).iloc[:1], values)
    with pytest.raises(ValueError, match="2 directions, 1 columns"):
        mark_best(values.map(cell), values, higher=[True, True])


def test_markdown_of_a_small_table() -> None:
    display = pd.DataFrame({"C-index": ["**0.6 ± 0.1**", "-"], "note": ["a|b*", "x_y _z_ <b> $1$"]})
    display.index = pd.Index(["PRIME", "MulT"], name="method")
    text = to_markdown(table(display, notes=["second note"]))
    assert text.splitlines() == [
        "**A title**",
        "",
        "| method | C-index | note |",
        "| --- | ---: | --- |",
        "| PRIME | **0.6 ± 0.1** | a\\|b\\* |",
        "| MulT | - | x_y \\_z\\_ &lt;b> \\$1\\$ |",
        "",
        "A caption.",
        "",
        "- second note",
    ]


def test_latex_escapes_everything_and_marks_cells() -> None:
    display = pd.DataFrame({"a_b & 5%": ["**0.6 ± 0.1**", "<u>-0.012</u>", "-"]})
    display.index = pd.Index(["[10] #1", "{x}~^\\", "α < 2 – $y$"], name="method")
    text = to_latex(table(display, name="a b/c", title="50% & more", notes=["p_1 < 0.05"]))
    lines = text.splitlines()
    assert r"\caption{50\% \& more. A caption.}" in lines
    assert r"\label{tab:a-b-c}" in lines
    assert r"\begin{tabular}{lr}" in lines
    assert r"method & a\_b \& 5\% \\" in lines
    assert r"{[}10{]} \#1 & \textbf{0.6 $\pm$ 0.1} \\" in lines
    assert r"\{x\}\textasciitilde{}\textasciicircum{}\textbackslash{} & \underline{$-$0.012} \\" in lines
    assert r"$\alpha$ $<$ 2 -- \$y\$ & -- \\" in lines
    assert r"\par\smallskip{\footnotesize p\_1 $<$ 0.05\par}" in lines
    for rule in (r"\toprule", r"\midrule", r"\bottomrule"):
        assert lines.count(rule) == 1
    assert text.count("{") - text.count(r"\{") == text.count("}") - text.count(r"\}")


def test_levels_of_headers() -> None:
    columns = pd.MultiIndex.from_tuples([("T1", "Full"), ("T1", "LI"), ("T2", "Full")])
    index = pd.MultiIndex.from_tuples([("os", "a"), ("os", "b"), ("death", "b")], names=["task", "method"])
    display = pd.DataFrame([["1", "2", "3"]] * 3, index=index, columns=columns)
    markdown = to_markdown(table(display)).splitlines()
    assert markdown[2] == "| task | method | T1 / Full | T1 / LI | T2 / Full |"
    assert markdown[4:7] == ["| os | a | 1 | 2 | 3 |", "|  | b | 1 | 2 | 3 |", "| death | b | 1 | 2 | 3 |"]
    latex = to_latex(table(display)).splitlines()
    assert r" &  & \multicolumn{2}{c}{T1} & \multicolumn{1}{c}{T2} \\" in latex
    assert r"\cmidrule(lr){3-4} \cmidrule(lr){5-5}" in latex
    assert r"task & method & Full & LI & Full \\" in latex


def test_files_hold_full_precision_and_the_same_bytes_each_time(tmp_path: Path) -> None:
    numbers = np.random.default_rng(3).normal(size=(4, 2))
    numbers[2, 1] = np.nan
    frame = pd.DataFrame(numbers, columns=["Köln", "b"])
    whole = Table("t", "T", "c", frame, frame.map(cell))
    paths = write_table(whole, tmp_path / "new" / "table.1")
    assert [path.name for path in paths] == ["table.1.csv", "table.1.md", "table.1.tex"]
    first = [path.read_bytes() for path in paths]
    assert [path.read_bytes() for path in write_table(whole, tmp_path / "new" / "table.1")] == first
    back = pd.read_csv(StringIO(first[0].decode("utf-8")), float_precision="round_trip")
    pd.testing.assert_frame_equal(back, frame, check_exact=True)
    assert b"\r" not in b"".join(first)
    assert sorted(path.name for path in paths[0].parent.iterdir()) == [path.name for path in paths]


def test_a_named_index_is_written_to_csv(tmp_path: Path) -> None:
    frame = pd.DataFrame({"v": [1.5]}, index=pd.Index(["PRIME"], name="method"))
    path = write_table(table(frame.map(cell), frame=frame), tmp_path / "t")[0]
    assert path.read_text(encoding="utf-8") == "method,v\nPRIME,1.5\n"

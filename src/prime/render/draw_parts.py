"""Pieces of Vega-Lite that every kind of panel uses: fonts and greys, widths of text, labels at a pixel."""

import json
import textwrap
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

Spec = dict[str, Any]

FONT = "Liberation Sans, Arial, Helvetica, sans-serif"  # three fonts whose letters have the same widths
INK, GREY, RULE = "#1B1F24", "#555555", "#777777"
FRAME = "#D55E00"
TITLE = 12  # pixels, of the title of a panel
SIZE = 11  # pixels, of axis labels, notes and numbers at risk
LINE = 14  # pixels from one line of small text to the next
_NAME_LINE = 12  # pixels from one line of a name to the next
_LETTER = 0.52  # width of a mean letter, in font sizes


def text_width(text: str, size: float = SIZE) -> float:
    """Estimated pixels of one line of text."""
    return _LETTER * size * len(text)


def wrapped(text: str, width: float, size: float = SIZE) -> list[str]:
    """The text in lines of at most about `width` pixels; a longer word keeps its line to itself."""
    return textwrap.wrap(text, max(8, int(width / (_LETTER * size))), break_long_words=False) or [""]


def label(text: str, x: float, y: float, **look: Any) -> Spec:
    """A layer with one text at a pixel of the panel; (0, 0) is its upper left corner."""
    return {
        "data": {"values": [{}]},
        "mark": {"type": "text", "text": text, "fontSize": SIZE, "color": GREY, "align": "left", **look},
        "encoding": {"x": {"value": x}, "y": {"value": y}},
    }


def names_axis(names: Sequence[str], title: str, width: float) -> Spec:
    """An axis that writes a name at each of the positions 0, 1, ...

    Args:
        names: written as they are, in lines of at most about `width` pixels.
        title: of the axis, empty for none.
        width: pixels.
    """
    lines = [wrapped(name, width) for name in names]
    return {
        "title": title or None,
        "values": list(range(len(names))),
        "labelExpr": f"{json.dumps(lines, ensure_ascii=False)}[datum.value]",
        "labelLimit": 0,
        "labelOverlap": False,
        "ticks": False,
        "grid": False,
    }


def side_names_axis(names: Sequence[str], title: str, width: float) -> Spec:
    """`names_axis` down the left side: names of several lines stand in the middle of their places."""
    places: dict[int, list[int]] = {}
    for place, name in enumerate(names):
        places.setdefault(len(wrapped(name, width)), []).append(place)
    raised = [
        {"test": f"indexof({found}, datum.value) >= 0", "value": -_NAME_LINE * (lines - 1) / 2}
        for lines, found in places.items()
        if lines > 1
    ]
    offset = {"labelOffset": {"condition": raised, "value": 0}} if raised else {}
    return names_axis(names, title, width) | {"labelPadding": 7, "labelLineHeight": _NAME_LINE} | offset


def names_step(names: Sequence[str], width: float) -> float:
    """Pixels from one name down the side to the next, so that no two run into each other."""
    lines = [len(wrapped(name, width)) for name in names]
    pairs = [(before + after) / 2 for before, after in pairwise(lines)]
    return _NAME_LINE * max(pairs, default=max(lines, default=1)) + 3


def names_scale(count: int, reverse: bool = False) -> Spec:
    """A scale with one unit per name; `reverse` puts the first name at the top of a y axis."""
    return {"domain": [-0.5, count - 0.5], "nice": False, "zero": False, "reverse": reverse}


def heading(title: str, notes: Sequence[str], above: float, width: float) -> list[Spec]:
    """Layers with the title of a panel, `above` pixels over its axes, and small lines under it.

    Titles of Vega-Lite stand above whatever a panel has highest, which differs within a row of panels.
    """
    layers: list[Spec] = []
    up = -above
    for line in title_lines(title, width):
        layers.append(
            label(line, 0, up, fontSize=TITLE, stroke=INK, strokeWidth=0.4, color=INK, baseline="top")
        )
        up += TITLE + 4
    for line in note_lines(notes, width):
        layers.append(label(line, 0, up, baseline="top"))
        up += LINE
    return layers


def title_lines(title: str, width: float) -> list[str]:
    """The title of a panel in lines of at most about `width` pixels."""
    return wrapped(title, width, 1.1 * TITLE) if title else []


def note_lines(notes: Sequence[str], width: float) -> list[str]:
    """The lines under a title, each of at most about `width` pixels."""
    return [line for note in notes for line in wrapped(note, width)]


def heading_height(title: str, notes: Sequence[str], width: float) -> float:
    """Pixels of title and notes."""
    return (TITLE + 4) * len(title_lines(title, width)) + LINE * len(note_lines(notes, width))

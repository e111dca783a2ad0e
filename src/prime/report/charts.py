"""Figures on the page: what plotly.js draws on a wide and on a narrow page, and the picture instead."""

import json
import textwrap
from typing import Any

from prime.report.markup import data_uri, escaped
from prime.report.read import Drawing, StudyFigure

_TITLE_ROOM = 36  # pixels that plotly keeps above the panels for a title, which the page sets itself
_PANEL_WIDTH = 250  # pixels that a panel beside others needs to be read
_NAMED_WIDTH = 300  # pixels that a panel needs to the right of names
_LETTER = 6.5  # pixels of a letter of such a name
_NAME_LINE = 18  # letters of a name in one line on a narrow page

Layout = dict[str, Any]


def figure_html(figure: StudyFigure, place: str) -> str:
    """A place for plotly.js to draw into, what to draw, and the picture for paper and where no script runs.

    Args:
        figure: without `narrow`, several panels side by side scroll in their own box on a narrow page.
        place: the id of the figure on the page.
    """
    text = figure.text
    wide, narrow = untitled(text.plotly), broken_names(untitled(text.narrow or text.plotly))
    sizes = (
        f'data-height="{_height(wide)}" data-width="{least_width(wide.layout)}" '
        f'data-narrow-height="{_height(narrow)}" data-narrow-width="{least_width(narrow.layout)}"'
    )
    picture = f'<img alt="{escaped(text.title)}" src="{data_uri("image/png", figure.png)}">'
    return (
        f'<figure id="{place}">\n<h3>{escaped(text.title)}</h3>\n'
        f'<div class="scroll plot"><div class="canvas" id="{place}/plot" {sizes}></div></div>\n{picture}\n'
        f"<figcaption>{escaped(text.caption)}</figcaption>\n"
        f'<script type="application/json" id="{place}/plot/data">{script_json(wide, narrow)}</script>\n'
        "</figure>"
    )


def untitled(drawing: Drawing) -> Drawing:
    """The drawing without its title, which the page writes where it can break into lines."""
    layout = drawing.layout
    if not layout.get("title", {}).get("text"):
        return drawing
    changed: Layout = {"title": {"text": ""}}
    margin: Layout = layout.get("margin", {})
    if "t" in margin and "height" in layout:
        changed["margin"] = margin | {"t": margin["t"] - _TITLE_ROOM}
        changed["height"] = layout["height"] - _TITLE_ROOM
    return Drawing(data=drawing.data, layout=layout | changed)


def broken_names(drawing: Drawing) -> Drawing:
    """The drawing with long names down the left side broken into lines."""
    changed = {
        key: axis
        | {
            "ticktext": [
                "<br>".join(textwrap.wrap(name, _NAME_LINE, break_long_words=False))
                for name in axis["ticktext"]
            ]
        }
        for key, axis in _axes(drawing.layout, "yaxis").items()
        if axis.get("ticktext")
    }
    return Drawing(data=drawing.data, layout=drawing.layout | changed)


def least_width(layout: Layout) -> int:
    """Pixels below which the figure is unreadable, so that it scrolls in its own box; 0 where it fits."""
    columns = len({axis["domain"][0] for axis in _axes(layout, "xaxis").values() if "domain" in axis})
    lines = [line for name in _names(layout) for line in name.split("<br>")]
    longest = max(map(len, lines), default=0)
    named = _LETTER * longest + _NAMED_WIDTH if longest > _NAME_LINE // 2 else 0
    return round(max(named, _PANEL_WIDTH * columns if columns > 1 else 0))


def script_json(wide: Drawing, narrow: Drawing) -> str:
    """Both drawings as JSON that cannot end its script element; of the narrow traces only what differs."""
    changes = [
        {key: new.get(key) for key in sorted({*old, *new}) if old.get(key) != new.get(key)}
        for old, new in zip(wide.data, narrow.data, strict=True)
    ]
    value = {
        "data": wide.data,
        "layout": wide.layout,
        "narrow": {"changes": changes, "layout": narrow.layout},
    }
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return text.replace("&", r"\u0026").replace("<", r"\u003c").replace(">", r"\u003e")


def _names(layout: Layout) -> list[str]:
    """All names down the left sides."""
    names: list[str] = []
    for axis in _axes(layout, "yaxis").values():
        names += axis.get("ticktext") or []
    return names


def _axes(layout: Layout, kind: str) -> dict[str, Layout]:
    return {key: axis for key, axis in layout.items() if key.startswith(kind)}


def _height(drawing: Drawing) -> int:
    return round(float(drawing.layout.get("height", 450)))

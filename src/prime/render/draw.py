"""Figures as Vega-Lite: the same specification gives the files for print and the figure on the page."""

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

from prime.files import replacing, write_text
from prime.render.draw_axes import Place
from prime.render.draw_grids import (
    heat_map_margins,
    heat_map_rows,
    heat_map_view,
    rank_head,
    rank_margins,
    rank_rows,
    rank_view,
)
from prime.render.draw_panel import Look, panel_margins, panel_rows, panel_view, under_axis
from prime.render.draw_parts import FONT, INK, LINE, SIZE, Spec, heading, heading_height, text_width, wrapped
from prime.render.figure import AnyPanel, Figure, HeatMap, Panel, RankPanel

SCHEMA = "https://vega.github.io/schema/vega-lite/v6.json"
_TITLE = 15  # pixels
_GAP = 26  # pixels between panels
_NAMED = 0.4  # of the width, at most, for names down the side
_LEAST = 110  # pixels of a plot
_PHONE = 343  # pixels of the narrow version

_CONFIG: Spec = {
    "font": FONT,
    "aria": False,
    "view": {"stroke": None},
    "title": {"color": INK, "fontSize": _TITLE, "fontWeight": "normal", "anchor": "start", "offset": 12},
    "axis": {"labelFontSize": SIZE, "titleFontSize": SIZE, "titleFontWeight": "normal", "labelColor": INK,
             "titleColor": INK, "domainColor": INK, "tickColor": INK, "gridColor": "#E5E5E5", "tickSize": 4,
             "labelFlush": False},
    "legend": {"orient": "bottom", "labelFontSize": SIZE, "titleFontSize": SIZE, "titleFontWeight": "normal",
               "labelLimit": 0, "labelColor": INK, "titleColor": INK, "symbolSize": 70, "columnPadding": 16},
    "point": {"filled": True, "size": 50, "opacity": 1},
    "rule": {"strokeWidth": 1.4},
    "tick": {"opacity": 1},
    "concat": {"spacing": _GAP},
}  # fmt: skip


def vega_lite(figure: Figure, columns: int | None = None, width: float | None = None) -> Spec:
    """The figure as a Vega-Lite specification of plain data; NaN becomes None.

    Hovering over a value shows its label, x, y, interval and n, where given. The specification's `datasets`
    do not depend on `columns` and `width`.

    Args:
        columns: panels in a row; None takes the figure's own. 1 is for a phone.
        width: approximate, of the whole picture in pixels; None chooses it by the number of columns.
    """
    sheet = _Sheet(replace(figure, columns=min(columns or figure.columns, len(figure.panels))), width)
    title = wrapped(figure.title, sheet.width, 1.1 * _TITLE) if figure.title else []
    above = {"title": {"text": title}} if title else {}
    return {
        "$schema": SCHEMA,
        "description": figure.title,
        "background": "white",
        **above,
        "concat": [sheet.view(place) for place in range(len(figure.panels))],
        "columns": sheet.figure.columns,
        "resolve": {"scale": dict.fromkeys(("color", "shape", "strokeDash"), sheet.sharing)
                    | {"fill": "independent"}},
        "datasets": {f"panel{place}": _rows(panel) for place, panel in enumerate(figure.panels)},
        "config": _CONFIG,
    }  # fmt: skip


def page_figure(figure: Figure) -> dict[str, Any]:
    """What the page needs to draw the figure, as plain data.

    Returns:
        `title` and `caption`; the specifications `wide` and `narrow` (one panel under the other, for a phone)
        without a title, which the page writes as a heading; and `datasets`, which both need.
    """
    wide, narrow = vega_lite(figure), vega_lite(figure, columns=1, width=_PHONE)
    datasets = wide.pop("datasets")
    del narrow["datasets"]
    for spec in (wide, narrow):
        spec.pop("title", None)
    return {
        "title": figure.title,
        "caption": figure.caption,
        "datasets": datasets,
        "wide": wide,
        "narrow": narrow,
    }


def svg(figure: Figure) -> str:
    """The figure as SVG; the same figure gives the same text."""
    import vl_convert

    return _renumbered(vl_convert.vegalite_to_svg(_still(vega_lite(figure))))


def write_figure(figure: Figure, stem: Path) -> None:
    """Write `stem`.svg and `stem`.pdf, and `stem`.json for the page; the same figure gives the same bytes.

    All text is in one font and one weight: with two, the PDF numbers its fonts differently from run to run.
    """
    import vl_convert

    picture = svg(figure)
    write_text(stem.with_name(f"{stem.name}.svg"), picture)
    with replacing(stem.with_name(f"{stem.name}.pdf")) as temporary:
        temporary.write_bytes(_in_order(vl_convert.svg_to_pdf(picture)))
    text = json.dumps(page_figure(figure), ensure_ascii=False, allow_nan=False)
    write_text(stem.with_name(f"{stem.name}.json"), text)


def _still(spec: Spec) -> Spec:
    """The specification without the invisible marks that only show hover text."""
    for view in spec["concat"]:
        view["layer"] = [layer for layer in view["layer"] if layer["mark"].get("opacity") != 0]
    return spec


def _renumbered(svg: str) -> str:
    """The picture with its gradients numbered from 0; Vega numbers them through all pictures of a process."""
    names = dict.fromkeys(re.findall(r'id="(gradient_\d+)"', svg))
    numbers = {name: f"gradient_{place}" for place, name in enumerate(names)}
    return re.sub(r"\bgradient_\d+\b", lambda found: numbers.get(found[0], found[0]), svg)


def _in_order(pdf: bytes) -> bytes:
    """The file with each list of named resources in order of their names; its length and offsets stay."""
    listed = re.compile(rb"(?:\n +/(?:gs|po|xo)\d+ \d+ 0 R){2,}")
    return listed.sub(lambda found: b"\n" + b"\n".join(sorted(found[0].split(b"\n")[1:])), pdf)


class _Sheet:
    """The layout of a figure: the widths of its panels, and what they share."""

    def __init__(self, figure: Figure, width: float | None) -> None:
        columns = figure.columns
        self.figure, self.look = figure, Look(figure)
        self.width = width or {1: 620, 2: 860}.get(columns, 340 * columns)
        self.sharing = "shared" if self.look.one_legend else "independent"
        self.names = [min(_longest(panel), _NAMED * self.width) for panel in figure.panels]
        margins = [_margins(panel, names) for panel, names in zip(figure.panels, self.names, strict=True)]
        left, right = max(left for left, _ in margins), max(right for _, right in margins)
        sides = right * columns + left * (1 if self.look.shared_y else columns) + _GAP * (columns - 1)
        self.plot = round(max(_LEAST, (self.width - sides) / columns))
        self.headed = self.plot + right
        self.above = max(_above(panel) + heading_height(panel.title, panel.notes, self.headed)
                         for panel in figure.panels)  # fmt: skip

    def view(self, place: int) -> Spec:
        panel, names = self.figure.panels[place], self.names[place]
        if isinstance(panel, HeatMap):
            view = heat_map_view(panel, self.plot, names)
        elif isinstance(panel, RankPanel):
            view = rank_view(panel, self.plot, names)
        else:
            where = Place(self.plot, names, place % self.figure.columns == 0)
            view = panel_view(panel, self.look, where, self._legend(panel))
        layers = heading(panel.title, panel.notes, self.above, self.headed) + view["layer"]
        return {"data": {"name": f"panel{place}"}} | view | {"layer": layers}

    def _legend(self, panel: Panel) -> Spec | None:
        """The legend below a panel; None where there is at most one label."""
        named = [name for name in self.look.listed(panel) if name]
        if len(named) < 2:
            return None
        alone = not self.look.one_legend
        room = self.plot if alone else self.width
        columns = max(1, int(room / (max(text_width(name) for name in named) + 40)))
        offset = 10 + (under_axis(panel) if alone else 0)
        lines = all(s.kind == "step" for panel in self.look.panels for s in panel.series)
        symbol = {"symbolType": "stroke", "symbolStrokeWidth": 2, "symbolSize": 400} if lines else {}
        columns = min(columns, len(named))
        return {"title": None, "values": named, "columns": columns, "offset": offset} | symbol


def _longest(panel: AnyPanel) -> float:
    """Pixels of the longest name down the side."""
    if isinstance(panel, HeatMap):
        names = list(panel.rows)
    elif isinstance(panel, RankPanel):
        names = list(panel.ranks)
    else:
        names = list(panel.categories) if panel.horizontal else []
    return max(map(text_width, names), default=0)


def _margins(panel: AnyPanel, names: float) -> tuple[float, float]:
    if isinstance(panel, HeatMap):
        return heat_map_margins(names)
    return rank_margins(panel, names) if isinstance(panel, RankPanel) else panel_margins(panel, names)


def _above(panel: AnyPanel) -> int:
    """Pixels between the axes and the heading, for what a panel has there."""
    if isinstance(panel, RankPanel):
        return 6 + rank_head(panel)
    marked = isinstance(panel, Panel) and any(line.label and line.axis == "x" for line in panel.references)
    return 6 + (LINE if marked else 0)


def _rows(panel: AnyPanel) -> list[dict[str, Any]]:
    if isinstance(panel, HeatMap):
        return heat_map_rows(panel)
    return rank_rows(panel) if isinstance(panel, RankPanel) else panel_rows(panel)

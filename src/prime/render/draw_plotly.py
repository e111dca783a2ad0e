"""Figures for a page: a description as a plotly figure, with hover text, that fits the width it is given."""

import json
import math
from typing import Any

from prime.render.draw_plotly_traces import (
    FRAME,
    Look,
    Trace,
    heat_map_traces,
    label_axes,
    plain,
    rank_traces,
    series_traces,
)
from prime.render.figure import MANY, AnyPanel, AtRisk, Figure, HeatMap, Panel, RankPanel, Reference

_GREY = "#555555"
_FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"
_LINE = 15  # pixels from one small line of text to the next


def to_plotly(figure: Figure) -> dict[str, Any]:
    """The figure as plain data (`data`, `layout`) for plotly.js, checked by plotly; NaN becomes null.

    Hovering over a value shows its label, x, y, interval and n, where given. Width follows the page.
    """
    import plotly.graph_objects as go

    sheet = _Sheet(figure)
    for place, panel in enumerate(figure.panels):
        sheet.add(place, panel)
    checked = go.Figure({"data": sheet.traces, "layout": sheet.layout()})
    plain: dict[str, Any] = json.loads(str(checked.to_json()))
    return plain


class _Sheet:
    """Traces, axes, shapes and annotations as they are added panel by panel; lengths in pixels."""

    def __init__(self, figure: Figure) -> None:
        self.figure = figure
        self.columns = min(figure.columns, len(figure.panels))
        self.rows = math.ceil(len(figure.panels) / self.columns)
        self.colours, self.slots = figure.colours(), figure.slots()
        self.traces: list[Trace] = []
        self.axes: dict[str, Any] = {}
        self.shapes: list[dict[str, Any]] = []
        self.notes: list[dict[str, Any]] = []
        self.legends: dict[str, Any] = {}
        self.in_legend: set[tuple[str, str]] = set()
        self.above = max(24 + _LINE * len(panel.notes) + _mark_room(panel) for panel in figure.panels)
        self.own_legends = not figure.one_legend()
        self.under_axis = max(48 + _risk_room(panel) for panel in figure.panels)
        self.below = self.under_axis + max(self._legend_room(panel) for panel in figure.panels)
        self.plot = max(_plot_height(panel) for panel in figure.panels)
        self.area = self.rows * self.plot + (self.rows - 1) * (self.above + self.below)

    def add(self, place: int, panel: AnyPanel) -> None:
        number = "" if place == 0 else str(place + 1)
        x, y = f"x{number}", f"y{number}"
        row, column = divmod(place, self.columns)
        gap = 0.05 if self.figure.shared_y() else 0.1
        width = (1 - gap * (self.columns - 1)) / self.columns
        left = column * (width + gap)
        top = 1 - row * (self.plot + self.above + self.below) / self.area
        axes: tuple[Trace, Trace] = (
            _axis([left, min(1.0, left + width)], y),
            _axis([max(0.0, top - self.plot / self.area), top], x),
        )
        self.axes[f"xaxis{number}"], self.axes[f"yaxis{number}"] = axes
        if isinstance(panel, RankPanel):
            traces = rank_traces(panel, axes)
        elif isinstance(panel, HeatMap):
            traces = heat_map_traces(panel, axes)
            self._frame(panel, x, y)
        else:
            traces = self._panel(panel, axes, x, y, number)
            if self.figure.shared_y() and place > 0:
                axes[1]["matches"] = "y"
            if self.figure.shared_y() and column > 0:
                axes[1].update({"showticklabels": False, "title": {"text": ""}})
        self.traces += [trace | {"xaxis": x, "yaxis": y} for trace in traces]
        self._title(panel, x, y)

    def layout(self) -> dict[str, Any]:
        head = 44 if self.figure.title else 8
        listed = [label for label in self.figure.labels() if label]
        foot = self.below + (12 if self.own_legends else 24 * math.ceil(len(listed) / 3) + 12)
        text = f"<b>{plain(self.figure.title)}</b>" if self.figure.title else ""
        title = {"text": text, "font": {"size": 16}, "x": 0.01, "y": 0.99, "yanchor": "top"}
        return {
            "template": {},
            "title": title,
            "autosize": True,
            "height": head + self.above + self.area + foot,
            "margin": {"t": head + self.above, "b": foot, "l": 90, "r": 60},
            "font": {"family": _FONT, "size": 13},
            "paper_bgcolor": "white",
            "plot_bgcolor": "white",
            "hoverlabel": {"align": "left"},
            "barmode": "overlay",
            "showlegend": len(listed) > 1,
            "shapes": self.shapes,
            "annotations": self.notes,
            **self.axes,
            **self.legends,
        }  # fmt: skip

    def _legend_room(self, panel: AnyPanel) -> int:
        """Under one panel, where each has its own legend."""
        return 12 + 22 * len(panel.series) if isinstance(panel, Panel) and self.own_legends else 0

    def _legend(self, axes: tuple[Trace, Trace], number: str) -> str:
        """The name of the legend that a panel's series are in: its own below it, or the one below all."""
        x, bottom = (axes[0]["domain"][0], axes[1]["domain"][0]) if self.own_legends else (0.0, 0.0)
        name = f"legend{number}" if self.own_legends else "legend"
        turn = "v" if self.own_legends else "h"
        place = {"x": x, "y": bottom - self.under_axis / self.area, "xanchor": "left", "yanchor": "top"}
        self.legends[name] = {"orientation": turn, "font": {"size": 12}, "tracegroupgap": 0} | place
        return name

    def _title(self, panel: AnyPanel, x: str, y: str) -> None:
        lines = [f"<b>{plain(panel.title)}</b>"]
        lines += [f'<span style="font-size:12px;color:{_GREY}">{plain(note)}</span>' for note in panel.notes]
        up = 4 + _mark_room(panel)
        self._note("<br>".join(lines), (f"{x} domain", 0), (f"{y} domain", 1), 0, up, "left", "bottom", 14)

    def _note(
        self, text: str, x: tuple[str, float], y: tuple[str, float], right: float, up: float,
        side: str, level: str, size: int = 12, colour: str | None = None,
    ) -> None:  # fmt: skip
        """Text at (axis, value) in x and y, moved by pixels."""
        font: dict[str, Any] = {"size": size} | ({"color": colour} if colour else {})
        self.notes.append({
            "text": text, "xref": x[0], "x": x[1], "yref": y[0], "y": y[1], "xshift": right, "yshift": up,
            "xanchor": side, "yanchor": level, "align": "left", "showarrow": False, "font": font,
        })  # fmt: skip

    def _frame(self, panel: HeatMap, x: str, y: str) -> None:
        best = panel.best()
        if best is not None:
            row, column = best
            self.shapes.append({
                "type": "rect", "xref": x, "yref": y, "x0": column - 0.5, "x1": column + 0.5,
                "y0": row - 0.5, "y1": row + 0.5, "line": {"color": FRAME, "width": 3},
            })  # fmt: skip

    def _panel(self, panel: Panel, axes: tuple[Trace, Trace], x: str, y: str, number: str) -> list[Trace]:
        label_axes(panel, axes)
        legend = self._legend(axes, number)
        traces: list[Trace] = []
        for series in panel.series:
            shift, step = panel.dodge(series)
            look = Look(self.colours[series.label], self.slots[series.label])
            first = bool(series.label) and (legend, series.label) not in self.in_legend
            self.in_legend.add((legend, series.label))
            drawn = series_traces(series, panel, look, shift, step, first)
            traces += [trace | {"legend": legend} for trace in drawn]
        if panel.empty():
            middle = (f"{x} domain", 0.5), (f"{y} domain", 0.5)
            self._note("nothing defined", *middle, 0, 0, "center", "middle", 13, _GREY)
        for reference in panel.references:
            self._reference(reference, panel, x, y)
        if panel.at_risk is not None:
            first_column = axes[0]["domain"][0] == 0
            self._at_risk(panel.at_risk, x, y, first_column or not self.figure.same_risk_rows())
        return traces

    def _reference(self, reference: Reference, panel: Panel, x: str, y: str) -> None:
        line = {"type": "line", "line": {"color": "#777777", "width": 1, "dash": "dot"}, "layer": "below"}
        value, text = reference.value, plain(reference.label)
        if reference.axis == "y":
            ends: Trace = {"xref": f"{x} domain", "x0": 0, "x1": 1, "yref": y, "y0": value, "y1": value}
            self._note(text, (f"{x} domain", 1), (y, value), 4, 0, "left", "middle", 12, _GREY)
        else:
            ends = {"xref": x, "x0": value, "x1": value, "yref": f"{y} domain", "y0": 0, "y1": 1}
            at = math.log10(value) if panel.x_log else value
            self._note(text, (x, at), (f"{y} domain", 1), 0, 2, "center", "bottom", 12, _GREY)
        self.shapes.append(line | ends)

    def _at_risk(self, table: AtRisk, x: str, y: str, named: bool) -> None:
        """Counts under their times and below the x label, the rows' names to the left."""
        floor = (f"{y} domain", 0.0)
        left = (f"{x} domain", 0.0)
        if named:
            self._note("At risk", left, floor, -18, -56, "right", "middle", 11, _GREY)
        for row, (label, counts) in enumerate(table.rows.items(), start=1):
            down, colour = -56 - _LINE * row, self.colours.get(label, _GREY)
            if named:
                self._note(plain(label), left, floor, -18, down, "right", "middle", 11, colour)
            for time, count in zip(table.times, counts, strict=True):
                self._note(str(count), (x, time), floor, 0, down, "center", "middle", 11, colour)


def _axis(domain: list[float], anchor: str) -> Trace:
    return {
        "domain": domain, "anchor": anchor, "automargin": True, "zeroline": False, "tickfont": {"size": 11},
    }  # fmt: skip


def _mark_room(panel: AnyPanel) -> int:
    marks = panel.references if isinstance(panel, Panel) else ()
    return _LINE if any(mark.axis == "x" and mark.label for mark in marks) else 0


def _risk_room(panel: AnyPanel) -> int:
    if isinstance(panel, Panel) and panel.at_risk is not None:
        return 20 + _LINE * (len(panel.at_risk.rows) + 1)
    return 0


def _plot_height(panel: AnyPanel) -> int:
    if isinstance(panel, RankPanel):
        return 60 + 28 * len(panel.ranks)
    if isinstance(panel, HeatMap):
        return max(180, 44 * len(panel.rows))
    if panel.horizontal:
        count = len(panel.categories)
        return 30 + count * max(34 if count <= MANY else 21, 20 * len(panel.across()))
    return 270

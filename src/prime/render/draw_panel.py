"""A pair of axes with its series as one layered Vega-Lite view."""

import math
from typing import Any

from prime.render.draw_axes import Place, along_axis, along_scale, quantity_axis, quantity_scale
from prime.render.draw_parts import (
    GREY,
    INK,
    LINE,
    RULE,
    SIZE,
    Spec,
    label,
    names_step,
    text_width,
)
from prime.render.figure import AtRisk, Figure, Panel, Reference, Series

_SHAPES = (
    "circle", "square", "triangle-up", "diamond", "triangle-down", "cross",
    "M-1,-.6L-.6,-1L0,-.4L.6,-1L1,-.6L.4,0L1,.6L.6,1L0,.4L-.6,1L-1,.6L-.4,0Z",
    "M0,-1L.26,-.34L.95,-.31L.42,.14L.59,.81L0,.43L-.59,.81L-.42,.14L-.95,-.31L-.26,-.34Z",
)  # fmt: skip
_DASHES: tuple[list[float], ...] = ([1, 0], [6, 2], [1.5, 1.5], [6, 2, 1.5, 2])
_STEP: Spec = {"interpolate": "step-after"}
_HEADING: Spec = {"field": "label", "title": "title", "type": "nominal"}  # shown as a heading
_MANY = 12  # categories down the side, from which on they stand closer together
_CROWDED = 25  # values of a line, beyond which its marks are small
_HEIGHT = 230  # pixels of upright axes
_RISK = 48  # pixels from the axis to the first numbers at risk
_UPRIGHT = 60  # pixels left of an upright axis: its numbers and title


class Look:
    """Colour, marker and dashes of every label, the same in all panels, and what panels share."""

    def __init__(self, figure: Figure) -> None:
        self.labels = figure.labels()
        self.one_legend, self.shared_y = figure.one_legend(), figure.shared_y()
        self.same_risk_rows = figure.same_risk_rows()
        self.panels = [panel for panel in figure.panels if isinstance(panel, Panel)]
        self.colours, self.slots = figure.colours(), figure.slots()
        self.kinds = {series.label: series.kind for panel in self.panels for series in panel.series}

    def listed(self, panel: Panel) -> list[str]:
        """The labels of the legend that serves the panel."""
        return self.labels if self.one_legend else list(dict.fromkeys(s.label for s in panel.series))

    def channels(self, panel: Panel, legend: Spec | None) -> dict[str, Spec]:
        """The encodings `color`, `shape` and `strokeDash` of a label; they merge into one legend."""
        labels = self.listed(panel)
        ranges: dict[str, list[Any]] = {
            "color": [self.colours[name] for name in labels],
            "shape": [_shape(self.slots[name]) for name in labels],
            "strokeDash": [self._dashes(name) for name in labels],
        }
        base: Spec = {"field": "label", "type": "nominal", "legend": legend}
        return {name: base | {"scale": {"domain": labels, "range": found}} for name, found in ranges.items()}

    def _dashes(self, name: str) -> list[float]:
        return _DASHES[self.slots[name] % len(_DASHES) if self.kinds[name] == "step" else 0]


def _shape(slot: int) -> str:
    return _SHAPES[(slot + slot // len(_SHAPES)) % len(_SHAPES)]


def panel_margins(panel: Panel, names: float) -> tuple[float, float]:
    """Estimated pixels left and right of the plot, for axis, names and labels of lines."""
    left = names + 14 + (LINE + 6 if panel.x_label else 0) if panel.horizontal else _UPRIGHT
    if panel.at_risk is not None:
        left = max([left, *(text_width(row) + 24 for row in panel.at_risk.rows)])
    beside = [text_width(line.label) + 6 for line in panel.references if line.axis == "y" and line.label]
    return left, max(beside, default=6)


def under_axis(panel: Panel) -> int:
    """Pixels that the numbers at risk take below the label of the x axis."""
    return LINE * len(panel.at_risk.rows) + 4 if panel.at_risk is not None else 0


def panel_view(panel: Panel, look: Look, place: Place, legend: Spec | None) -> Spec:
    """The panel as a layered view, without title and data; its layers filter the rows of `panel_rows`."""
    height = _height(panel, place)
    along, up = ("y", "x") if panel.horizontal else ("x", "y")
    named = place.first or not look.shared_y
    sharing = look.panels if look.shared_y and not panel.horizontal else [panel]
    encoding = {
        along: {"field": "at", "type": "quantitative", "scale": along_scale(panel),
                "axis": along_axis(panel, place, named or not panel.horizontal)},
        up: {"field": "y", "type": "quantitative", "scale": quantity_scale(sharing),
             "axis": quantity_axis(panel, place, named or panel.horizontal)},
    }  # fmt: skip
    layers = [layer for line in panel.references for layer in _reference(line, place.width, height)]
    layers += _series_layers(panel, look, legend, along, up)
    if panel.empty():  # with a mark of nothing, without which there would be no axes
        middle = {"align": "center", "baseline": "middle"}
        layers += [
            {"mark": {"type": "point"}},
            label("nothing defined", place.width / 2, height / 2, **middle),
        ]
    if panel.at_risk is not None:
        layers += _at_risk(panel.at_risk, look, height, place.first or not look.same_risk_rows)
    return {"width": place.width, "height": height, "encoding": encoding, "layer": layers}


def panel_rows(panel: Panel) -> list[Spec]:
    """One row per value, and one per censoring mark; NaN is None, and a value without a place is no row.

    Columns: kind, label, at (position along the categories or x), x (what hover text calls it), y, low, high,
    interval (as text), n, and for bars the edges `start` and `end`.
    """
    rows: list[Spec] = []
    for series in panel.series:
        shift, step = panel.dodge(series)
        for place, (x, y) in enumerate(zip(series.x, series.y, strict=True)):
            if not math.isfinite(x):
                continue
            named = panel.categories[int(x)] if panel.categories else _number(x)
            row: Spec = {"kind": series.kind, "label": series.label, "at": x + shift, "x": named}
            row["y"] = _number(y)
            if series.low is not None and series.high is not None:
                row |= _interval(series.low[place], series.high[place])
            if series.n is not None:
                row["n"] = series.n[place]
            if series.kind == "bars":
                row |= {"start": x + shift - 0.46 * step, "end": x + shift + 0.46 * step}
            rows.append(row)
        marks = ({"at": _number(x), "y": _number(series.at(x))} for x in dict.fromkeys(series.censored))
        rows += ({"kind": "censored", "label": series.label} | mark for mark in marks)
    return rows


def _number(value: float) -> float | None:
    """Rounded to six significant digits, more than a reader sees; None for what is not finite."""
    return float(f"{value:.6g}") if math.isfinite(value) else None


def _interval(low: float, high: float) -> Spec:
    if not (math.isfinite(low) and math.isfinite(high)):
        return {"low": None, "high": None, "interval": ""}
    return {"low": _number(low), "high": _number(high), "interval": f"{low:.4g} to {high:.4g}"}


def _series_layers(panel: Panel, look: Look, legend: Spec | None, along: str, up: str) -> list[Spec]:
    """Bands and intervals, then curves, then bars and points, from back to front."""
    channels, hover = look.channels(panel, legend), {"tooltip": _tooltip(panel)}
    color, shape, dash = ({name: channels[name]} for name in ("color", "shape", "strokeDash"))
    ends: Spec = {up: {"field": "low", "type": "quantitative"}, f"{up}2": {"field": "high"}}
    edges: Spec = {along: {"field": "start", "type": "quantitative"}, f"{along}2": {"field": "end"}}
    line = {"type": "line", "strokeWidth": 1.6}
    layers = {
        "step": [
            _layer("step", line | _STEP, color | dash),
            _layer("step", {"type": "point", "opacity": 0, "size": 90}, hover),
        ],
        "line": [
            _layer("line", line, color),
            _layer("line", {"type": "point", "size": _mark_size(panel)}, color | shape | hover),
        ],
        "bars": [
            _layer("bars", {"type": "rect"}, edges | {f"{up}2": {"datum": 0}} | color | hover),
            _layer("bars", {"type": "rule", "color": INK}, ends),
        ],
        "points": [
            _layer("points", {"type": "rule"}, ends | color),
            _layer("points", {"type": "point"}, color | shape | hover),
        ],
    }
    kinds = {series.kind for series in panel.series}
    curves = [series for series in panel.series if series.kind in ("step", "line")]
    behind = [layer for series in curves for layer in _behind(series, look.colours[series.label], ends)]
    return behind + [layer for kind, parts in layers.items() if kind in kinds for layer in parts]


def _mark_size(panel: Panel) -> int:
    """Square pixels of the marks on lines: small where they would hide the line."""
    longest = max((len(series.x) for series in panel.series if series.kind == "line"), default=0)
    return 50 if longest <= _CROWDED else 8


def _behind(series: Series, colour: str, ends: Spec) -> list[Spec]:
    """The band and the censoring marks of a curve, in its colour but not in the legend."""
    layers: list[Spec] = []
    if series.low is not None:
        mark = {"type": "area", "fillOpacity": 0.14, "color": colour} | (
            _STEP if series.kind == "step" else {}
        )
        layers.append(_layer(series.kind, mark, ends, series.label))
    if series.censored:
        mark = {"type": "tick", "orient": "vertical", "size": 7, "thickness": 1, "color": colour}
        hover = [_HEADING, {"field": "at", "title": "censored at", "type": "quantitative", "format": ".4~g"}]
        layers.append(_layer("censored", mark, {"tooltip": hover}, series.label))
    return layers


def _layer(kind: str, mark: Spec, encoding: Spec, label: str | None = None) -> Spec:
    """A mark for the rows of a kind, or of one label of it."""
    wanted = {"kind": kind} | ({} if label is None else {"label": label})
    filters = [{"filter": {"field": field, "equal": value}} for field, value in wanted.items()]
    return {"transform": filters, "mark": mark, "encoding": encoding}


def _tooltip(panel: Panel) -> list[Spec]:
    """Label, x, y, interval and n, as far as the panel has them."""
    x = {"type": "nominal"} if panel.categories else {"type": "quantitative", "format": ".4~g"}
    fields: list[Spec] = [
        _HEADING,
        {"field": "x", "title": panel.x_label or "of", **x},
        {"field": "y", "title": panel.y_label or "y", "type": "quantitative", "format": ".4~g"},
    ]
    if any(series.low is not None for series in panel.series):
        fields.append({"field": "interval", "title": "interval", "type": "nominal"})
    if any(series.n is not None for series in panel.series):
        fields.append({"field": "n", "title": "n", "type": "quantitative"})
    return fields


def _height(panel: Panel, place: Place) -> float:
    if not panel.horizontal:
        return _HEIGHT
    count, step = len(panel.categories), names_step(panel.categories, place.names)
    return count * max(26 if count <= _MANY else 17, step, 15 * len(panel.across()))


def _reference(line: Reference, width: float, height: float) -> list[Spec]:
    """A dotted line; its label stands outside the axes, where it covers no data."""
    at: Spec = {"field": "value", "type": "quantitative"}
    across, extent = ("x", width) if line.axis == "y" else ("y", height)
    rule: Spec = {
        "data": {"values": [{"value": line.value}]},
        "mark": {"type": "rule", "color": RULE, "strokeDash": [2, 2], "strokeWidth": 1},
        "encoding": {line.axis: at, across: {"value": 0}, f"{across}2": {"value": extent}},
    }
    if not line.label:
        return [rule]
    side = {"align": "left", "baseline": "middle", "dx": 4}
    above = {"align": "center", "baseline": "bottom", "dy": -3}
    text = label(line.label, width, 0, **(side if line.axis == "y" else above)) | {"data": rule["data"]}
    text["encoding"][line.axis] = at
    return [rule, text]


def _at_risk(table: AtRisk, look: Look, height: float, named: bool) -> list[Spec]:
    """Numbers at risk under their times, below the x label, with the names of the rows on the left."""
    layers = [label("At risk", -22, height + _RISK - LINE, align="right")] if named else []
    for row, (name, counts) in enumerate(table.rows.items()):
        colour, down = look.colours.get(name, GREY), height + _RISK + LINE * row
        if named:
            layers.append(label(name, -22, down, align="right", color=colour))
        found = [{"at": time, "count": str(count)} for time, count in zip(table.times, counts, strict=True)]
        layers.append({
            "data": {"values": found},
            "mark": {"type": "text", "fontSize": SIZE, "color": colour, "align": "center"},
            "encoding": {"y": {"value": down}, "text": {"field": "count"}},
        })  # fmt: skip
    return layers

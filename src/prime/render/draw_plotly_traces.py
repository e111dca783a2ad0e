"""What a panel becomes in plotly: traces with hover text, and the look of its axes. Plain data, no plotly."""

import html
import math
from collections.abc import Sequence
from typing import Any

from prime.render.figure import HeatMap, Panel, RankPanel, Series

FRAME = "#D55E00"
_SYMBOLS = ("circle", "square", "triangle-up", "diamond", "triangle-down", "cross", "x", "star")
_DASHES = ("solid", "dash", "dot", "dashdot")

Trace = dict[str, Any]


class Look:
    """Colour, symbol and dashes of a label."""

    def __init__(self, colour: str, slot: int) -> None:
        self.colour = colour
        self.symbol = _SYMBOLS[(slot + slot // len(_SYMBOLS)) % len(_SYMBOLS)]
        self.dash = _DASHES[slot % len(_DASHES)]

    def faint(self) -> str:
        red, green, blue = (int(self.colour[place : place + 2], 16) for place in (1, 3, 5))
        return f"rgba({red},{green},{blue},0.14)"


def plain(text: str) -> str:
    """Text in which plotly sees no markup."""
    return html.escape(text, quote=False).replace("\n", "<br>")


def _numbers(values: Sequence[float] | Any) -> list[float | None]:
    return [float(value) if math.isfinite(value) else None for value in values]


def axis_title(text: str) -> Trace:
    """A title of an axis."""
    return {"text": plain(text), "font": {"size": 12}, "standoff": 6}


def label_axes(panel: Panel, axes: tuple[Trace, Trace]) -> None:
    """Titles, ticks and ranges into the x and y axis."""
    x, y = axes
    names = [plain(name) for name in panel.categories]
    along, up = (y, x) if panel.horizontal else (x, y)
    along["title"], up["title"] = axis_title(panel.x_label), axis_title(panel.y_label)
    along |= {"showgrid": False, "showline": True, "linecolor": "black", "ticks": "outside"}
    up |= {"gridcolor": "#E5E5E5", "showline": True, "linecolor": "black", "ticks": "outside"}
    if names:
        ends = [len(names) - 0.5, -0.5] if panel.horizontal else [-0.5, len(names) - 0.5]
        along |= {"tickvals": list(range(len(names))), "ticktext": names, "range": ends}
    ticks = panel.at_risk.times if panel.at_risk is not None else panel.x_ticks
    if ticks is not None:
        along |= {"tickvals": list(ticks), "ticktext": [f"{tick:g}" for tick in ticks]}
    if panel.at_risk is not None:
        ends = [*panel.at_risk.times, *(x for series in panel.series for x in series.x)]
        along["range"] = [min(0.0, *ends), 1.02 * max(ends)]
    if panel.x_log:
        along["type"] = "log"
    if panel.y_range is not None:
        up["range"] = list(panel.y_range)
    elif names and not panel.empty():
        up["range"] = _padded(panel)


def _padded(panel: Panel) -> list[float]:
    """A range around all values, interval ends and lines of a panel with categories, and 0 under bars."""
    values = [line.value for line in panel.references if (line.axis == "x") == panel.horizontal]
    for series in panel.series:
        values += [*series.y, *(series.low or ()), *(series.high or ())]
        values += [0.0] if series.kind == "bars" else []
    finite = [value for value in values if math.isfinite(value)]
    room = 0.05 * (max(finite) - min(finite)) or 0.5
    return [min(finite) - room, max(finite) + room]


def series_traces(
    series: Series, panel: Panel, look: Look, shift: float, step: float, first: bool
) -> list[Trace]:
    """A series, its interval and its censoring marks; `first` puts it into the legend."""
    legend = {"name": plain(series.label), "legendgroup": series.label}
    main: Trace = legend | {"showlegend": first, "hoverinfo": "text", "hovertext": _hover(series, panel)}
    silent: Trace = legend | {"showlegend": False, "hoverinfo": "skip", "type": "scatter", "mode": "lines"}
    places, values = [x + shift for x in series.x], _numbers(series.y)
    if series.kind in ("points", "bars"):
        over = "black" if series.kind == "bars" else look.colour
        marks = main | _placed(places, values, panel.horizontal)
        if series.kind == "bars":
            turned = {"orientation": "h"} if panel.horizontal else {}
            marks |= {"type": "bar", "width": 0.92 * step, "marker": {"color": look.colour}} | turned
        else:
            marker = {"color": look.colour, "symbol": look.symbol, "size": 9}
            marks |= {"type": "scatter", "mode": "markers", "marker": marker}
        whiskers = silent | {"line": {"color": over, "width": 1.5}}
        return [marks, *(whiskers | part for part in _whiskers(series, places, panel.horizontal))]
    curve = main | {"type": "scatter", "x": list(series.x), "y": values}
    if series.kind == "step":
        line = {"color": look.colour, "width": 2, "shape": "hv", "dash": look.dash}
        curve |= {"mode": "lines", "line": line}
    else:
        marker = {"symbol": look.symbol, "size": 8}
        curve |= {"mode": "lines+markers", "line": {"color": look.colour, "width": 2}, "marker": marker}
    shape = {"width": 0, "shape": "hv" if series.kind == "step" else "linear"}
    bands = [silent | {"line": shape} | part for part in _bands(series, look)]
    return [*bands, curve, *_censored(series, panel, legend, look)]


def _placed(places: Sequence[float], values: Sequence[float | None], horizontal: bool) -> Trace:
    return {"x": list(values), "y": list(places)} if horizontal else {"x": list(places), "y": list(values)}


def _hover(series: Series, panel: Panel) -> list[str]:
    """One text a value: label, x, y, interval and n."""
    texts: list[str] = []
    for place, (x, y) in enumerate(zip(series.x, series.y, strict=True)):
        at = panel.categories[int(x)] if panel.categories else f"{x:.4g}"
        lines = [f"<b>{plain(series.label)}</b>"] if series.label else []
        lines.append(f"{plain(panel.x_label)}: {plain(at)}" if panel.x_label else plain(at))
        lines.append(f"{plain(panel.y_label)}: {y:.4g}")
        if series.low is not None and series.high is not None and math.isfinite(series.low[place]):
            lines.append(f"interval: {series.low[place]:.4g} to {series.high[place]:.4g}")
        if series.n is not None:
            lines.append(f"n: {series.n[place]}")
        texts.append("<br>".join(lines))
    return texts


def _whiskers(series: Series, places: Sequence[float], horizontal: bool) -> list[Trace]:
    """The intervals as one trace of separate lines."""
    if series.low is None or series.high is None:
        return []
    along: list[float | None] = []
    up: list[float | None] = []
    for place, low, high in zip(places, series.low, series.high, strict=True):
        if math.isfinite(low) and math.isfinite(high):
            along += [place, place, None]
            up += [low, high, None]
    return [{"x": up, "y": along} if horizontal else {"x": along, "y": up}]


def _bands(series: Series, look: Look) -> list[Trace]:
    """Two unseen edges a stretch of defined interval, filled in between."""
    if series.low is None or series.high is None:
        return []
    stretches: list[list[tuple[float, float, float]]] = [[]]
    for x, low, high in zip(series.x, series.low, series.high, strict=True):
        if math.isfinite(low) and math.isfinite(high):
            stretches[-1].append((x, low, high))
        elif stretches[-1]:
            stretches.append([])
    bands: list[Trace] = []
    for stretch in filter(None, stretches):
        x = [point[0] for point in stretch]
        bands.append({"x": x, "y": [point[1] for point in stretch]})
        fill = {"fill": "tonexty", "fillcolor": look.faint()}
        bands.append({"x": x, "y": [point[2] for point in stretch]} | fill)
    return bands


def _censored(series: Series, panel: Panel, legend: Trace, look: Look) -> list[Trace]:
    if not len(series.censored):
        return []
    marker = {"symbol": "line-ns-open", "size": 7, "color": look.colour, "line": {"width": 1}}
    texts = [f"{plain(series.label)}<br>censored at {x:.4g}" for x in series.censored]
    heights = _numbers([series.at(x) for x in series.censored])
    trace = {"type": "scatter", "mode": "markers", "marker": marker, "showlegend": False, "hoverinfo": "text"}
    return [legend | trace | {"x": list(series.censored), "y": heights, "hovertext": texts}]


def heat_map_traces(panel: HeatMap, axes: tuple[Trace, Trace]) -> list[Trace]:
    """Cells stand at 0, 1, ...; names that are numbers stay names."""
    x, y = axes
    columns, rows = [plain(name) for name in panel.columns], [plain(name) for name in panel.rows]
    x |= {
        "title": axis_title(panel.x_label),
        "tickvals": list(range(len(columns))),
        "ticktext": columns,
    }
    y |= {"title": axis_title(panel.y_label), "tickvals": list(range(len(rows))), "ticktext": rows}
    x["showgrid"] = y["showgrid"] = False
    y["autorange"] = "reversed"
    low, high = y["domain"]
    texts = [[f"{v:.{panel.digits}f}" if math.isfinite(v) else "-" for v in row] for row in panel.values]
    hover = [
        [
            f"{plain(panel.x_label)}: {column}<br>{plain(panel.y_label)}: {row}"
            f"<br>{plain(panel.value_label)}: {texts[i][j]}"
            for j, column in enumerate(columns)
        ]
        for i, row in enumerate(rows)
    ]
    bar = {"title": {"text": plain(panel.value_label)}, "x": x["domain"][1] + 0.01, "thickness": 14}
    bar |= {"y": (low + high) / 2, "len": high - low}
    return [{
        "type": "heatmap", "x": list(range(len(columns))), "y": list(range(len(rows))),
        "z": [_numbers(row) for row in panel.values], "text": texts, "texttemplate": "%{text}",
        "colorscale": "Cividis", "colorbar": bar, "hoverinfo": "text", "hovertext": hover,
        "showlegend": False,
    }]  # fmt: skip


def rank_traces(panel: RankPanel, axes: tuple[Trace, Trace]) -> list[Trace]:
    """A row a method from the best down; upright bars on the right join methods that are not told apart."""
    x, y = axes
    ordered = panel.ordered()
    count = len(ordered)
    names = [plain(name) for name, _ in ordered]
    x |= {
        "title": axis_title(panel.label),
        "tickvals": list(range(1, count + 1)),
        "gridcolor": "#E5E5E5",
    }
    x["range"] = [0.7, count + 0.6 + max(0.25 * len(panel.spans()), 0.13 * count if panel.spans() else 0)]
    y |= {"tickvals": list(range(count)), "ticktext": names, "showgrid": False, "range": [count - 0.4, -1.4]}
    ranks = [rank for _, rank in ordered]
    common: Trace = {"type": "scatter", "hoverinfo": "text", "showlegend": False}
    hover = [
        f"<b>{name}</b><br>{plain(panel.label)}: {rank:.2f}" for name, rank in zip(names, ranks, strict=True)
    ]
    marker = {"color": "#0072B2", "size": 11}
    traces = [
        common
        | {"mode": "markers", "x": ranks, "y": list(range(count)), "marker": marker, "hovertext": hover}
    ]
    for place, (low, high) in enumerate(panel.spans()):
        rows = [row for row, rank in enumerate(ranks) if low <= rank <= high]
        text = "not told apart:<br>" + "<br>".join(names[row] for row in rows)
        line = {"color": FRAME, "width": 5}
        at = [count + 0.4 + 0.25 * place] * len(rows)
        traces.append(common | {"mode": "lines", "x": at, "y": rows, "line": line, "hovertext": text})
    if panel.spans():
        head = {
            "mode": "text",
            "text": ["not told apart"],
            "textposition": "middle right",
            "hoverinfo": "skip",
        }
        traces.append(common | head | {"x": [count + 0.1], "y": [-0.9]})
    if panel.distance is not None:
        text = f"critical difference {panel.distance:.2f}"
        ends = {"x": [1, 1 + panel.distance], "y": [-0.9, -0.9], "text": ["", f" {text}"]}
        look = {"mode": "lines+text", "textposition": "middle right", "line": {"color": "black", "width": 3}}
        traces.append(common | ends | look | {"hovertext": text})
    return traces

"""The two panels without series: the heat map of a two-way sweep, and the mean ranks of methods."""

import math

from prime.render.draw_parts import (
    FRAME,
    GREY,
    INK,
    LINE,
    SIZE,
    Spec,
    label,
    names_axis,
    names_scale,
    names_step,
    side_names_axis,
    text_width,
    wrapped,
)
from prime.render.figure import PALETTE, HeatMap, RankPanel

_CELL = 90  # pixels at most, of the width of a cell
_COLOURS = 84  # pixels right of a heat map, for the legend of its colours
_METHOD = 17  # pixels from one method to the next
_GROUP = 9  # pixels from one group's bar to the next
_GROUPS = "not told apart"


def heat_map_margins(names: float) -> tuple[float, float]:
    """Estimated pixels left and right of a heat map; `names` is the width of the names of its rows."""
    return names + 34, _COLOURS


def heat_map_view(panel: HeatMap, width: float, names: float) -> Spec:
    """Coloured cells with their values, the best one framed, and a legend of the colours.

    Args:
        width: of all cells, in pixels.
        names: pixels for the names of the rows.
    """
    width = min(width, _CELL * len(panel.columns))
    height = max(34 * len(panel.rows), 120)
    bare = {"domain": False}
    encoding = {
        "x": {"field": "column", "type": "quantitative", "scale": names_scale(len(panel.columns)),
              "axis": names_axis(panel.columns, panel.x_label, width / len(panel.columns)) | bare},
        "y": {"field": "row", "type": "quantitative", "scale": names_scale(len(panel.rows), reverse=True),
              "axis": side_names_axis(panel.rows, panel.y_label, names) | bare},
    }  # fmt: skip
    title = wrapped(panel.value_label, _COLOURS - 10)
    legend = {"orient": "right", "direction": "vertical", "title": title, "offset": 12,
              "gradientLength": height - 12 * len(title) - 6}  # fmt: skip
    fill = {"field": "value", "type": "quantitative", "scale": {"scheme": "cividis"}, "legend": legend}

    cell = {"x": {"field": "left", "type": "quantitative"}, "x2": {"field": "right"},
            "y": {"field": "top", "type": "quantitative"}, "y2": {"field": "bottom"}}  # fmt: skip
    hover = [
        {"field": "x", "title": panel.x_label or "column", "type": "nominal"},
        {"field": "y", "title": panel.y_label or "row", "type": "nominal"},
        {"field": "text", "title": panel.value_label or "value", "type": "nominal"},
    ]
    ink = {"condition": {"test": "datum.dark", "value": "white"}, "value": "black"}
    frame = {"type": "rect", "filled": False, "stroke": FRAME, "strokeWidth": 3}
    layers: list[Spec] = [
        {"mark": {"type": "rect", "color": "#EBEBEB"}, "encoding": cell | {"tooltip": hover}},
        {"transform": [{"filter": "isValid(datum.value)"}], "mark": {"type": "rect"},
         "encoding": cell | {"fill": fill, "tooltip": hover}},
        {"mark": {"type": "text", "fontSize": SIZE}, "encoding": {"text": {"field": "text"}, "color": ink}},
        {"transform": [{"filter": "datum.best"}], "mark": frame, "encoding": cell},
    ]  # fmt: skip
    return {"width": width, "height": height, "encoding": encoding, "layer": layers}


def heat_map_rows(panel: HeatMap) -> list[Spec]:
    """One row per cell: its place, its value as number and text, whether it is dark, and best of all."""
    finite = [value for line in panel.values for value in line if math.isfinite(value)]
    middle = (min(finite) + max(finite)) / 2 if finite else math.nan
    rows: list[Spec] = []
    for row, line in enumerate(panel.values):
        for column, value in enumerate(line):
            known = math.isfinite(value)
            rows.append({
                "column": column, "left": column - 0.5, "right": column + 0.5, "x": panel.columns[column],
                "row": row, "top": row - 0.5, "bottom": row + 0.5, "y": panel.rows[row],
                "value": value if known else None, "text": f"{value:.{panel.digits}f}" if known else "-",
                "dark": known and value < middle, "best": panel.best() == (row, column),
            })  # fmt: skip
    return rows


def rank_margins(panel: RankPanel, names: float) -> tuple[float, float]:
    """Estimated pixels left and right of the plot."""
    spans = len(panel.spans())
    return names + 12, max(24 + _GROUP * spans, text_width(_GROUPS) + 20) if spans else 30


def rank_view(panel: RankPanel, width: float, names: float) -> Spec:
    """One row per method, the best first, its mean rank as a point; bars on the right join groups.

    Args:
        width: of the plot, in pixels.
        names: pixels for the names of the methods.
    """
    ordered = [name for name, _ in panel.ordered()]
    count = len(ordered)
    height = max(_METHOD, names_step(ordered, names)) * count
    axis = {"title": panel.label, "grid": True, "tickMinStep": 1, "tickCount": max(4, int(width / 40))}
    scale = {"domain": [0.5, count + 0.5], "nice": False, "zero": False}
    encoding = {
        "x": {"field": "rank", "type": "quantitative", "scale": scale, "axis": axis},
        "y": {"field": "row", "type": "quantitative", "scale": names_scale(count, reverse=True),
              "axis": side_names_axis(ordered, "", names)},
    }  # fmt: skip
    hover = [
        {"field": "method", "title": "title", "type": "nominal"},
        {"field": "rank", "title": panel.label, "type": "quantitative", "format": ".2f"},
    ]
    layers: list[Spec] = [
        {"mark": {"type": "point", "color": PALETTE[0]}, "encoding": {"tooltip": hover}},
        {"mark": {"type": "text", "align": "left", "dx": 7, "fontSize": SIZE - 1, "color": GREY},
         "encoding": {"text": {"field": "rank", "type": "quantitative", "format": ".2f"}}},
        *_groups(panel, width, height),
    ]  # fmt: skip
    if panel.distance is not None:
        layers += _distance(panel.distance, width / count)
    return {"width": width, "height": height, "encoding": encoding, "layer": layers}


def rank_rows(panel: RankPanel) -> list[Spec]:
    """One row per method, the best first."""
    return [{"row": row, "method": name, "rank": rank} for row, (name, rank) in enumerate(panel.ordered())]


def rank_head(panel: RankPanel) -> int:
    """Pixels above the plot, for the critical difference."""
    return LINE + 6 if panel.distance is not None else 0


def _groups(panel: RankPanel, width: float, height: float) -> list[Spec]:
    """An upright bar per group beside its methods, with their names on hover."""
    ordered, bars = panel.ordered(), list[Spec]()
    for low, high in panel.spans():
        rows = [row for row, (_, rank) in enumerate(ordered) if low <= rank <= high]
        names = ", ".join(ordered[row][0] for row in rows)
        bars.append({"first": rows[0] - 0.3, "last": rows[-1] + 0.3, "methods": names})
    if not bars:
        return []
    heading = label(_GROUPS, width + 12, height + 16)
    return [heading] + [
        {
            "data": {"values": [bar]},
            "mark": {"type": "rule", "strokeWidth": 5, "color": FRAME},
            "encoding": {
                "x": {"value": width + 16 + _GROUP * place},
                "y": {"field": "first", "type": "quantitative"},
                "y2": {"field": "last"},
                "tooltip": {"field": "methods", "title": _GROUPS, "type": "nominal"},
            },
        }
        for place, bar in enumerate(bars)
    ]


def _distance(distance: float, unit: float) -> list[Spec]:
    """The critical difference as a bar above the plot, from rank 1 on; `unit` is the pixels of one rank."""
    start, end, level = 0.5 * unit, (0.5 + distance) * unit, -9.0
    strokes = (
        (start, level, end, level),
        (start, level - 4, start, level + 4),
        (end, level - 4, end, level + 4),
    )
    rules = [
        {
            "data": {"values": [{}]},
            "mark": {"type": "rule", "color": INK, "strokeWidth": 1.6},
            "encoding": {name: {"value": at} for name, at in zip(("x", "y", "x2", "y2"), ends, strict=True)},
        }
        for ends in strokes
    ]
    text = f"critical difference {distance:.2f}"
    return [*rules, label(text, end + 6, level, baseline="middle", color=INK)]

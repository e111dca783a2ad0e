"""Scales and axes of a panel: names of categories or numbers along it, the quantity across."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

from prime.render.draw_parts import Spec, names_axis, names_scale, side_names_axis, text_width
from prime.render.figure import Panel


@dataclass(frozen=True)
class Place:
    """Where a panel stands in its figure.

    Attributes:
        width: of the plot, in pixels.
        names: pixels for the names of categories down the side.
        first: whether it is the first of its row, which alone names a shared y axis.
    """

    width: float
    names: float
    first: bool


def along_scale(panel: Panel) -> Spec:
    """The scale of the categories or of x, from the lowest to the highest value, tick or line."""
    if panel.categories:
        return names_scale(len(panel.categories), reverse=panel.horizontal)
    marks = [line.value for line in panel.references if line.axis == "x"]
    ticks = () if panel.x_ticks is None else panel.x_ticks
    values = _finite([*marks, *ticks, *(x for series in panel.series for x in series.x)])
    low, high = (min(values), max(values)) if values else (0.0, 1.0)
    if panel.at_risk is not None:
        ends = [low, high, *panel.at_risk.times]
        return {"domain": [min(0.0, *ends), 1.02 * max(ends)], "nice": False, "zero": False}
    if panel.x_log:
        factor = (high / low) ** 0.05 if high > low else 2.0
        return {"type": "log", "base": 2, "domain": [low / factor, high * factor], "nice": False}
    spare = 0.04 * (high - low) or 0.5
    return {"domain": [low - spare, high + spare], "nice": False, "zero": False}


def quantity_scale(panels: list[Panel]) -> Spec:
    """A scale for all values of the panels, interval ends and lines included, and 0 under bars."""
    if panels[0].y_range is not None:
        return {"domain": list(panels[0].y_range), "nice": False, "zero": False}
    values: list[float] = []
    for panel in panels:
        axis = "x" if panel.horizontal else "y"
        values += [line.value for line in panel.references if line.axis == axis]
        for series in panel.series:
            values += [*series.y, *(series.low or ()), *(series.high or ())]
            values += [0.0] if series.kind == "bars" else []
    values = _finite(values)
    low, high = (min(values), max(values)) if values else (0.0, 1.0)
    spare = 0.03 * (high - low) or 0.5
    bars = any(series.kind == "bars" for panel in panels for series in panel.series)
    return {
        "domain": [0.0 if bars and low == 0 else low - spare, 0.0 if bars and high == 0 else high + spare],
        "nice": True,
        "zero": False,
    }


def _finite(values: Iterable[float]) -> list[float]:
    return [float(value) for value in values if math.isfinite(value)]


def along_axis(panel: Panel, place: Place, named: bool) -> Spec:
    """The axis of the categories or of x; not `named`, its line alone."""
    if not named:
        return _bare(side_names_axis(panel.categories, "", place.names))
    if panel.horizontal:
        return side_names_axis(panel.categories, panel.x_label, place.names)
    if panel.categories:
        room = place.width / len(panel.categories) - 6
        crowded = any(text_width(word) > room for name in panel.categories for word in name.split())
        axis = names_axis(panel.categories, panel.x_label, 200 if crowded else room)
        return axis | {"labelAngle": -30 if crowded else 0}
    axis = {"title": panel.x_label or None, "grid": False}
    ticks = panel.at_risk.times if panel.at_risk is not None else panel.x_ticks
    if ticks is None:
        return axis | {"tickCount": max(2, int(place.width / 60))}
    return axis | {"values": list(ticks), "labelExpr": "format(datum.value, '~g')", "labelOverlap": False}


def quantity_axis(panel: Panel, place: Place, named: bool) -> Spec:
    """The axis of the quantity, with grid lines; not `named`, its line alone."""
    axis: Spec = {"title": panel.y_label or None, "grid": True}
    axis["tickCount"] = max(2, int(place.width / 60)) if panel.horizontal else 5
    return axis if named else _bare(axis)


def _bare(axis: Spec) -> Spec:
    """The axis line alone."""
    return axis | {"title": None, "labels": False, "ticks": False}

"""Charts as SVG, small and without scripts: survival curves, and bars."""

from collections.abc import Sequence
from dataclasses import dataclass
from xml.etree.ElementTree import Element, SubElement, tostring

import numpy as np
from markupsafe import Markup

from prime.arrays import Floats

WIDTH, HEIGHT = 400, 280
LEFT, RIGHT, TOP, BOTTOM = 48, 14, 10, 42
CLASSES = ("c0", "c1", "c2", "c3", "c4", "c5")  # colours, in style.css


@dataclass(frozen=True)
class Line:
    """A curve: y (n,) at rising x (n,); with `low` and `high` a band; `steps` holds y up to the next x.

    `look`: a class of style.css. A curve without y is a band alone.
    """

    name: str
    x: Floats
    y: Floats | None
    look: str
    low: Floats | None = None
    high: Floats | None = None
    steps: bool = False


def survival_chart(lines: Sequence[Line], end: float, label: str, marks: Sequence[float] = ()) -> Markup:
    """Curves of survival over months, from 0 to `end`; `marks` are months at which a line stands.

    `label` is what a screen reader says of the chart.
    """
    svg = Element("svg", {"viewBox": f"0 0 {WIDTH} {HEIGHT}", "role": "img", "class": "chart"})
    SubElement(svg, "title").text = label
    for share in (0.0, 0.25, 0.5, 0.75, 1.0):
        y = f"{_y(share):.1f}"
        _add(svg, "line", "grid", x1=str(LEFT), x2=str(WIDTH - RIGHT), y1=y, y2=y)
        _text(svg, f"{100 * share:.0f} %", LEFT - 6, _y(share) + 4, "end")
    for month in ticks(end):
        _text(svg, f"{month:g}", _x(month, end), HEIGHT - BOTTOM + 18, "middle")
    _text(svg, "months", (LEFT + WIDTH - RIGHT) / 2, HEIGHT - 5, "middle")
    for line in lines:
        if line.low is not None and line.high is not None:
            _band(svg, line, end)
    for month in marks:
        x = f"{_x(min(month, end), end):.1f}"
        _add(svg, "line", "mark", x1=x, x2=x, y1=str(TOP), y2=str(HEIGHT - BOTTOM))
    for line in lines:
        if line.y is not None:
            _add(svg, "path", f"line {line.look}", d=_path(_points(line.x, line.y, line.steps, end), end))
    return Markup(tostring(svg, encoding="unicode"))


def ticks(end: float) -> list[float]:
    """Months of the axis: at most seven, a year or several years apart where it is long."""
    step = next(s for s in (1, 3, 6, 12, 24, 36, 60, 120, 240, 1200) if end / s <= 6)
    return [float(month) for month in np.arange(0, end + 1e-9, step)]


def _x(month: float, end: float) -> float:
    return LEFT + (WIDTH - LEFT - RIGHT) * month / end


def _y(share: float) -> float:
    return TOP + (HEIGHT - TOP - BOTTOM) * (1 - share)


def _points(x: Floats, y: Floats, steps: bool, end: float) -> tuple[Floats, Floats]:
    """What is known of a curve, as corners of its steps, up to the end of the axis."""
    known = ~np.isnan(y)
    x, y = x[known], y[known]
    if steps and len(x) > 1:
        x, y = np.repeat(x, 2)[1:], np.repeat(y, 2)[:-1]
    inside = x <= end
    if inside.all() or not inside.any():
        return x[inside], y[inside]
    return np.append(x[inside], end), np.append(y[inside], np.interp(end, x, y))


def _path(points: tuple[Floats, Floats], end: float) -> str:
    """The path through points on an axis up to `end`; what falls on one place stands once."""
    x, y = points
    if not len(x):
        return ""
    across = np.round(LEFT + (WIDTH - LEFT - RIGHT) * x / end, 1)
    down = np.round(TOP + (HEIGHT - TOP - BOTTOM) * (1 - y), 1)
    moved = np.append(True, (np.diff(across) != 0) | (np.diff(down) != 0))
    corners = zip(across[moved].tolist(), down[moved].tolist(), strict=True)
    return "M" + "L".join(f"{a:g},{b:g}" for a, b in corners)


def _band(svg: Element, line: Line, end: float) -> None:
    assert line.low is not None
    assert line.high is not None
    known = ~(np.isnan(line.low) | np.isnan(line.high))
    x, low = _points(line.x[known], line.low[known], line.steps, end)
    _, high = _points(line.x[known], line.high[known], line.steps, end)
    if len(x) < 2:
        return
    there, back = _path((x, high), end), _path((x[::-1], low[::-1]), end)
    if there and back:
        _add(svg, "path", f"band {line.look}", d=f"{there}L{back[1:]}Z")


def bar_chart(share: float, look: str = "c0") -> Markup:
    """A bar from the middle: `share` in [-1, 1] of half the width, to the right where positive."""
    svg = Element("svg", {"viewBox": "0 0 200 14", "class": "bar", "aria-hidden": "true"})
    width = 100 * min(1.0, abs(share))
    _add(svg, "rect", f"fill {look}", x=f"{100 if share >= 0 else 100 - width:.1f}", y="2", height="10",
         width=f"{width:.1f}")  # fmt: skip
    _add(svg, "line", "axis", x1="100", x2="100", y1="0", y2="14")
    return Markup(tostring(svg, encoding="unicode"))


def _add(svg: Element, tag: str, look: str, **values: str) -> None:
    SubElement(svg, tag, {"class": look, **values})


def _text(svg: Element, text: str, x: float, y: float, anchor: str) -> None:
    SubElement(svg, "text", {"x": f"{x:.1f}", "y": f"{y:.1f}", "text-anchor": anchor}).text = text

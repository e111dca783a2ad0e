"""The two panels for print that have no series: heat map and critical-difference diagram."""

import math
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from prime.render.figure import HeatMap, RankPanel

_GREY = "#555555"
_SMALL = 8  # points


def draw_heat_map(axis: Axes, panel: HeatMap) -> None:
    """Coloured cells with their values, the best one framed, and a colour bar."""
    values = np.ma.masked_invalid(np.array(panel.values, dtype=np.float64))
    colours = matplotlib.colormaps["cividis"].with_extremes(bad="0.92")
    image = axis.imshow(values, cmap=colours, aspect="auto")
    axis.set_xticks(range(len(panel.columns)), panel.columns)
    axis.set_yticks(range(len(panel.rows)), panel.rows)
    axis.set(xlabel=panel.x_label, ylabel=panel.y_label)
    axis.tick_params(length=0)
    axis.spines[:].set_visible(False)
    best = panel.best()
    shades = np.asarray(image.to_rgba(values))
    for (row, column), value in np.ndenumerate(values.filled(np.nan)):
        text = f"{value:.{panel.digits}f}" if math.isfinite(value) else "-"
        light = math.isfinite(value) and _luminance(shades[row, column]) < 0.18
        weight = "bold" if best == (row, column) else "normal"
        axis.text(
            column,
            row,
            text,
            ha="center",
            va="center",
            color="white" if light else "black",
            fontweight=weight,
        )
    if best is not None:
        axis.add_patch(
            Rectangle(
                (best[1] - 0.48, best[0] - 0.46), 0.96, 0.92, fill=False, edgecolor="#D55E00", linewidth=2.2
            )
        )
    bar = axis.figure.colorbar(image, ax=axis, shrink=0.9, pad=0.02)
    bar.set_label(panel.value_label)
    bar.outline.set_visible(False)


def _luminance(colour: Any) -> float:
    """Relative luminance of (red, green, blue, ...) in 0..1. Source: WCAG 2.1."""
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in colour[:3]]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def draw_ranks(axis: Axes, panel: RankPanel) -> None:
    """Ranks along the top, the better half's names to the left, the others' to the right; y runs down."""
    ordered = panel.ordered()
    count, spans = len(ordered), panel.spans()
    start = 0.5 + 0.4 * len(spans)
    half = math.ceil(count / 2)
    axis.hlines(0, 1, count, color="black", linewidth=1.2)
    for tick in range(1, count + 1):
        axis.vlines(tick, -0.18, 0, color="black", linewidth=1)
        axis.text(tick, -0.28, str(tick), ha="center", va="bottom")
    for place, (low, high) in enumerate(spans):
        level = 0.4 + 0.4 * place
        axis.hlines(level, low - 0.04, high + 0.04, color="#D55E00", linewidth=4)
    for place, (name, rank) in enumerate(ordered):
        left = place < half
        level = start + 0.75 * (place if left else count - 1 - place)
        edge = 0.75 if left else count + 0.25
        axis.plot([rank, rank, edge], [0, level, level], color=_GREY, linewidth=1, zorder=1)
        axis.plot([rank], [0], "o", color="#0072B2", markersize=5, clip_on=False)
        text = f"{name}  {rank:.2f}" if left else f"{rank:.2f}  {name}"
        axis.text(
            edge - 0.06 if left else edge + 0.06, level, text, ha="right" if left else "left", va="center"
        )
    top = -0.9
    if panel.distance is not None:
        top = -2.6
        axis.plot([1, 1 + panel.distance], [-1.5, -1.5], "|-", color="black", linewidth=1.6, markersize=7)
        text = f"critical difference {panel.distance:.2f}"
        axis.text(1 + panel.distance + 0.1, -1.5, text, va="center", fontsize=_SMALL)
    axis.text(
        count,
        top + 0.4,  # above the critical difference, which may reach all the way to the right
        panel.label,
        ha="right",
        va="center",
        fontsize=_SMALL,
        color=_GREY,
    )
    axis.set_ylim(start + 0.75 * half, top)
    axis.set_xlim(0.75, count + 0.25)
    axis.set_axis_off()

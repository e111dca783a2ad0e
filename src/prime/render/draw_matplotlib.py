"""Figures for print: a description drawn with matplotlib as PNG and PDF, without a window or global state."""

import math
import textwrap
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.transforms import ScaledTranslation, Transform, blended_transform_factory

from prime.files import replacing
from prime.render.draw_matplotlib_panels import draw_heat_map, draw_ranks
from prime.render.figure import MANY, AnyPanel, AtRisk, Figure, HeatMap, Panel, RankPanel, Reference, Series

_STYLE: dict[Any, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "axes.labelsize": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.labelsize": 8.5,
    "ytick.labelsize": 8.5,
    "legend.fontsize": 9,
    "text.parse_math": False,
    "pdf.fonttype": 42,
}
_MARKERS = "os^DvPX*"
_DASHES = ("solid", (0, (5, 1.5)), (0, (1, 1.2)), (0, (5, 2, 1, 2)))
_GREY = "#555555"
_LINE = 11  # points from one small line of text to the next
_SMALL = 8  # points
_INCHES_A_LETTER = 0.063  # of 9 point text


def draw(figure: Figure, stem: Path) -> list[Path]:
    """Draw `stem`.png (200 dots an inch) and `stem`.pdf; the same figure gives the same bytes.

    Returns the paths.
    """
    paths = [stem.with_name(f"{stem.name}.{suffix}") for suffix in ("png", "pdf")]
    with matplotlib.rc_context(_STYLE):
        canvas = compose(figure)
        with replacing(paths[0]) as temporary:
            canvas.savefig(temporary, dpi=200)
        with replacing(paths[1]) as temporary:
            canvas.savefig(temporary, metadata={"CreationDate": None})
    return paths


def compose(figure: Figure) -> Canvas:
    """The figure as a matplotlib figure, not yet written; matplotlib's settings are left as they were."""
    with matplotlib.rc_context(_STYLE):
        return _composed(figure)


def _composed(figure: Figure) -> Canvas:
    columns = min(figure.columns, len(figure.panels))
    rows = math.ceil(len(figure.panels) / columns)
    look, width = _Look(figure), _width(figure, columns)
    handles = look.handles(figure.labels()) if figure.one_legend() else {}
    per_line, lines = _legend_shape(list(handles), width)
    title = textwrap.fill(figure.title, int(width / 0.1))
    height = rows * max(_height(panel, look, width / columns) for panel in figure.panels)
    height += 0.2 * lines + 0.25 * (title.count("\n") + bool(title))
    canvas = Canvas(figsize=(width, height), layout=ConstrainedLayoutEngine(h_pad=0.08, w_pad=0.1))
    axes = canvas.subplots(rows, columns, squeeze=False, sharey=figure.shared_y())
    for place, axis in enumerate(axes.flat):
        if place < len(figure.panels):
            _draw_panel(axis, figure.panels[place], look, place % columns == 0, width / columns)
        else:
            axis.set_axis_off()
    if title:
        canvas.suptitle(title, x=0.01, ha="left", fontsize=11, fontweight="bold")
    if handles:
        canvas.legend(
            list(handles.values()), list(handles), loc="outside lower center", ncols=per_line, frameon=False
        )
    return canvas


class _Look:
    """Colour, marker and dashes of every label, the same in all panels, and what is said only once."""

    def __init__(self, figure: Figure) -> None:
        self.colours = figure.colours()
        self.slots = figure.slots()
        self.one_legend = figure.one_legend()
        self.shared_y = figure.shared_y()
        panels = [panel for panel in figure.panels if isinstance(panel, Panel)]
        self.kinds = {series.label: series.kind for panel in panels for series in panel.series}
        self.same_risk_rows = figure.same_risk_rows()

    def marker(self, label: str) -> str:
        slot = self.slots[label]
        return _MARKERS[(slot + slot // len(_MARKERS)) % len(_MARKERS)]

    def dashes(self, label: str) -> Any:
        return _DASHES[self.slots[label] % len(_DASHES)]

    def handles(self, labels: list[str]) -> dict[str, Line2D | Patch]:
        """Legend entries by label; none where there is only one label."""
        named = [label for label in labels if label]
        return {label: self._handle(label) for label in named} if len(named) > 1 else {}

    def _handle(self, label: str) -> Line2D | Patch:
        colour, kind = self.colours[label], self.kinds[label]
        if kind == "bars":
            return Patch(color=colour)
        if kind == "step":
            return Line2D([], [], color=colour, linestyle=self.dashes(label), linewidth=1.8)
        line = "solid" if kind == "line" else "none"
        return Line2D([], [], color=colour, linestyle=line, marker=self.marker(label), markersize=5.5)


def _legend_shape(labels: list[str], inches: float) -> tuple[int, int]:
    """The most columns that fit, filled one after another, and the lines that they take."""
    for columns in range(len(labels), 1, -1):
        filled = np.array_split(np.array([len(label) for label in labels]), columns)
        if sum(int(part.max()) * _INCHES_A_LETTER + 0.55 for part in filled) <= inches:
            return columns, len(filled[0])
    return 1, len(labels)


def _width(figure: Figure, columns: int) -> float:
    """Inches."""
    if any(isinstance(panel, RankPanel) for panel in figure.panels):
        return 9.0 * columns
    return {1: 7.0, 2: 9.5}.get(columns, 3.9 * columns)


def _height(panel: AnyPanel, look: _Look, inches: float) -> float:
    """Inches."""
    height = 0.17 * len(panel.notes)
    if isinstance(panel, Panel) and not look.one_legend:
        height += 0.2 * _legend_shape([series.label for series in panel.series], inches)[1]
    if isinstance(panel, RankPanel):
        return height + 1.4 + 0.3 * math.ceil(len(panel.ranks) / 2) + 0.12 * len(panel.spans())
    if isinstance(panel, HeatMap):
        return height + 1.2 + max(1.8, 0.42 * len(panel.rows))
    if panel.horizontal:
        count = len(panel.categories)
        return height + 1.1 + count * max(0.36 if count <= MANY else 0.21, 0.2 * len(panel.across()))
    return height + 3.1 + (0.16 * (len(panel.at_risk.rows) + 1) if panel.at_risk else 0)


def _draw_panel(axis: Axes, panel: AnyPanel, look: _Look, left: bool, inches: float) -> None:
    letters = int(inches / _INCHES_A_LETTER) - 8
    notes = "\n".join(textwrap.fill(note, letters) for note in panel.notes)
    above = 3.0
    if isinstance(panel, RankPanel):
        draw_ranks(axis, panel)
    elif isinstance(panel, HeatMap):
        draw_heat_map(axis, panel)
    else:
        _draw_series(axis, panel, look)
        _label_axes(axis, panel, left or not look.shared_y, letters)
        if panel.at_risk is not None:
            _draw_at_risk(axis, panel.at_risk, look, left or not look.same_risk_rows)
        for reference in panel.references:
            _draw_reference(axis, reference)
        if not look.one_legend:
            _draw_legend(axis, panel, look, inches)
        above += _LINE * any(line.label and line.axis == "x" for line in panel.references)
    if notes:
        axis.annotate(
            notes, (0, 1), (0, above), xycoords="axes fraction", textcoords="offset points",
            fontsize=_SMALL, color=_GREY, va="bottom", annotation_clip=False,
        )  # fmt: skip
        above += _LINE * (notes.count("\n") + 1)
    axis.set_title(textwrap.fill(panel.title, letters), pad=above + 2, fontweight="bold")


def _draw_legend(axis: Axes, panel: Panel, look: _Look, inches: float) -> None:
    """The panel's own legend, below its axis and the numbers there."""
    handles = look.handles([series.label for series in panel.series])
    if not handles:
        return
    per_line, _ = _legend_shape(list(handles), inches)
    down = -34.0 - (_LINE * (len(panel.at_risk.rows) + 1) if panel.at_risk else 0)
    axis.legend(
        list(handles.values()), list(handles), loc="upper center", bbox_to_anchor=(0.5, 0), ncols=per_line,
        bbox_transform=_moved(axis, axis.transAxes, 0, down), frameon=False, borderaxespad=0,
    )  # fmt: skip


def _draw_series(axis: Axes, panel: Panel, look: _Look) -> None:
    for series in panel.series:
        colour = look.colours[series.label]
        if series.kind in ("points", "bars"):
            shift, step = panel.dodge(series)
            _draw_dodged(axis, series, shift, step, panel.horizontal, colour, look.marker(series.label))
        else:
            _draw_curve(axis, series, colour, look)
    if panel.empty():
        axis.text(0.5, 0.5, "nothing defined", transform=axis.transAxes, ha="center", color=_GREY)


def _draw_curve(axis: Axes, series: Series, colour: str, look: _Look) -> None:
    step = "post" if series.kind == "step" else None
    if series.kind == "step":
        axis.step(
            series.x, series.y, where="post", color=colour, linewidth=1.5,
            linestyle=look.dashes(series.label), label=series.label,
        )  # fmt: skip
        heights = [series.at(x) for x in series.censored]
        axis.plot(series.censored, heights, "|", color=colour, markersize=5, markeredgewidth=0.8)
    else:
        axis.plot(
            series.x, series.y, color=colour, linewidth=1.6, marker=look.marker(series.label),
            markersize=5.5, label=series.label,
        )  # fmt: skip
    if series.low is not None and series.high is not None:
        axis.fill_between(series.x, series.low, series.high, step=step, color=colour, alpha=0.13, linewidth=0)


def _draw_dodged(
    axis: Axes, series: Series, shift: float, step: float, horizontal: bool, colour: str, marker: str
) -> None:
    """Points or bars at their categories moved by `shift`, with intervals as thin lines."""
    places = np.asarray(series.x, dtype=np.float64) + shift
    values = np.asarray(series.y, dtype=np.float64)
    if series.kind == "bars":
        bar = axis.barh if horizontal else axis.bar
        bar(places, np.nan_to_num(values), 0.92 * step, color=colour, label=series.label)
    elif horizontal:
        axis.plot(values, places, marker, color=colour, markersize=6, label=series.label)
    else:
        axis.plot(places, values, marker, color=colour, markersize=6, label=series.label)
    if series.low is not None and series.high is not None:
        lines = axis.hlines if horizontal else axis.vlines
        over = "black" if series.kind == "bars" else colour
        lines(
            places,
            np.asarray(series.low),
            np.asarray(series.high),
            color=over,
            linewidth=1.4,
            zorder=1.9 if over == colour else 3,
        )


def _label_axes(axis: Axes, panel: Panel, y_label: bool, letters: int) -> None:
    if panel.horizontal:
        names = [textwrap.fill(name, 34) for name in panel.categories]
        axis.set_yticks(range(len(names)), names)
        axis.set_ylim(len(names) - 0.5, -0.5)
        axis.set(xlabel=panel.y_label, ylabel=panel.x_label if y_label else "")
        axis.locator_params(axis="x", nbins=5)
        axis.grid(axis="x", color="0.9", linewidth=0.8)
        axis.tick_params(axis="y", length=0)
        if panel.y_range is not None:
            axis.set_xlim(*panel.y_range)
        axis.set_axisbelow(True)
        return
    if panel.categories:
        longest = max(len(name) for name in panel.categories)
        crowded = (longest + 1) * len(panel.categories) > letters
        slant: dict[str, Any] = {"rotation": 30, "ha": "right", "rotation_mode": "anchor"} if crowded else {}
        axis.set_xticks(range(len(panel.categories)), panel.categories, **slant)
        axis.set_xlim(-0.5, len(panel.categories) - 0.5)
    if panel.x_log:
        axis.set_xscale("log", base=2)
        axis.minorticks_off()
    if panel.x_ticks is not None:
        axis.set_xticks(list(panel.x_ticks), [f"{tick:g}" for tick in panel.x_ticks])
    if panel.y_range is not None:
        axis.set_ylim(*panel.y_range)
    axis.grid(axis="y", color="0.9", linewidth=0.8)
    axis.set_axisbelow(True)
    axis.set(xlabel=panel.x_label, ylabel=panel.y_label if y_label else "")


def _moved(axis: Axes, base: Transform, right: float, up: float) -> Transform:
    """`base` moved by points."""
    return base + ScaledTranslation(right / 72, up / 72, axis.figure.dpi_scale_trans)


def _draw_at_risk(axis: Axes, table: AtRisk, look: _Look, labelled: bool) -> None:
    """Counts under their times, below the x label; the rows' names to the left."""
    ends = [*table.times, *(x for line in axis.lines for x in np.asarray(line.get_xdata(), dtype=float))]
    axis.set_xlim(min(0.0, *ends), max(ends) * 1.02)
    axis.set_xticks(list(table.times), [f"{time:g}" for time in table.times])
    along = blended_transform_factory(axis.transData, axis.transAxes)
    first = -41.0
    if labelled:
        head = _moved(axis, axis.transAxes, -16, first)
        axis.text(0, 0, "At risk", transform=head, ha="right", fontsize=_SMALL, color=_GREY)
    for row, (label, counts) in enumerate(table.rows.items(), start=1):
        colour = look.colours.get(label, _GREY)
        down = first - _LINE * row
        if labelled:
            place = _moved(axis, axis.transAxes, -16, down)
            axis.text(0, 0, label, transform=place, ha="right", fontsize=_SMALL, color=colour)
        for time, count in zip(table.times, counts, strict=True):
            place = _moved(axis, along, 0, down)
            axis.text(time, 0, str(count), transform=place, ha="center", fontsize=_SMALL, color=colour)


def _draw_reference(axis: Axes, reference: Reference) -> None:
    """A dotted line; its label stands outside the axes, where no data can be."""
    style: dict[str, Any] = {"color": "0.45", "linestyle": (0, (2, 2)), "linewidth": 1, "zorder": 1}
    if reference.axis == "y":
        axis.axhline(reference.value, **style)
        base = blended_transform_factory(axis.transAxes, axis.transData)
        where = _moved(axis, base, 4, 0)
        axis.text(
            1, reference.value, reference.label, transform=where, va="center", fontsize=_SMALL, color=_GREY
        )
    else:
        axis.axvline(reference.value, **style)
        base = blended_transform_factory(axis.transData, axis.transAxes)
        where = _moved(axis, base, 0, 3)
        axis.text(
            reference.value, 1, reference.label, transform=where, ha="center", fontsize=_SMALL, color=_GREY
        )

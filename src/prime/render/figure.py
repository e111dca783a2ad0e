"""What a figure shows, apart from how it is drawn.

A study describes its figure once; `prime.render.draw` turns the description into a Vega-Lite specification,
which serves print and the page. NaN is a gap everywhere; a value is never dropped because it looks bad.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from numpy.typing import NDArray

Values = Sequence[float] | NDArray[Any]
Counts = Sequence[int] | NDArray[Any]
Kind = Literal["line", "step", "points", "bars"]

# Okabe and Ito, "Color universal design", 2008, without its yellow, which is hard to see on white.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#7F7F7F")


@dataclass(frozen=True)
class Series:
    """One curve, one row of points or one row of bars.

    Attributes:
        label: its name in the legend and in hover text; the same label has the same colour in all panels.
        x, y: (n,) floats. In a panel with categories, x counts them from 0. A NaN y is a gap.
        low, high: (n,) ends of an interval around y, both or neither; NaN where there is none.
        kind: `line` joins the points straight and marks them; `step` holds y until the next x (Kaplan-Meier);
            `points` marks them alone; `bars` runs from zero to y.
        censored: x of tick marks on a step curve, where patients were censored.
        n: (n,) number behind each y (patients at risk, folds), for hover text.
        colour: as #rrggbb; None takes the next one of `PALETTE`.

    Raises:
        ValueError: lengths that disagree, or only one of low and high.
    """

    label: str
    x: Values
    y: Values
    low: Values | None = None
    high: Values | None = None
    kind: Kind = "line"
    censored: Values = ()
    n: Counts | None = None
    colour: str | None = None

    def __post_init__(self) -> None:
        if (self.low is None) != (self.high is None):
            raise ValueError(f"series {self.label!r}: give both of low and high, or neither")
        for name in ("x", "y", "low", "high", "censored"):
            values: Values | None = getattr(self, name)
            if values is not None:
                object.__setattr__(self, name, tuple(float(value) for value in values))
        if self.n is not None:
            object.__setattr__(self, "n", tuple(int(value) for value in self.n))
        for name in ("y", "low", "high", "n"):
            values = getattr(self, name)
            if values is not None and len(values) != len(self.x):
                raise ValueError(f"series {self.label!r}: {len(self.x)} x, but {len(values)} {name}")

    def at(self, x: float) -> float:
        """y of a step curve at `x`: that of the last step at or before it, NaN before the first."""
        before = [y for start, y in zip(self.x, self.y, strict=True) if start <= x]
        return before[-1] if before else math.nan


@dataclass(frozen=True)
class Reference:
    """A thin straight line across a panel, such as chance or a chosen setting.

    Attributes:
        value: where it stands on its axis.
        label: a few words beside it; empty for none.
        axis: the axis that `value` is on: `y` is a level line of an upright panel.
    """

    value: float
    label: str = ""
    axis: Literal["x", "y"] = "y"


@dataclass(frozen=True)
class AtRisk:
    """Numbers at risk, written under a Kaplan-Meier panel.

    Attributes:
        times: on the x axis; the panel's ticks stand there too.
        rows: by series label, one count per time.

    Raises:
        ValueError: a row with another number of counts than there are times.
    """

    times: Values
    rows: Mapping[str, Counts]

    def __post_init__(self) -> None:
        object.__setattr__(self, "times", tuple(float(time) for time in self.times))
        rows = {label: tuple(int(count) for count in counts) for label, counts in self.rows.items()}
        object.__setattr__(self, "rows", rows)
        for label, counts in rows.items():
            if len(counts) != len(self.times):
                raise ValueError(f"at risk, {label!r}: {len(self.times)} times, but {len(counts)} counts")


@dataclass(frozen=True)
class Panel:
    """One pair of axes.

    Attributes:
        title: above it.
        x_label, y_label: of the quantities, with units.
        series: drawn in this order.
        x_ticks: positions; None leaves them to the drawing.
        categories: names in place of numbers; series then count them from 0.
        horizontal: categories run down the left side and the quantity along x; for long names. `x_label`
            then still names the categories and `y_label` the quantity, and y_range is the quantity's.
        x_log: a logarithmic x axis, for sweeps by doubling.
        y_range: (low, high) of the quantity; None fits the data.
        references: level or upright lines.
        notes: short lines under the title, such as a hazard ratio and its p value.
        at_risk: numbers under the axis.

    Raises:
        ValueError: horizontal without categories, or x outside the categories.
    """

    title: str
    x_label: str
    y_label: str
    series: tuple[Series, ...]
    x_ticks: Values | None = None
    categories: tuple[str, ...] = ()
    horizontal: bool = False
    x_log: bool = False
    y_range: tuple[float, float] | None = None
    references: tuple[Reference, ...] = ()
    notes: tuple[str, ...] = ()
    at_risk: AtRisk | None = None

    def __post_init__(self) -> None:
        if self.horizontal and not self.categories:
            raise ValueError(f"panel {self.title!r}: horizontal needs categories")
        if self.categories:
            places = range(len(self.categories))
            outside = [x for series in self.series for x in series.x if x not in places]
            if outside:
                raise ValueError(f"panel {self.title!r}: x {outside[0]} is none of {len(places)} categories")

    def across(self) -> list[Series]:
        """The rows of points or bars that stand beside each other, as some of them share a category."""
        rows = [series for series in self.series if series.kind in ("points", "bars")]
        places = [x for series in rows for x in series.x]
        return rows if self.categories and len(set(places)) < len(places) else []

    def dodge(self, series: Series) -> tuple[float, float]:
        """How far a row of points or bars is moved from the middle of its categories, and how wide it is."""
        across = self.across()
        if series not in across:
            return 0.0, 0.7
        step = 0.7 / len(across)
        return step * (across.index(series) - (len(across) - 1) / 2), step

    def empty(self) -> bool:
        """Whether no y is a number."""
        return not any(math.isfinite(y) for series in self.series for y in series.y)


@dataclass(frozen=True)
class HeatMap:
    """A two-way sweep: one value per cell, written into it; the best one framed.

    Attributes:
        title, x_label, y_label: as of a panel.
        columns, rows: names along x and down y.
        values: (rows, columns); NaN is an empty cell.
        value_label: what the colour means.
        digits: after the point, in the cells.
        higher: True where the highest value is the best; None frames none.

    Raises:
        ValueError: values that are not rows by columns.
    """

    title: str
    x_label: str
    y_label: str
    columns: tuple[str, ...]
    rows: tuple[str, ...]
    values: Sequence[Values] | NDArray[Any]
    value_label: str
    digits: int = 3
    higher: bool | None = True
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        values = tuple(tuple(float(value) for value in row) for row in self.values)
        object.__setattr__(self, "values", values)
        if len(values) != len(self.rows) or any(len(row) != len(self.columns) for row in values):
            raise ValueError(
                f"heat map {self.title!r}: values are not {len(self.rows)} x {len(self.columns)}"
            )

    def best(self) -> tuple[int, int] | None:
        """(row, column) of the best value, the first where several share it; None where there is none."""
        if self.higher is None:
            return None
        sign = 1.0 if self.higher else -1.0
        cells = [
            (sign * value, -row, -column)
            for row, line in enumerate(self.values)
            for column, value in enumerate(line)
            if math.isfinite(value)
        ]
        if not cells:
            return None
        _, row, column = max(cells)
        return -row, -column


@dataclass(frozen=True)
class RankPanel:
    """A critical-difference diagram: mean ranks of methods, bars over those that cannot be told apart.

    Source of the form: Demsar, "Statistical Comparisons of Classifiers over Multiple Data Sets", JMLR 2006.

    Attributes:
        title: above it.
        ranks: mean rank by method, 1 is best.
        groups: sets of methods not significantly different; each is one bar.
        distance: the critical difference in ranks; None where the groups come from another test.
        label: of the axis.
        notes: short lines under the title.

    Raises:
        ValueError: a group naming a method without a rank, or a rank outside 1..number of methods.
    """

    title: str
    ranks: Mapping[str, float]
    groups: tuple[tuple[str, ...], ...] = ()
    distance: float | None = None
    label: str = "mean rank (1 is best)"
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        unknown = [name for group in self.groups for name in group if name not in self.ranks]
        if unknown:
            raise ValueError(f"rank panel {self.title!r}: no rank of {unknown[0]!r}, which is in a group")
        wrong = [name for name, rank in self.ranks.items() if not 1 <= rank <= len(self.ranks)]
        if wrong:
            raise ValueError(
                f"rank panel {self.title!r}: {wrong[0]!r} has a rank outside 1..{len(self.ranks)}"
            )

    def ordered(self) -> list[tuple[str, float]]:
        """Methods from best to worst, equal ranks in the given order."""
        return sorted(self.ranks.items(), key=lambda item: item[1])

    def spans(self) -> list[tuple[float, float]]:
        """(lowest, highest) rank of each group of at least two, from the best on."""
        spans = [
            (min(self.ranks[name] for name in group), max(self.ranks[name] for name in group))
            for group in self.groups
            if len(group) > 1
        ]
        return sorted(spans)


AnyPanel = Panel | HeatMap | RankPanel


@dataclass(frozen=True)
class Figure:
    """A figure of one or more panels.

    Attributes:
        name: short, for file names and links.
        title: above all panels.
        caption: a paragraph for the text below; not drawn into the picture.
        panels: row by row.
        columns: panels in a row.
        share_y: panels whose y_label is the same have one y axis, labelled on the left alone.

    Raises:
        ValueError: no panel, or columns below one.
    """

    name: str
    title: str
    caption: str
    panels: tuple[AnyPanel, ...]
    columns: int = 1
    share_y: bool = True

    def __post_init__(self) -> None:
        if not self.panels or self.columns < 1:
            raise ValueError(f"figure {self.name!r}: needs a panel and a column")

    def _repr_mimebundle_(self, **asked: Any) -> dict[str, str]:
        """What a notebook shows: the picture; `asked` are the formats that it would take."""
        from prime.render.draw import svg

        return {"image/svg+xml": svg(self), "text/plain": f"Figure {self.name}: {self.title}".rstrip(": ")}

    def labels(self) -> list[str]:
        """Labels of all series, each once, in the order in which they first come."""
        return list(dict.fromkeys(series.label for series in self._series()))

    def one_legend(self) -> bool:
        """Whether one legend serves all panels: some panel has every label. Otherwise each has its own."""
        every = set(self.labels())
        return any({series.label for series in panel.series} == every for panel in self._plain())

    def slots(self) -> dict[str, int]:
        """A number for every label, 0 first, that fixes its colour and marker in all panels.

        No two labels share a number, unless there are more labels than colours and each panel has a legend
        of its own; then labels that never meet in a panel may.
        """
        panels = [{series.label for series in panel.series} for panel in self._plain()]
        slots: dict[str, int] = {}
        alone = self.one_legend() or len(self.labels()) <= len(PALETTE)
        for label in self.labels():
            met = set[str]().union(*(names for names in panels if label in names))
            taken = {slot for other, slot in slots.items() if alone or other in met}
            slots[label] = next(slot for slot in range(len(taken) + 1) if slot not in taken)
        return slots

    def colours(self) -> dict[str, str]:
        """A colour for every label: the series' own, otherwise of `PALETTE` by its slot, again after 8."""
        own = {series.label: series.colour for series in self._series() if series.colour is not None}
        free = [colour for colour in PALETTE if colour not in own.values()] or PALETTE
        return {label: free[slot % len(free)] for label, slot in self.slots().items()} | own

    def shared_y(self) -> bool:
        """Whether all panels have one y axis: asked for, several of them, and the same quantity or names."""
        panels = self._plain()
        same = len({(panel.y_label, panel.y_range) for panel in panels}) == 1
        if any(panel.horizontal for panel in panels):
            same = all(panel.horizontal for panel in panels) and len({p.categories for p in panels}) == 1
        return self.share_y and same and len(panels) == len(self.panels) > 1

    def same_risk_rows(self) -> bool:
        """Whether the numbers at risk have the same rows in all panels; naming them once is then enough."""
        return len({tuple(panel.at_risk.rows) for panel in self._plain() if panel.at_risk}) < 2

    def _plain(self) -> list[Panel]:
        return [panel for panel in self.panels if isinstance(panel, Panel)]

    def _series(self) -> Iterator[Series]:
        return (series for panel in self._plain() for series in panel.series)

"""What is said of a selection of patients: how many, their survival, what they have."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup

from prime.arrays import Flags, Indices
from prime.evaluation.kaplan_meier import KaplanMeier, kaplan_meier, numbers_at_risk
from prime.explore.charts import CLASSES, Line, survival_chart, ticks
from prime.explore.cohort import Explored

SPLITS = ("none", "type", "pattern", "risk")
THIRDS = ("low", "middle", "high")
MOST = len(CLASSES)  # curves of a chart


@dataclass(frozen=True)
class Group:
    """Patients with one curve: how many, with an outcome, with an event, and the curve.

    `at_risk`: how many are followed up to each of the chart's months.
    """

    name: str
    look: str
    patients: int
    followed: int
    events: int
    curve: KaplanMeier
    at_risk: tuple[int, ...]


@dataclass(frozen=True)
class Selection:
    """A selection as a page shows it."""

    patients: int
    everybody: int
    groups: tuple[Group, ...]
    months: tuple[float, ...]
    chart: Markup | None
    left_out: int
    patterns: tuple[tuple[str, int, int], ...]


def select(explored: Explored, rows: Indices, split: str = "none") -> Selection:
    """Survival and patterns of the patients `rows` (n,), positions in the store.

    `split`: one of SPLITS. With none, the selected are compared with the others, where there are others.
    """
    chosen = np.zeros(len(explored.ids), dtype=np.bool_)
    chosen[rows] = True
    named, left_out = _members(explored, chosen, split)
    time, event = explored.outcome
    known = ~np.isnan(time)
    shown = [mask & known for _, mask in named]
    end = _end(explored, shown)
    months = tuple(ticks(end)) if end else ()
    groups = tuple(
        Group(
            name, CLASSES[place], int(mask.sum()), int(own.sum()), int((event[own] == 1).sum()),
            kaplan_meier(time[own], event[own] == 1),
            tuple(numbers_at_risk(time[own], np.array(months)).tolist()) if len(months) else (),
        )
        for place, ((name, mask), own) in enumerate(zip(named, shown, strict=True))
    )  # fmt: skip
    chart = None
    if end:
        drawn = [g for g in groups if g.followed]
        label = "Kaplan-Meier curves of " + ", ".join(f"{g.name} ({g.followed:,})" for g in drawn)
        chart = survival_chart([_line(g) for g in drawn], end, label)
    return Selection(
        int(chosen.sum()), len(chosen), groups, months, chart, left_out, _patterns(explored, chosen)
    )


def _members(explored: Explored, chosen: Flags, split: str) -> tuple[list[tuple[str, Flags]], int]:
    """Names and members (P,) of the groups, and how many selected patients are in none."""
    if split == "none":
        pairs = [("selected", chosen)] if chosen.any() else []
        if not chosen.all():
            pairs.append(("others" if pairs else "everybody", ~chosen))
        return (pairs if len(pairs) > 1 else [("everybody", np.ones_like(chosen))]), 0
    chosen = chosen if chosen.any() else np.ones_like(chosen)
    if split == "risk":
        risk = explored.column("percentile")
        third = np.searchsorted([100 / 3, 200 / 3], risk, side="right")
        labels = [THIRDS[t] + " risk" if not np.isnan(r) else "" for t, r in zip(third, risk, strict=True)]
        order = [f"{name} risk" for name in THIRDS]
    else:
        labels = explored.types if split == "type" else explored.patterns
        counts = Counter(label for label, there in zip(labels, chosen.tolist(), strict=True) if there)
        order = [name for name, _ in counts.most_common(MOST)]
    own = np.array(labels, dtype=object)
    pairs = [(name or "not stated", chosen & (own == name)) for name in order]
    inside = sum(int(mask.sum()) for _, mask in pairs)
    return [pair for pair in pairs if pair[1].any()], int(chosen.sum()) - inside


def _end(explored: Explored, shown: Sequence[Flags]) -> float:
    """The end of the axis, in months: where one patient in twenty of the largest group is still followed."""
    time, _ = explored.outcome
    ends = [float(np.quantile(time[mask], 0.95)) for mask in shown if mask.any()]
    return max(12.0, 12 * np.ceil(max(ends) / 12)) if ends else 0.0


def _line(group: Group) -> Line:
    curve = group.curve
    return Line(group.name, curve.times, curve.survival, group.look, curve.low, curve.high, steps=True)


def _patterns(explored: Explored, chosen: Flags) -> tuple[tuple[str, int, int], ...]:
    """Each pattern with its number of patients, and of selected ones; the most frequent first."""
    whole = Counter(explored.patterns)
    mine = Counter(p for p, there in zip(explored.patterns, chosen.tolist(), strict=True) if there)
    return tuple((name, count, mine[name]) for name, count in whole.most_common())

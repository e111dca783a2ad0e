"""Discrimination and calibration of a model on a labelled cohort: over all, by pattern and by group."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from prime.days import YEAR
from prime.evaluation.horizon_scores import HORIZON_METRICS, HorizonCases, HorizonMetric
from prime.evaluation.metrics import bootstrap_interval
from prime.render.tables import ABSENT, Table
from prime.validation.labelled import Labelled

EVERYONE = "everyone"
DELAYED = "; with delayed entry, events over those expected from each patient's entry on"


@dataclass(frozen=True)
class Draws:
    """The bootstrap: replicates over patients (0 for no intervals), and the seed of the draws."""

    replicates: int = 200
    seed: int = 0


def horizon_name(days: float) -> str:
    """`3 years`, `1 year`, or `400 days` where it is no half or whole year."""
    years = days / YEAR
    if abs(years * 2 - round(years * 2)) > 0.01:
        return f"{days:g} days"
    return f"{round(years * 2) / 2:g} year{'' if round(years * 2) == 2 else 's'}"


def metric_row(metric: HorizonMetric, cases: HorizonCases, draws: Draws) -> dict[str, object]:
    """A metric of some patients with its bootstrap interval, as a row."""
    score = metric.of(cases)
    low = high = float("nan")
    if draws.replicates and not np.isnan(score.value):
        interval = bootstrap_interval(
            lambda rows: metric.of(cases.take(rows)), np.arange(len(cases.time)),
            replicates=draws.replicates, seed=draws.seed,
        )  # fmt: skip
        low, high = interval.low, interval.high
    return {
        "horizon_days": cases.horizon, "metric": metric.name, "value": score.value, "low": low, "high": high,
        "n": len(cases.time), "events": cases.events, "reason": score.reason or "",
    }  # fmt: skip


def overall_rows(labelled: Labelled, horizons: Sequence[float], draws: Draws) -> pd.DataFrame:
    """Every metric at every horizon, over all patients."""
    rows: list[dict[str, object]] = []
    for days in horizons:
        cases, _ = labelled.cases(days)
        rows += [metric_row(metric, cases, draws) for metric in HORIZON_METRICS]
    return pd.DataFrame(rows).assign(variable=EVERYONE, group="")


def group_rows(
    labelled: Labelled, groups: Mapping[str, NDArray[np.str_]], days: float, draws: Draws
) -> pd.DataFrame:
    """The brief metrics at one horizon within the groups of each variable."""
    cases, known = labelled.cases(days)
    rows: list[dict[str, object]] = []
    for variable, names in groups.items():
        mine = names[known]
        for group in sorted(set(mine.tolist()) - {""}):
            part = cases.take(mine == group)
            rows += [
                {"variable": variable, "group": group, **metric_row(metric, part, draws)}
                for metric in HORIZON_METRICS
                if metric.brief
            ]
    columns = ["variable", "group", "horizon_days", "metric", "value", "low", "high", "n", "events", "reason"]
    return pd.DataFrame(rows, columns=columns)


def interval_cell(row: "pd.Series[float]") -> str:
    """`0.712 (0.650 to 0.771)`; `-` where the value is undefined."""
    if np.isnan(row["value"]):
        return ABSENT
    ends = "" if np.isnan(row["low"]) else f" ({row['low']:.3f} to {row['high']:.3f})"
    return f"{row['value']:.3f}{ends}"


def performance_table(rows: pd.DataFrame, task: str, late: bool = False) -> Table:
    """Metrics by horizon, over all patients; `late` with delayed entry."""
    titles = {metric.name: metric.title for metric in HORIZON_METRICS}
    cells = rows.assign(cell=rows.apply(interval_cell, axis=1), title=rows["metric"].map(titles))
    display = cells.pivot(index="title", columns="horizon_days", values="cell").loc[list(titles.values())]
    counts = rows.drop_duplicates("horizon_days").set_index("horizon_days")
    display.columns = [
        f"{horizon_name(days)} (n {counts['n'][days]:,}, {counts['events'][days]:,} events)"
        for days in map(float, display.columns)
    ]
    display.index.name = "Metric"
    return Table(
        "performance",
        f"Discrimination and calibration, {task}",
        "Value and 95% bootstrap interval over patients. Harrell's C uses all follow-up; the others look at "
        "the horizon, with weights for censoring. Observed / expected above 1: predicted risks are too low"
        f"{DELAYED if late else ''}. ICI, E50, E90: mean, median and 90th percentile of the distance between "
        "predicted and smooth risk.",
        rows,
        display,
        _notes(rows),
    )


def groups_table(name: str, title: str, rows: pd.DataFrame) -> Table:
    """A row a group with its brief metrics at one horizon."""
    titles = {metric.name: metric.title for metric in HORIZON_METRICS if metric.brief}
    shown: dict[tuple[str, str], dict[str, str]] = {}
    for (variable, group), part in rows.groupby(["variable", "group"], sort=False):
        first = part.iloc[0]
        cells = {"n": f"{first['n']:,}", "events": f"{first['events']:,}"}
        for _, row in part.iterrows():
            cells[titles[str(row["metric"])]] = interval_cell(row)
        shown[str(variable), str(group)] = cells
    display = pd.DataFrame.from_dict(shown, orient="index")
    display.index = pd.MultiIndex.from_tuples(list(shown), names=["Variable", "Group"])
    horizon = horizon_name(float(rows["horizon_days"].iloc[0]))
    return Table(
        name,
        title,
        f"At {horizon}; 95% bootstrap intervals over the patients of the group. A group with few events says"
        " little, whatever its values are.",
        rows,
        display,
        _notes(rows),
    )


def _notes(rows: pd.DataFrame) -> list[str]:
    """Why values are undefined, each reason once."""
    lacking = rows[rows["value"].isna()]
    counts = lacking[["metric", "reason"]].value_counts(sort=False).reset_index()
    return [
        f"{metric}: undefined {count} times: {reason}"
        for metric, reason, count in counts.itertuples(index=False, name=None)
    ]

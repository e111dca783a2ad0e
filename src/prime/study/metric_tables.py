"""Beyond the paper's metrics: inverse-probability weights, Brier, calibration; and what each fit costs."""

from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd

from prime.downstream.scoring import curve_columns, entry_of, score_cohorts
from prime.evaluation.calibration import calibration_curve, survival_calibration_curve
from prime.evaluation.reported import LEVEL, REPORTED
from prime.evaluation.step_curves import step_survival
from prime.evaluation.summary import MACRO, pooled_rows
from prime.render.figure import Figure, Panel, Series
from prime.render.tables import ABSENT, Table, cell
from prime.settings.evaluation import TaskConfig
from prime.study.averages import MACRO_COLUMNS, POOLED, macro_means
from prime.study.context import Context, Output, Results, Study
from prime.study.method_tables import main_arms, metric_name

SHOWN = (
    "Pretrained LP shared",
    "Pretrained LP",
    "Pretrained FT",
)  # more curves of calibration cannot be read
HORIZON = 1095.0  # days: where the calibration of survival curves is shown
CALIBRATION = [name for name, metric in REPORTED.items() if isinstance(metric.ideal, float)]
_COMPATIBLE = f"In how many cohorts predictions and outcomes are compatible at {100 * LEVEL:g}%, a test each"


def _title(metric: str) -> str:
    """A metric in a table; its name where the registry no longer knows it."""
    return REPORTED[metric].title if metric in REPORTED else metric


def _ideals(metrics: Iterable[str]) -> str:
    """`Low is best: integrated Brier. Ideal is 1: calibration slope.`, of metrics that are not best high."""
    said: dict[str, list[str]] = {}
    for name in metrics:
        ideal = REPORTED[name].ideal if name in REPORTED else "high"
        if ideal != "high":
            text = {"low": "Low is best", "compatible": _COMPATIBLE}.get(str(ideal), f"Ideal is {ideal}")
            said.setdefault(text, []).append(_title(name))
    return "".join(f" {text}: {', '.join(titles)}." for text, titles in said.items())


def _of_cohorts(predictions: pd.DataFrame) -> tuple[list[dict[str, Any]], list[str]]:
    """The metrics with one value in a cohort: rows for the csv file, and why values are undefined."""
    tested = score_cohorts(predictions, ["label"])
    tested = tested[tested["test_on"] == "everyone"]
    rows: list[dict[str, Any]] = []
    for _, part in tested.groupby(["label", "metric"], sort=False):
        named = {name: part[name].iloc[0] for name in ("label", "metric")}
        for row in pooled_rows(part):
            shared = {ours: row.get(theirs) for ours, theirs in MACRO_COLUMNS.items()}
            rows.append({**named, "cohort": row["cohort"], **shared, "compatible": row.get("compatible")})
    return rows, _undefined(tested, "cohorts")


def _undefined(scores: pd.DataFrame, where: str) -> list[str]:
    counts = scores[scores["value"].isna()].groupby(["metric", "reason"], sort=True).size()
    return [f"{_title(str(metric))}: undefined on {n} {where}: {why}" for (metric, why), n in counts.items()]  # pyright: ignore[reportGeneralTypeIssues]


def _cell(row: pd.Series) -> str:
    """A mean, a median, or in how many cohorts outcomes are compatible with the predictions."""
    if pd.isna(row["compatible"]):
        return cell(row["median"] if row["metric"] in CALIBRATION else row["mean"])
    return f"{row['compatible']:.0f} of {row['cohorts']:.0f}"


def _place(metric: str) -> int:
    """Where a metric stands in tables."""
    return list(REPORTED).index(metric) if metric in REPORTED else len(REPORTED)


def _table(scores: pd.DataFrame, predictions: pd.DataFrame, task: TaskConfig) -> Table:
    """Every metric of every method; both frames are of this task, everything observed."""
    mine = scores[scores["test_on"] == "everyone"]
    averages = macro_means(mine, ["label", "metric"]).assign(cohort=MACRO, compatible=None)
    medians = mine.groupby(["label", "metric"])["value"].median().rename("median")
    averages = averages.merge(medians.reset_index(), how="left")
    rows, notes = _of_cohorts(predictions)
    frame = pd.DataFrame([*averages.to_dict("records"), *rows])
    macro = frame[frame["cohort"] == MACRO]
    macro = macro.assign(text=[_cell(row) for _, row in macro.iterrows()])
    metrics = sorted(dict.fromkeys(macro["metric"]), key=_place)
    display = macro.pivot(index="label", columns="metric", values="text")
    display = display.loc[list(dict.fromkeys(mine["label"])), metrics].fillna(ABSENT).rename(columns=_title)
    display.index.name = "Method"
    return Table(
        f"metrics_{task.name}",
        f"Further metrics of {task.name}, everything observed",
        f"Macro averages over cohorts. {metric_name(task)}: {POOLED} Other metrics: mean over the folds of a"
        " cohort; slope and intercept of calibration: median over all folds, as a fold in which everybody has"
        f" nearly the same risk would decide a mean.{_ideals(metrics)} Censoring weights come from training"
        " patients. Folds where a metric is undefined are left out of its mean and counted below.",
        frame,
        display,
        [*_undefined(mine, "folds"), *notes],
    )


def _curve(frame: pd.DataFrame, task: TaskConfig) -> Series:
    """Predicted against observed risk at the horizon, test patients of all cohorts and folds together."""
    label = str(frame["label"].iloc[0])
    if task.horizon_days is not None:
        found = calibration_curve(
            frame["event"].to_numpy(dtype=bool), 1 - frame["survival_1"].to_numpy(np.float64)
        )
    else:
        chance = pd.Series(0.0, index=frame.index)
        for _, part in frame.groupby(["cohort", "fold"]):
            edges, survival = curve_columns(part)
            at = step_survival(edges, survival, np.array([HORIZON]), interpolate=True)
            chance[part.index] = 1 - at[:, 0]
        time, event = frame["time_days"].to_numpy(np.float64), frame["event"].to_numpy(dtype=bool)
        found = survival_calibration_curve(time, event, chance.to_numpy(), HORIZON, entry=entry_of(frame))
    defined = ~np.isnan(found.predicted)
    return Series(
        label, found.predicted[defined], found.observed[defined], found.low[defined], found.high[defined],
        n=found.n[defined],
    )  # fmt: skip


def _panel(predictions: pd.DataFrame, task: TaskConfig) -> Panel:
    """Calibration curves of one task, the first seed's, and the diagonal."""
    chosen = (predictions["seed"] == predictions["seed"].iloc[0]) & predictions["label"].isin(SHOWN)
    series = [_curve(part, task) for _, part in predictions[chosen].groupby("label", sort=False)]
    diagonal = Series("ideal", [0.0, 1.0], [0.0, 1.0], kind="line", colour="#999999")
    days = task.horizon_days or HORIZON
    return Panel(
        task.name, f"predicted risk by {days:g} days", "observed", (*series, diagonal), y_range=(0.0, 1.0)
    )


def build(context: Context, results: Results) -> Output:
    """A table a task and the calibration curves."""
    tables: list[Table] = []
    panels: list[Panel] = []
    for task in context.config.evaluate.tasks:
        scores, predictions = results.scores, results.predictions(task.name, curves=True)
        scores = scores[(scores["task"] == task.name) & (scores["pattern"] == "all")]
        tables.append(_table(scores, predictions, task))
        panels.append(_panel(predictions, task))
    figure = Figure(
        "calibration",
        "Calibration",
        "Held-out test patients of all cohorts, first seed, in tenths of the predicted risk; observed:"
        " Kaplan-Meier for survival, the share of events for binary tasks, with 95% intervals.",
        tuple(panels),
        columns=len(panels),
    )
    return Output(tables, [figure])


METRICS = Study("metrics", "Further metrics and calibration", main_arms, build)


def build_costs(_: Context, results: Results) -> Output:
    """Parameters, time and memory of each way of training (paper: parameter efficiency)."""
    costs = results.costs
    frozen = costs["mode"].str.startswith("lp")
    everything = costs["parameters"].where(frozen, 0) + costs["trainable_parameters"]
    per_fold = costs.assign(seconds=costs["seconds"] / costs["folds"], parameters=everything)
    grouped = per_fold.groupby("label", sort=False)
    table = pd.DataFrame(
        {
            "trainable_parameters": grouped["trainable_parameters"].median(),
            "parameters": grouped["parameters"].median(),
            "seconds_per_fold": grouped["seconds"].median(),
            "peak_bytes": grouped["peak_bytes"].median(),
        }
    )
    display = pd.DataFrame(
        {
            "Trained": [f"{int(value):,}" for value in table["trainable_parameters"]],
            "In all": [f"{int(value):,}" for value in table["parameters"]],
            "Share": [
                f"{100 * t / p:.2f}%" if p else ABSENT  # a method that fell back to a constant has none
                for t, p in zip(table["trainable_parameters"], table["parameters"], strict=True)
            ],
            "Seconds a fold": [f"{value:.2f}" for value in table["seconds_per_fold"]],
            "Peak memory (GiB)": [cell(value / 2**30, digits=2) for value in table["peak_bytes"]],
        },
        index=pd.Index(list(map(str, table.index)), name="Method"),
    )
    return Output(
        [
            Table(
                "parameters",
                "What each way of training costs",
                "Medians over fits. Trained: parameters that the labels move; a linear probe's are those"
                " of its"
                " heads, principal components folded in, all patterns together. Seconds include embedding"
                " where"
                " it was not cached yet. Peak memory is that of the process, which may have done other fits"
                " before.",
                table.reset_index(),
                display,
            )
        ]
    )


COSTS = Study("parameters", "Parameter efficiency", main_arms, build_costs)

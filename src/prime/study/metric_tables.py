"""Beyond the paper's metrics: inverse-probability weights, Brier, calibration; and what each fit costs."""

import numpy as np
import pandas as pd

from prime.downstream.scoring import curve_columns
from prime.evaluation.calibration import calibration_curve, survival_calibration_curve
from prime.evaluation.step_curves import step_survival
from prime.render.figure import Figure, Panel, Series
from prime.render.tables import Table, cell
from prime.settings.evaluation import TaskConfig
from prime.study.averages import macro_means
from prime.study.context import Context, Output, Results, Study
from prime.study.method_tables import main_arms

HORIZON = 1095.0  # days: where the calibration of survival curves is shown
READABLE = {
    "c_index": "Harrell's C", "ipcw_c_index": "Uno's C", "mean_time_dependent_auc": "time-dependent AUC",
    "integrated_brier_score": "integrated Brier", "calibration_slope": "calibration slope",
    "d_calibration_p": "D-calibration p", "auroc": "AUROC", "average_precision": "average precision",
    "calibration_intercept": "calibration intercept",
}  # fmt: skip


def _table(results: Results, task: TaskConfig) -> Table:
    scores = results.scores
    mine = scores[
        (scores["task"] == task.name) & (scores["pattern"] == "all") & (scores["test_on"] == "everyone")
    ]
    macro = macro_means(mine, ["label", "metric"])
    wide = macro.pivot(index="label", columns="metric", values="mean")
    wide = wide.loc[list(dict.fromkeys(mine["label"])), [name for name in READABLE if name in wide]]
    display = wide.map(cell).rename(columns=READABLE)
    display.index.name = "Method"
    undefined = mine[mine["value"].isna()].groupby(["metric", "reason"], sort=True).size()
    notes = [f"{READABLE[str(m)]}: undefined on {n} folds: {why}" for (m, why), n in undefined.items()]  # pyright: ignore[reportGeneralTypeIssues]
    return Table(
        f"metrics_{task.name}",
        f"Further metrics of {task.name}, everything observed",
        "Macro averages over cohorts of fold means. Brier: lower is better; slopes: 1 is ideal, an"
        " intercept: 0;"
        " D-calibration p: small where predicted survival is not calibrated. Censoring weights come from"
        " training patients. Folds where a metric is undefined are left out of its mean and counted below.",
        macro,
        display,
        notes,
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
        found = survival_calibration_curve(time, event, chance.to_numpy(), HORIZON)
    defined = ~np.isnan(found.predicted)
    return Series(
        label, found.predicted[defined], found.observed[defined], found.low[defined], found.high[defined],
        n=found.n[defined],
    )  # fmt: skip


def _calibration(context: Context, results: Results) -> Figure:
    panels: list[Panel] = []
    for task in context.config.evaluate.tasks:
        mine = results.predictions(task.name, curves=True)
        mine = mine[(mine["seed"] == mine["seed"].iloc[0]) & mine["label"].isin(_shown(mine))]
        series = [_curve(part, task) for _, part in mine.groupby("label", sort=False)]
        diagonal = Series("ideal", [0.0, 1.0], [0.0, 1.0], kind="line", colour="#999999")
        days = task.horizon_days or HORIZON
        panels.append(
            Panel(
                task.name, f"predicted risk by {days:g} days", "observed", (*series, diagonal),
                y_range=(0.0, 1.0),
            )
        )  # fmt: skip
    return Figure(
        "calibration",
        "Calibration",
        "Held-out test patients of all cohorts, first seed, in tenths of the predicted risk; observed:"
        " Kaplan-Meier for survival, the share of events for binary tasks, with 95% intervals.",
        tuple(panels),
        columns=len(panels),
    )


def _shown(frame: pd.DataFrame) -> list[str]:
    """LP and FT after pretraining; four overlapping curves cannot be read."""
    wanted = ("Pretrained LP", "Pretrained FT")
    return [label for label in dict.fromkeys(frame["label"]) if label in wanted]


def build(context: Context, results: Results) -> Output:
    """A table a task and the calibration curves."""
    tasks = context.config.evaluate.tasks
    return Output([_table(results, task) for task in tasks], [_calibration(context, results)])


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
                f"{100 * t / p:.2f}%"
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

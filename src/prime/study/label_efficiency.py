"""Fig. 3: how much is left with fewer labels."""

import pandas as pd

from prime.render.figure import Figure, Panel, Series
from prime.render.tables import Table, cell
from prime.settings.evaluation import TaskConfig
from prime.study.arms import Arm
from prime.study.averages import macro_means
from prime.study.context import Context, Output, Results, Study
from prime.study.method_tables import metric_name

SHARES = (1.0, 0.9, 0.7, 0.5, 0.25, 0.1)


def arms(context: Context) -> list[Arm]:
    """Probes at every share; fine-tuning of the first task at every share, but not in the quick preset."""
    shares = {"shares": list(SHARES)}
    probes = context.probe_arm(evaluate={"modes": ["lp"], **shares})
    first = [context.config.evaluate.tasks[0].model_dump(mode="json")]
    scratch = {"inits": ["scratch"], "modes": ["lp"], "tasks": first, **shares}
    result = [probes, context.arm("PRIME scratch", scratch)]
    if not context.quick:
        tuned = {"inits": ["pretrained", "scratch"], "modes": ["ft"], "tasks": first, **shares}
        result.append(context.arm("PRIME fine-tuned", tuned))
    return result


def _common(scores: pd.DataFrame) -> pd.DataFrame:
    """Cohort-folds that could be fitted at every share by a method, so that all shares rest on the same."""
    keys = ["label", "task", "cohort", "fold", "seed"]
    defined = scores[scores["value"].notna()]
    counts = defined.groupby(keys)["share"].nunique()
    wanted = counts[counts == scores["share"].nunique()].reset_index()[keys]
    return defined.merge(wanted, on=keys)


def build(context: Context, results: Results) -> Output:
    """A panel a task: macro average by share of labels, a line a method."""
    scores = results.primary
    scores = scores[scores["pattern"] == "all"]
    panels: list[Panel] = []
    tables: list[Table] = []
    for task in context.config.evaluate.tasks:
        mine = scores[scores["task"] == task.name]
        if mine.empty:
            continue
        macro = macro_means(_common(mine), ["label", "share"])
        panels.append(_panel(task, macro))
        tables.append(_table(task, macro))
    caption = (
        "Macro average over cohorts with everything observed; bands: 95% interval from drawing folds."
        " Training"
        " and validation labels are thinned to the share, nested and stratified by event, the same"
        " patients for"
        " every method; test patients stay. Folds that cannot be fitted at 10% are left out at every share."
    )
    figure = Figure("label_efficiency", "Fig. 3: fewer labels", caption, tuple(panels), columns=len(panels))
    return Output(tables, [figure])


def _panel(task: TaskConfig, macro: pd.DataFrame) -> Panel:
    series: list[Series] = []
    for label, part in macro.groupby("label", sort=False):
        rows = part.sort_values("share")
        percent = 100 * rows["share"].to_numpy()
        low, high = rows["low"].to_numpy(), rows["high"].to_numpy()
        series.append(Series(str(label), percent, rows["mean"].to_numpy(), low, high))
    ticks = [100 * share for share in sorted(SHARES)]
    return Panel(task.name, "labels used for training (%)", metric_name(task), tuple(series), x_ticks=ticks)


def _table(task: TaskConfig, macro: pd.DataFrame) -> Table:
    wide = macro.pivot(index="label", columns="share", values="mean").sort_index(axis=1, ascending=False)
    display = wide.map(cell)
    display.columns = [f"{100 * float(str(share)):g}%" for share in wide.columns]
    display.index.name = "Method"
    folds = int(macro["cohorts"].max())
    return Table(
        f"label_efficiency_{task.name}",
        f"Fig. 3, its numbers: {metric_name(task)} of {task.name} by share of labels",
        f"Macro average over {folds} cohorts, everything observed.",
        macro,
        display,
    )


STUDY = Study("figure3", "Fig. 3: label efficiency", arms, build)

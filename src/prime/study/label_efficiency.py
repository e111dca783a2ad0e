"""Fig. 3: how much is left with fewer labels."""

import pandas as pd

from prime.downstream.fit import SHARED_MODES
from prime.render.figure import PALETTE, Figure, Panel, Series
from prime.render.tables import Table
from prime.settings.evaluation import TaskConfig
from prime.study.arms import Arm
from prime.study.averages import POOLED, macro_means
from prime.study.context import Context, Output, Results, Study
from prime.study.method_tables import MethodCells, fewer_cohorts, is_constant, metric_name, partly_constant

SHARES = (1.0, 0.9, 0.7, 0.5, 0.25, 0.1, 0.05)
COMMON = 0.1  # all shares from here up rest on the same folds; below, on those of them that can be fitted


def arms(context: Context) -> list[Arm]:
    """Probes and other methods at every share; fine-tuning of the first task, save in the quick preset.

    The head that cohorts share stands beside the probes where the experiment asks for it.
    """
    shares = {"shares": list(SHARES)}
    result = [context.probe_arm(evaluate={"inits": ["pretrained", "scratch"], "modes": ["lp"], **shares})]
    if heads := [mode for mode in context.config.evaluate.modes if mode in SHARED_MODES]:
        shared = {"inits": ["pretrained"], "modes": heads, **shares}
        result.append(context.probe_arm("PRIME, shared head", evaluate=shared))
    if not context.quick:
        first = [context.config.evaluate.tasks[0].model_dump(mode="json")]
        tuned = {"inits": ["pretrained", "scratch"], "modes": ["ft"], "tasks": first, **shares}
        result.append(context.arm("PRIME fine-tuned", tuned))
    if methods := context.config.evaluate.methods:
        result.append(context.arm("methods", {"inits": [], "methods": list(methods), **shares}))
    return result


def _common(scores: pd.DataFrame) -> pd.DataFrame:
    """Cohort-folds that a method could fit at every share down to 10 %, so that those rest on the same."""
    keys = ["label", "task", "cohort", "fold", "seed"]
    defined = scores[scores["value"].notna()]
    large = defined[defined["share"] >= COMMON]
    counts = large.groupby(keys)["share"].nunique()
    wanted = counts[counts == scores.loc[scores["share"] >= COMMON, "share"].nunique()].reset_index()[keys]
    return defined.merge(wanted, on=keys)


def build(context: Context, results: Results) -> Output:
    """A panel a task: macro average by share of labels, a line a method."""
    scores = results.primary
    scores = scores[scores["pattern"] == "all"]
    panels: list[Panel] = []
    tables: list[Table] = []
    notes: list[str] = []
    for task in context.config.evaluate.tasks:
        mine = scores[scores["task"] == task.name]
        macro = macro_means(_common(mine), ["label", "share"])
        gone = [str(label) for label in dict.fromkeys(mine["label"]) if label not in set(macro["label"])]
        notes += [
            f"{label}, {task.name}: no fold can be fitted at every share down to 10 %" for label in gone
        ]
        if len(macro):
            panels.append(_panel(task, macro))
            tables.append(_table(task, macro))
    caption = (
        "Macro average over cohorts with everything observed; bands, where there are few lines: 95% interval"
        f" from drawing folds. {POOLED} Training and validation labels are thinned to the share, nested and"
        " stratified by event, the same patients for every method; test patients stay. Folds that cannot be"
        " fitted at 10% are left out at every share; at 5% only those that can be fitted count."
    )
    if not panels:
        return Output(notes=notes)
    figure = Figure("label_efficiency", "Fig. 3: fewer labels", caption, tuple(panels), columns=len(panels))
    return Output(tables, [figure], notes)


def _panel(task: TaskConfig, macro: pd.DataFrame) -> Panel:
    few = macro["label"].nunique() <= len(PALETTE)  # more bands than colours hide the lines
    series: list[Series] = []
    for label, part in macro.groupby("label", sort=False):
        rows = part.sort_values("share")
        percent = 100 * rows["share"].to_numpy()
        ends = {name: rows[name].to_numpy() for name in ("low", "high")} if few else {}
        series.append(Series(str(label), percent, rows["mean"].to_numpy(), **ends))
    ticks = [100 * share for share in sorted(SHARES)]
    return Panel(task.name, "labels used for training (%)", metric_name(task), tuple(series), x_ticks=ticks)


def _table(task: TaskConfig, macro: pd.DataFrame) -> Table:
    macro = macro.assign(labels=[f"{100 * share:g}%" for share in macro["share"]])
    cells = MethodCells()
    for _, row in macro.iterrows():
        cells.put(row["label"], row["labels"], row["mean"], constant=is_constant(row))
    shares = sorted(macro["share"].unique(), reverse=True)
    return Table(
        f"label_efficiency_{task.name}",
        f"Fig. 3, its numbers: {metric_name(task)} of {task.name} by share of labels",
        f"Macro average over {int(macro['cohorts'].max())} cohorts, everything observed. {POOLED}",
        macro.drop(columns="labels"),
        cells.plain([f"{100 * share:g}%" for share in shares]),
        [*fewer_cohorts(macro, "labels"), *partly_constant(macro, "labels")],
    )


STUDY = Study("figure3", "Fig. 3: label efficiency", arms, build)

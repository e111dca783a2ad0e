"""All methods of a comparison in one figure: macro averages with their intervals, a panel a task."""

import pandas as pd

from prime.downstream.fit import PRIME
from prime.render.figure import Figure, Panel, Series
from prime.settings.evaluation import TaskConfig
from prime.study.averages import POOLED, entries, macro_means, one_entry_each
from prime.study.context import Context, Results
from prime.study.method_tables import metric_name, reference_rows

OURS, OTHERS, THEIRS = "PRIME", "other methods", "others' results"


def _task_averages(context: Context, scores: pd.DataFrame, task: TaskConfig) -> pd.DataFrame:
    """Everything observed: index the method, columns mean, low, high and kind."""
    mine = scores[scores["task"] == task.name]
    ours = set(mine.loc[mine["method"] == PRIME, "label"])
    found = macro_means(mine, ["label"]).set_index("label")[["mean", "low", "high"]]
    found["kind"] = [OURS if label in ours else OTHERS for label in found.index]
    theirs = reference_rows(context, task).query("pattern == 'all'").set_index("method")
    theirs = theirs.reindex(columns=["mean", "low", "high"])
    theirs["kind"] = THEIRS
    return pd.concat([found, theirs])


def averages_figure(context: Context, results: Results) -> Figure:
    """Methods down the side, the best on the mean of the tasks first."""
    tasks = context.config.evaluate.tasks
    scores = results.primary[results.primary["pattern"] == "all"]
    scores = one_entry_each(scores, entries(scores))
    averages = {task.name: _task_averages(context, scores, task) for task in tasks}
    means = pd.DataFrame({name: frame["mean"] for name, frame in averages.items()}).mean(axis=1)
    names = tuple(str(name) for name in means.sort_values(ascending=False, kind="stable").index)
    panels: list[Panel] = []
    for task in tasks:
        frame = averages[task.name]
        series: list[Series] = []
        for kind in (OURS, OTHERS, THEIRS):
            rows = frame[frame["kind"] == kind]
            if rows.empty:
                continue
            places = [names.index(str(name)) for name in rows.index]
            y, low, high = (rows[column].to_numpy() for column in ("mean", "low", "high"))
            series.append(Series(kind, places, y, low, high, kind="points"))
        panels.append(
            Panel(task.name, "", metric_name(task), tuple(series), categories=names, horizontal=True)
        )
    return Figure(
        "averages",
        "All methods, everything observed",
        "Mean over cohorts with its 95% interval, from drawing folds with replacement within each cohort; the"
        f" best on the mean of the tasks first. {POOLED} Methods are compared on the same patients, so the"
        " interval of a difference is in the tables and is narrower than these.",
        tuple(panels),
        columns=len(panels),
    )

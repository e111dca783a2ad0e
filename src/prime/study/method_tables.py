"""Tables II and III: methods by cohorts with everything observed. Table IV: methods by what may be seen."""

import pandas as pd

from prime.evaluation.missingness import patterns
from prime.render.tables import ABSENT, Table, cell, mark_best
from prime.settings.evaluation import TaskConfig
from prime.study.arms import Arm
from prime.study.averages import cohort_means, macro_means
from prime.study.context import Context, Output, Results, Study
from prime.study.method_list import EVERYTHING, uses_by_label

METRIC = {False: "C-index", True: "AUROC"}


def main_arms(context: Context) -> list[Arm]:
    """PRIME in every way of training."""
    return context.main_arms()


def metric_name(task: TaskConfig) -> str:
    """What the paper reports for a task."""
    return METRIC[task.horizon_days is not None]


def interval_text(low: float, high: float) -> str:
    """`0.620 to 0.661`, or a dash."""
    return ABSENT if pd.isna(low) else f"{low:.3f} to {high:.3f}"


def reference_rows(context: Context, task: TaskConfig, pattern: str | None = None) -> pd.DataFrame:
    """Others' results for a task: all cohorts of one pattern, or the mean row of all patterns."""
    frame = context.reference
    if frame is None:
        return pd.DataFrame(columns=["method", "cohort", "pattern", "mean"]).astype({"mean": float})
    mine = frame[frame["task"] == task.name]
    return mine[mine["pattern"] == pattern] if pattern else mine[mine["cohort"] == "mean"]


def by_cohort(context: Context, results: Results, task: TaskConfig) -> Table:
    """A row a method, a column a cohort, and the macro average."""
    scores = results.primary
    mine = scores[(scores["task"] == task.name) & (scores["pattern"] == "all")]
    means, macro = cohort_means(mine, ["label"]), macro_means(mine, ["label"])
    cohorts = list(dict.fromkeys(means["cohort"]))
    text: dict[str, dict[str, str]] = {}
    number: dict[str, dict[str, float]] = {}
    for method, part in reference_rows(context, task, "all").groupby("method", sort=False):
        values = part.set_index("cohort")["mean"]
        columns = {**{c: c for c in cohorts}, "Avg": "mean"}
        number[str(method)] = {shown: float(values.get(c, float("nan"))) for shown, c in columns.items()}
        text[str(method)] = {shown: cell(v) for shown, v in number[str(method)].items()}
        text[str(method)]["95% interval"] = ABSENT
    for label in dict.fromkeys(means["label"]):
        rows = means[means["label"] == label].set_index("cohort")
        total = macro[macro["label"] == label].iloc[0]
        number[label] = {c: float(rows["mean"].get(c, float("nan"))) for c in cohorts} | {
            "Avg": total["mean"]
        }
        text[label] = {c: cell(number[label][c], float(rows["std"].get(c, float("nan")))) for c in cohorts}
        text[label]["Avg"] = cell(total["mean"], total["std_cohorts"])
        text[label]["95% interval"] = interval_text(total["low"], total["high"])
    display = pd.DataFrame.from_dict(text, orient="index")
    values = pd.DataFrame.from_dict(number, orient="index").reindex(columns=display.columns)
    display.index.name = "Method"
    display = mark_best(display, values)
    if read := uses_by_label(context):
        others = context.reference["method"].unique() if context.reference is not None else ()
        unknown = {str(name): ABSENT for name in others}
        display.insert(0, "Uses", [{**unknown, **read}.get(str(m), EVERYTHING) for m in display.index])
    seeds = int(macro["seeds"].max())
    return Table(
        f"methods_{task.name}",
        f"{metric_name(task)} of {task.name}, everything observed",
        f"Mean ± standard deviation over the test folds, {seeds} seed{'s' * (seeds > 1)} averaged first."
        f" Avg: mean"
        " of the cohort means ± their standard deviation, as the paper prints it; it says how cohorts differ."
        " The 95% interval of Avg draws folds with replacement within each cohort.",
        means.merge(macro.assign(cohort="macro"), how="outer"),
        display,
    )


def by_pattern(context: Context, results: Results, task: TaskConfig) -> Table:
    """A row a method, a column a pattern: macro averages, and the means of the incomplete patterns."""
    scores = results.primary
    mine = scores[scores["task"] == task.name]
    macro = macro_means(mine, ["label", "pattern"])
    names = list(patterns(list(context.store.modalities)))
    incomplete = [name for name in names if name != "all"]
    text: dict[str, dict[str, str]] = {}
    number: dict[str, dict[str, float]] = {}
    for method, part in reference_rows(context, task).groupby("method", sort=False):
        values = part.set_index("pattern")["mean"]
        number[str(method)] = {name: float(values.get(name, float("nan"))) for name in names}
        text[str(method)] = {name: cell(v) for name, v in number[str(method)].items()}
    for label in dict.fromkeys(macro["label"]):
        rows = macro[macro["label"] == label].set_index("pattern")
        number[label] = {name: float(rows["mean"].get(name, float("nan"))) for name in names}
        spread = rows["std_seeds"]
        text[label] = {n: cell(number[label][n], float(spread.get(n, float("nan")))) for n in names}
    for label, row in number.items():
        row["incomplete"] = sum(row[name] for name in incomplete) / len(incomplete)
        text[label]["incomplete"] = cell(row["incomplete"])
    display = pd.DataFrame.from_dict(text, orient="index")
    display.index.name = "Method"
    values = pd.DataFrame.from_dict(number, orient="index").reindex(columns=display.columns)
    return Table(
        f"patterns_{task.name}",
        f"{metric_name(task)} of {task.name} by what may be seen of a test patient",
        "Macro average over cohorts ± standard deviation over seeds. All: everything that a patient has;"
        " -x: without modality x; x: with it alone; incomplete: mean of all columns but the first. Patients"
        " with nothing left are not scored in that column, so columns rest on different patients.",
        macro,
        mark_best(display, values),
    )


def first_task(context: Context, results: Results) -> Output:
    """Table II."""
    return Output([by_cohort(context, results, context.config.evaluate.tasks[0])])


def other_tasks(context: Context, results: Results) -> Output:
    """Table III."""
    return Output([by_cohort(context, results, task) for task in context.config.evaluate.tasks[1:]])


def all_patterns(context: Context, results: Results) -> Output:
    """Table IV."""
    return Output([by_pattern(context, results, task) for task in context.config.evaluate.tasks])


TABLE2 = Study("table2", "Table II: the first task, by cohort", main_arms, first_task)
TABLE3 = Study("table3", "Table III: the other tasks, by cohort", main_arms, other_tasks)
TABLE4 = Study("table4", "Table IV: missing modalities at test time", main_arms, all_patterns)

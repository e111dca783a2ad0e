"""Tables II and III: methods by cohorts with everything observed. Table IV: methods by what may be seen."""

import math
from dataclasses import dataclass, field

import pandas as pd

from prime.evaluation.missingness import patterns
from prime.evaluation.summary import FEW_PAIRS
from prime.render.tables import ABSENT, Table, cell, mark_best
from prime.settings.evaluation import TaskConfig
from prime.study.arms import Arm
from prime.study.averages import POOLED, cohort_means, entries, macro_means, one_entry_each
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


@dataclass(frozen=True)
class MethodCells:
    """A table of methods while it grows: what is read, the numbers behind, and which rest on constants."""

    text: dict[str, dict[str, str]] = field(default_factory=dict[str, dict[str, str]])
    number: dict[str, dict[str, float]] = field(default_factory=dict[str, dict[str, float]])
    constant: set[tuple[str, str]] = field(default_factory=set[tuple[str, str]])

    def put(
        self, row: str, column: str, value: float, spread: float = math.nan, constant: bool = False
    ) -> None:
        """A number; one that rests on constant predictions alone says so, and is never marked as best."""
        self.text.setdefault(row, {})[column] = cell(value, spread) + (" (constant)" if constant else "")
        self.number.setdefault(row, {})[column] = value
        if constant:
            self.constant.add((row, column))

    def plain(self, columns: list[str]) -> pd.DataFrame:
        """The cells in this order of columns."""
        text = pd.DataFrame.from_dict(self.text, orient="index").reindex(columns=columns).fillna(ABSENT)
        text.index.name = "Method"
        return text

    def marked(self, columns: list[str]) -> pd.DataFrame:
        """The same with the best of each column marked."""
        values = pd.DataFrame.from_dict(self.number, orient="index").reindex(columns=columns)
        for row, column in self.constant:
            values.loc[row, column] = math.nan
        return mark_best(self.plain(columns), values)


def is_constant(row: pd.Series) -> bool:
    """Whether all that a mean rests on are constant predictions."""
    return bool(0 < row["folds"] == row["constant_folds"])


def few_pairs(frame: pd.DataFrame, column: str) -> list[str]:
    """A note for each cohort, pattern or other `column` where a fold has next to no pairs."""
    fewest = frame.groupby(column, sort=False)["fewest_pairs"].min()
    return [
        f"{name}: a fold has {int(count)} comparable pair{'s' * (count > 1)}; alone it says next to nothing"
        for name, count in fewest.items()
        if count < FEW_PAIRS
    ]


def partly_constant(frame: pd.DataFrame, column: str) -> list[str]:
    """A note for each method that predicts a constant in some of the folds of a mean."""
    some = frame[(frame["constant_folds"] > 0) & (frame["constant_folds"] < frame["folds"])]
    return [
        f"{label}: everybody has the same risk in some folds: "
        + ", ".join(f"{r[column]} {r['constant_folds']:.0f} of {r['folds']:.0f}" for _, r in part.iterrows())
        for label, part in some.groupby("label", sort=False)
    ]


def fewer_cohorts(macro: pd.DataFrame, column: str) -> list[str]:
    """A note for each mean that rests on fewer cohorts than others of the table."""
    most = int(macro["cohorts"].max())
    notes: list[str] = []
    for name, part in macro[macro["cohorts"].between(1, most - 1)].groupby(column, sort=False):
        for count, rows in part.groupby("cohorts", sort=False):
            every = len(rows) == (macro[column] == name).sum()
            whose = "" if every else f" ({', '.join(dict.fromkeys(rows['label']))})"
            notes.append(f"{name}{whose}: mean over {count} of {most} cohorts")
    return notes


def by_cohort(context: Context, results: Results, task: TaskConfig) -> Table:
    """A row a method, a column a cohort, and the macro average."""
    scores = results.primary
    mine = scores[(scores["task"] == task.name) & (scores["pattern"] == "all")]
    named = entries(mine)
    mine = one_entry_each(mine, named)
    means, macro = cohort_means(mine, ["label"]), macro_means(mine, ["label"])
    cells = MethodCells()
    for _, row in reference_rows(context, task, "all").iterrows():
        cells.put(row["method"], "Avg" if row["cohort"] == "mean" else row["cohort"], row["mean"])
    for _, row in means.iterrows():
        cells.put(row["label"], row["cohort"], row["mean"], row["std"], is_constant(row))
    for _, row in macro.iterrows():
        cells.put(row["label"], "Avg", row["mean"], row["std_cohorts"], is_constant(row))
        cells.text[row["label"]]["95% interval"] = interval_text(row["low"], row["high"])
    display = cells.marked([*dict.fromkeys(means["cohort"]), "Avg", "95% interval"])
    if read := uses_by_label(context):
        others = context.reference["method"].unique() if context.reference is not None else ()
        shown = {str(name): ABSENT for name in others}
        shown |= {named[label]: text for label, text in read.items() if label in named}
        display.insert(0, "Uses", [shown.get(str(method), EVERYTHING) for method in display.index])
    seeds = int(macro["seeds"].max())
    return Table(
        f"methods_{task.name}",
        f"{metric_name(task)} of {task.name}, everything observed",
        f"{POOLED} ± standard deviation over its test folds, {seeds} seed{'s' * (seeds > 1)} averaged first."
        " Avg: mean of the cohorts' values ± their standard deviation, as the paper prints it; it says how"
        " cohorts differ. The 95% interval of Avg draws folds with replacement within each cohort. Methods"
        " with the same value in every fold are one entry.",
        means.merge(macro.assign(cohort="macro"), how="outer"),
        display,
        [
            *few_pairs(means, "cohort"),
            *partly_constant(means, "cohort"),
            *fewer_cohorts(macro.assign(mean="Avg"), "mean"),
        ],
    )


def by_pattern(context: Context, results: Results, task: TaskConfig) -> Table:
    """A row a method, a column a pattern: macro averages, and the means of the incomplete patterns."""
    scores = results.primary
    macro = macro_means(scores[scores["task"] == task.name], ["label", "pattern"])
    names = list(patterns(list(context.store.modalities)))
    cells = MethodCells()
    for _, row in reference_rows(context, task).iterrows():
        cells.put(row["method"], row["pattern"], row["mean"])
    for _, row in macro.iterrows():
        cells.put(row["label"], row["pattern"], row["mean"], row["std_seeds"], is_constant(row))
    incomplete = [name for name in names if name != "all"]
    for label, row in cells.number.items() if incomplete else ():
        mean = sum(row.get(name, math.nan) for name in incomplete) / len(incomplete)
        blind = all((label, name) in cells.constant for name in incomplete)
        cells.put(label, "incomplete", mean, constant=blind)
    display = cells.marked([*names, "incomplete"] if incomplete else names)
    return Table(
        f"patterns_{task.name}",
        f"{metric_name(task)} of {task.name} by what may be seen of a test patient",
        "Macro average over cohorts ± standard deviation over seeds. All: everything that a patient has;"
        " -x: without modality x; x: with it alone; incomplete: mean of all columns but the first. Patients"
        f" with nothing left are not scored in that column, so columns rest on different patients. {POOLED}",
        macro,
        display,
        [*few_pairs(macro, "pattern"), *partly_constant(macro, "pattern"), *fewer_cohorts(macro, "pattern")],
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

"""Table V: what each part of the method is worth, by taking it away."""

from typing import Any

import pandas as pd

from prime.downstream.differences import paired_difference
from prime.render.figure import Figure, Panel, Reference, Series
from prime.render.tables import ABSENT, Table, cell, mark_best
from prime.settings.evaluation import TaskConfig
from prime.settings.experiment import merge
from prime.settings.pretraining import PretrainConfig
from prime.study.arms import Arm
from prime.study.averages import POOLED, cohort_means, macro_means
from prime.study.context import Context, Output, Results, Study
from prime.study.method_tables import metric_name

FULL = "Full method"
MODE = "lp"
CLASSES = ("all", "leave one out", "only one")
BEFORE_FUSION = (
    "The heads of this experiment read tokens before refinement and fusion (evaluate.probe.readout), so what"
    " happens after them (refiner, backbone, experts) counts only through what it taught the tokenizers."
)

# An ablation is an entry here: its row in the table, and what it changes of the full recipe, as nested
# settings. The first two are the paper's. Each loss in use gives one more of itself (`without_losses`).
Change = dict[str, dict[str, Any]]
ABLATIONS: dict[str, Change] = {
    "Zero tokens for prototypes": {"model": {"imputation": "zero"}},
    "Complete patients only": {"pretrain": {"patients": "complete"}},
    "No mixture of experts": {"model": {"mixture": False}},
    "No refiner": {"model": {"refiner": False}},
    "No Dirichlet noise": {"pretrain": {"dirichlet_noise": False}},
    "Mean imputation": {"model": {"imputation": "mean"}},
    "Learned mask tokens": {"model": {"imputation": "mask"}},
}


def without_losses(settings: PretrainConfig) -> dict[str, Change]:
    """Each loss in use taken away, where another one is left to learn from."""
    return {
        f"No {name} loss": {"pretrain": {"losses": {name: {"weight": 0.0}}}}
        for name in settings.used_losses
        if settings.sufficient_losses != [name]
    }


def variants(context: Context) -> dict[str, Change]:
    """The ablations that change this experiment."""
    own = context.config.model_dump(mode="json")
    every = ABLATIONS | without_losses(context.config.pretrain)
    return {name: change for name, change in every.items() if merge(own, change) != own}


def arms(context: Context) -> list[Arm]:
    """The full method and each ablation, pretrained anew, with the same linear probes."""
    probes = {"modes": [MODE]}
    full = context.probe_arm(FULL, evaluate=probes)
    return [full, *(context.probe_arm(n, evaluate=probes, **c) for n, c in variants(context).items())]


def pattern_class(name: str) -> str:
    """`all`, `leave one out` or `only one`; other subsets keep their name."""
    if name == "all":
        return "all"
    return "leave one out" if name.startswith("-") else name if "+" in name else "only one"


def class_means(scores: pd.DataFrame) -> pd.DataFrame:
    """Macro means by arm and class of patterns, and their mean: the four figures of the paper's Fig. 4."""
    return _by_class(macro_means(scores, ["arm", "task", "pattern"]), ["arm", "task"])


def class_spread(scores: pd.DataFrame) -> pd.DataFrame:
    """Standard deviation (ddof 1) of `class_means` over seeds, in its shape; NaN where there is one seed."""
    keys = ["arm", "task", "seed", "pattern"]
    macro = cohort_means(scores, keys).groupby(keys, sort=False)["mean"].mean().reset_index()
    return _by_class(macro, keys[:3]).groupby(level=["arm", "task"], sort=False).std(ddof=1)


def _by_class(macro: pd.DataFrame, keys: list[str]) -> pd.DataFrame:
    """Columns pattern and mean to a row a key and a column a class, and the mean of the classes."""
    macro = macro.assign(seen=[pattern_class(name) for name in macro["pattern"]])
    means = macro.groupby([*keys, "seen"], sort=False)["mean"].mean().unstack("seen")
    return means[[name for name in CLASSES if name in means]].assign(mean=lambda frame: frame.mean(axis=1))


def differences(results: Results, task: TaskConfig, names: list[str]) -> pd.DataFrame:
    """Each ablation less the full method, everything observed: a paired bootstrap over patients."""
    rows: list[dict[str, Any]] = []
    mine = results.predictions(task.name)
    full = mine[mine["arm"] == FULL]
    for name in names:
        found = paired_difference(mine[mine["arm"] == name], full, task.horizon_days is not None)
        rows.append({"arm": name, "task": task.name, "difference": found.value, "low": found.low,
                     "high": found.high, "p_value": found.p_value})  # fmt: skip
    return pd.DataFrame(rows)


def _difference_text(row: pd.Series) -> str:
    if pd.isna(row["difference"]):
        return ABSENT
    return f"{row['difference']:+.3f} ({row['low']:+.3f} to {row['high']:+.3f})"


def _table(context: Context, results: Results, task: TaskConfig, paired: pd.DataFrame) -> Table:
    scores = results.primary
    means = class_means(scores[scores["task"] == task.name]).xs(task.name, level="task")
    means = pd.DataFrame(means.loc[[FULL, *variants(context)]])
    display = mark_best(pd.DataFrame(means.map(cell)), means)
    shown = {row["arm"]: _difference_text(row) for _, row in paired.iterrows()}
    display["all, less the full method"] = [shown.get(str(name), ABSENT) for name in display.index]
    display.index.name = "Variant"
    return Table(
        f"ablations_{task.name}",
        f"Table V: {metric_name(task)} of {task.name}, linear probe (LP)",
        "Macro averages: everything observed; mean of the patterns without one modality; mean of those with"
        f" one alone; mean of the three. {POOLED} The last column is a paired bootstrap over patients (95%"
        " interval), the same draws for both.",
        means.reset_index().merge(paired, on="arm", how="left"),
        display,
    )


def _figure(paired: pd.DataFrame, tasks: tuple[TaskConfig, ...]) -> Figure:
    names = tuple(dict.fromkeys(paired["arm"]))
    panels: list[Panel] = []
    for task in tasks:
        mine = paired[paired["task"] == task.name].set_index("arm").loc[list(names)]
        series = Series(
            "less the full method", range(len(names)), mine["difference"].to_numpy(),
            mine["low"].to_numpy(), mine["high"].to_numpy(), kind="points",
        )  # fmt: skip
        panels.append(
            Panel(
                task.name, "", f"difference in {metric_name(task)}", (series,),
                categories=names, horizontal=True, references=(Reference(0.0, axis="x"),),
            )
        )  # fmt: skip
    return Figure(
        "ablations",
        "What each part is worth",
        "Ablation less full method, everything observed, linear probe: paired 95% bootstrap intervals over"
        " patients. Left of zero the part helps.",
        tuple(panels),
        columns=len(panels),
    )


def build(context: Context, results: Results) -> Output:
    """A table a task, and the paired differences as a figure."""
    tasks = context.config.evaluate.tasks
    names = list(variants(context))
    paired = {task.name: differences(results, task, names) for task in tasks}
    tables = [_table(context, results, task, paired[task.name]) for task in tasks]
    notes = [] if set(context.config.evaluate.probe.readout.stages) != {"tokens"} else [BEFORE_FUSION]
    return Output(tables, [_figure(pd.concat(paired.values()), tasks)], notes)


STUDY = Study("table5", "Table V: ablations", arms, build)

"""Table V: what each part of the method is worth, by taking it away."""

from dataclasses import dataclass
from typing import Any

import pandas as pd

from prime.downstream.differences import paired_difference
from prime.downstream.fit import SHARED_MODES
from prime.render.figure import Figure, Panel, Reference, Series
from prime.render.tables import ABSENT, Table, cell, mark_best
from prime.settings.evaluation import TaskConfig
from prime.settings.experiment import merge
from prime.settings.pretraining import PretrainConfig
from prime.study.arms import Arm
from prime.study.averages import POOLED, cohort_means, macro_means
from prime.study.context import MODES, Context, Output, Results, Study
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
Change = dict[str, Any]
ABLATIONS: dict[str, Change] = {
    "Zero tokens for prototypes": {"model": {"imputation": "zero"}},
    "Complete patients only": {"pretrain": {"patients": "complete"}},
    "No mixture of experts": {"model": {"mixture": False}},
    "No refiner": {"model": {"refiner": False}},
    "No Dirichlet noise": {"pretrain": {"dirichlet_noise": False}},
    "Mean imputation": {"model": {"imputation": "mean"}},
    "Learned mask tokens": {"model": {"imputation": "mask"}},
    "Inputs scaled over everyone": {"scaling": "everyone"},
    "Inputs scaled within cancer types": {"scaling": "cancer_type"},
}

RETENTION: dict[str, Change] = {
    f"Retention of {' and '.join(of)}": {"pretrain": {"losses": {"retention": {"of": of}}}}
    for of in (["tokens"], ["tokens", "fused"])
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
    if "retention" in context.config.pretrain.used_losses:
        every |= RETENTION
    return {name: change for name, change in every.items() if merge(own, change) != own}


def probed(context: Context) -> list[str]:
    """The linear probe, and the heads that cohorts share where the experiment names them."""
    return [MODE, *(mode for mode in context.config.evaluate.modes if mode in SHARED_MODES)]


def arms(context: Context) -> list[Arm]:
    """The full method and each ablation, pretrained anew, with the same heads."""
    probes = {"modes": probed(context)}
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


def differences(results: Results, task: TaskConfig, names: list[str], full_name: str = FULL) -> pd.DataFrame:
    """Each variant less the full method, everything observed: a paired bootstrap over patients."""
    rows: list[dict[str, Any]] = []
    mine = results.predictions(task.name)
    full = mine[mine["arm"] == full_name]
    for name in names:
        found = paired_difference(mine[mine["arm"] == name], full, task.horizon_days is not None)
        rows.append({"arm": name, "task": task.name, "difference": found.value, "low": found.low,
                     "high": found.high, "p_value": found.p_value})  # fmt: skip
    return pd.DataFrame(rows)


def _difference_text(row: pd.Series) -> str:
    if pd.isna(row["difference"]):
        return ABSENT
    return f"{row['difference']:+.3f} ({row['low']:+.3f} to {row['high']:+.3f})"


@dataclass(frozen=True)
class Texts:
    """What a page says of a set of variants; `how` is the way of training, for titles and captions."""

    name: str
    title: str
    how: str
    figure: str


def variants_table(
    results: Results, task: TaskConfig, paired: pd.DataFrame, full: str, texts: Texts
) -> Table:
    """The full method and its variants: means by what may be seen, and paired differences."""
    scores = results.primary
    means = class_means(scores[scores["task"] == task.name]).xs(task.name, level="task")
    means = pd.DataFrame(means.loc[[full, *paired["arm"]]])
    display = mark_best(pd.DataFrame(means.map(cell)), means)
    shown = {row["arm"]: _difference_text(row) for _, row in paired.iterrows()}
    display["all, less the full method"] = [shown.get(str(name), ABSENT) for name in display.index]
    display.index.name = "Variant"
    return Table(
        f"{texts.name}_{task.name}",
        f"{texts.title}: {metric_name(task)} of {task.name}, {texts.how}",
        "Macro averages: everything observed; mean of the patterns without one modality; mean of those with"
        f" one alone; mean of the three. {POOLED} The last column is a paired bootstrap over patients (95%"
        " interval), the same draws for both.",
        means.reset_index().merge(paired, on="arm", how="left"),
        display,
    )


def variants_figure(paired: pd.DataFrame, tasks: tuple[TaskConfig, ...], texts: Texts) -> Figure:
    """The paired differences, a panel a task."""
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
        texts.name,
        texts.figure,
        f"Variant less full method, everything observed, {texts.how}: paired 95% bootstrap intervals over"
        " patients. Left of zero the part helps.",
        tuple(panels),
        columns=len(panels),
    )


def compare_variants(
    results: Results,
    tasks: tuple[TaskConfig, ...],
    names: list[str],
    full: str,
    texts: Texts,
    notes: list[str],
) -> Output:
    """A table a task, and the paired differences as a figure."""
    paired = {task.name: differences(results, task, names, full) for task in tasks}
    tables = [variants_table(results, task, paired[task.name], full, texts) for task in tasks]
    return Output(tables, [variants_figure(pd.concat(paired.values()), tasks, texts)], notes)


def texts_of(mode: str) -> Texts:
    """What the tables and the figure of a mode are called."""
    if mode == MODE:
        return Texts("ablations", "Table V", "linear probe (LP)", "What each part is worth")
    name = MODES[mode]
    return Texts(f"ablations_{mode}", "Table V", name, f"What each part is worth to {name}")


def build(context: Context, results: Results) -> Output:
    """The full method beside each ablation, with each head."""
    notes = [] if set(context.config.evaluate.probe.readout.stages) != {"tokens"} else [BEFORE_FUSION]
    tasks, names = context.config.evaluate.tasks, list(variants(context))
    made = [
        compare_variants(results.of_mode(mode), tasks, names, FULL, texts_of(mode), [])
        for mode in probed(context)
    ]
    tables = [table for output in made for table in output.tables]
    return Output(tables, [figure for output in made for figure in output.figures], notes)


STUDY = Study("table5", "Table V: ablations", arms, build)

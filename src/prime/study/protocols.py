"""What the protocol is worth: whom pretraining saw, whom heads are trained on, how folds are drawn."""

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from prime.downstream.differences import paired_difference
from prime.evaluation.reported import PRIMARY
from prime.render.tables import ABSENT, Table, cell
from prime.settings.evaluation import TaskConfig
from prime.splits.evaluation_folds import evaluation_folds
from prime.splits.outcomes import read_outcome
from prime.study.arms import Arm, Protocol
from prime.study.averages import POOLED, cohort_means, macro_means
from prime.study.context import Context, Output, Results, Study
from prime.study.method_tables import fewer_cohorts, interval_text, metric_name

PROBE = {"modes": ["lp"]}
SEEN: dict[Protocol, str] = {
    "transductive": "everyone, test patients too (no labels)",
    "inductive": "everyone but the fold's test patients",
    "leave_cohort_out": "everyone but the tested cohort",
}


def pretraining_arms(context: Context) -> list[Arm]:
    """The same probes after pretraining that saw everyone, not the test fold, not the cohort.

    The quick preset does the first fold alone. Where there is one cohort, none of the others could pretrain.
    """
    folds: dict[str, Any] = {"only_folds": [_first_fold(context)]} if context.quick else {}
    config = context.probe_arm(evaluate=PROBE | folds).config
    alone = context.store.patients["cohort"].nunique() == 1
    return [
        Arm(name, context.store, config, name) for name in SEEN if not (alone and name == "leave_cohort_out")
    ]


def _first_fold(context: Context) -> int:
    """The lowest number of a fold: 0 where folds are drawn, and what a folds file says."""
    settings = context.config.evaluate
    outcome = read_outcome(context.store, settings.tasks[0])
    return min(fold.fold for fold in evaluation_folds(context.store, outcome, settings, context.seeds[0]))


def _gap(results: Results, task: TaskConfig, arm: str, base: str) -> str:
    mine = results.predictions(task.name)
    found = paired_difference(
        mine[mine["arm"] == arm], mine[mine["arm"] == base], task.horizon_days is not None
    )
    return ABSENT if pd.isna(found.value) else f"{found.value:+.3f} ({found.low:+.3f} to {found.high:+.3f})"


def build_pretraining(context: Context, results: Results) -> Output:
    """A table a task: the gap to the transductive protocol."""
    tables: list[Table] = []
    for task in context.config.evaluate.tasks:
        scores = results.primary
        mine = scores[(scores["task"] == task.name) & (scores["pattern"] == "all")]
        macro = macro_means(mine, ["arm"]).set_index("arm")
        cohorts = cohort_means(mine, ["arm"])
        wide = cohorts.pivot(index="arm", columns="cohort", values="mean")
        arms: list[Protocol] = [name for name in SEEN if name in wide.index]
        wide = wide.loc[arms, list(dict.fromkeys(cohorts["cohort"]))]
        display = wide.map(cell)
        display["Avg"] = [cell(float(macro.loc[arm, "mean"])) for arm in arms]  # pyright: ignore[reportArgumentType]
        display["Avg less transductive"] = [
            ABSENT if arm == "transductive" else _gap(results, task, arm, "transductive") for arm in arms
        ]
        display.index = pd.Index([SEEN[arm] for arm in arms], name="Pretraining saw")
        folds = "the first test fold alone" if context.quick else "all folds"
        tables.append(
            Table(
                f"pretraining_saw_{task.name}",
                f"{metric_name(task)} of {task.name} by whom pretraining saw",
                f"Linear probe, everything observed, {folds}. {POOLED} The last column is a paired bootstrap"
                " over patients (95% interval): below zero, the transductive protocol gains from having seen"
                " the test patients' features.",
                cohorts,
                display,
            )
        )
    return Output(tables)


PRETRAINING = Study("protocols", "Whom pretraining saw", pretraining_arms, build_pretraining)


def training_arms(context: Context) -> list[Arm]:
    """Heads trained on everyone or on complete patients; probes of both kinds."""
    return [context.probe_arm(evaluate={"train_on": ["everyone", "complete"]})]


def build_training(context: Context, results: Results) -> Output:
    """A table a task: trained on and tested on everyone or complete patients."""
    tables: list[Table] = []
    scores = results.scores
    scores = scores[scores["metric"].isin(PRIMARY)]

    def count(frame: pd.DataFrame) -> int:
        return frame.groupby(["cohort", "fold"]).ngroups

    for task in context.config.evaluate.tasks:
        mine = scores[(scores["task"] == task.name) & _wanted_patterns(scores)]
        keys = ["label", "train_on", "test_on", "pattern"]
        both = _in_both(mine)
        macro = macro_means(both, keys)
        wide = macro.pivot(index=keys[:3], columns="pattern", values="mean")
        wide = wide[list(dict.fromkeys(mine["pattern"]))]
        display = wide.map(cell)
        display.index.names = ["Method", "Trained on", "Tested on"]
        cohorts = sorted(set(both["cohort"]))
        tables.append(
            Table(
                f"trained_on_{task.name}",
                f"{metric_name(task)} of {task.name} by whom heads are trained and tested on",
                f"Macro average. {POOLED} Everyone: patients with whatever they have; complete: those with"
                " every modality."
                f" Only folds that could be fitted both ways count: {count(both)} of {count(mine)}"
                f" ({', '.join(cohorts) or 'none'}).",
                macro,
                display,
                fewer_cohorts(macro, "pattern"),
            )
        )
    return Output(tables)


def _wanted_patterns(scores: pd.DataFrame) -> pd.Series:
    return ~scores["pattern"].str.contains("+", regex=False)


def _in_both(scores: pd.DataFrame) -> pd.DataFrame:
    """Rows of the folds that were trained both ways and could be tested both ways with all observed."""
    keys = ["cohort", "fold", "seed"]
    defined = scores[scores["value"].notna() & (scores["pattern"] == "all")]
    ways = defined[[*keys, "label", "train_on", "test_on"]].drop_duplicates().groupby(keys).size()
    wanted = ways[ways == ways.max()].index.to_frame(index=False)
    return scores.merge(wanted, on=keys)


TRAINING = Study("training", "Whom heads are trained on", training_arms, build_training)


SPLITS = {"patients": "Patients at random", "sites": "Whole tissue source sites"}


def split_arms(context: Context) -> list[Arm]:
    """All methods on the folds given (or drawn by outcome), and on folds drawn by whole source sites."""
    own = context.config
    apart = own.evaluate.model_copy(update={"folds": None, "splits": "sites"})
    by_site = replace(context, config=own.model_copy(update={"evaluate": apart}))
    arms = {"patients": context.main_arms(), "sites": by_site.main_arms()}
    return [replace(arm, name=f"{name}: {arm.name}") for name, found in arms.items() for arm in found]


def build_splits(context: Context, results: Results) -> Output:
    """A table a task: random folds beside site-preserved folds."""
    tables: list[Table] = []
    scores = results.primary.assign(splits=results.primary["arm"].str.partition(":")[0])
    for task in context.config.evaluate.tasks:
        mine = scores[(scores["task"] == task.name) & (scores["pattern"] == "all")]
        cohorts = cohort_means(mine, ["label", "splits"])
        macro = macro_means(mine, ["label", "splits"]).set_index(["label", "splits"])
        wide = cohorts.pivot(index=["label", "splits"], columns="cohort", values="mean")
        wide = wide.reindex(columns=list(dict.fromkeys(cohorts["cohort"])))
        rows = [
            row
            for label in dict.fromkeys(mine["label"])
            for name in SPLITS
            if (row := (label, name)) in wide.index
        ]
        display = wide.loc[rows].map(cell)
        means = macro.loc[rows][["mean", "low", "high"]].to_numpy(dtype=np.float64).tolist()
        display["Avg"] = [cell(mean) for mean, _, _ in means]
        display["95%"] = [interval_text(low, high) for _, low, high in means]
        names = [(label, SPLITS[splits]) for label, splits in rows]
        display.index = pd.MultiIndex.from_tuples(names, names=["Method", "Folds hold apart"])
        tables.append(
            Table(
                f"splits_{task.name}",
                f"{metric_name(task)} of {task.name}: random and site-preserved folds",
                f"Everything observed. {POOLED} Site-preserved: no tissue source site has patients in both"
                " training and test, so what a site's laboratory left in the features cannot help (Howard et"
                " al., 2021). Pretraining and all else see nobody of a tested site.",
                cohorts,
                display,
            )
        )
    return Output(tables)


SITES = Study("sites", "Site-preserved folds", split_arms, build_splits)

"""Is one method better than another: paired tests and mean ranks."""

from collections.abc import Iterable
from itertools import combinations
from typing import Any

import pandas as pd

from prime.downstream.fit import PRIME
from prime.evaluation.fold_tests import corrected_paired_test, wilcoxon_folds
from prime.evaluation.ranking import CriticalDifference, critical_difference
from prime.render.figure import Figure, RankPanel
from prime.render.tables import ABSENT, Table, cell, mark_best
from prime.settings.evaluation import TaskConfig
from prime.study.averages import fold_means, paired_difference
from prime.study.averages_figure import averages_figure
from prime.study.context import Context, Output, Results, Study
from prime.study.method_tables import main_arms, metric_name
from prime.study.stratification_figure import p_text

MAIN = ("Pretrained LP", "Pretrained FT")  # what stands against every other method
BESIDE = "Pretrained LP, "  # and the probes of other experiments put beside


def _pairs(
    results: Results, task: TaskConfig, test_share: float, pairs: Iterable[tuple[str, str]]
) -> pd.DataFrame:
    """Two methods each: paired bootstrap over patients, corrected t and Wilcoxon over cohort-folds."""
    scores = results.primary
    scores = scores[(scores["task"] == task.name) & (scores["pattern"] == "all")]
    folds = fold_means(scores, ["label"]).pivot(index=["cohort", "fold"], columns="label", values="value")
    by_label = dict(tuple(results.predictions(task.name).groupby("label")))
    rows: list[dict[str, Any]] = []
    for a, b in pairs:
        boot = paired_difference(by_label[a], by_label[b], task.horizon_days is not None)
        corrected = corrected_paired_test((folds[a] - folds[b]).to_numpy(), test_share)
        ranked = wilcoxon_folds(folds[a].to_numpy(), folds[b].to_numpy())
        rows.append(
            {"a": a, "b": b, "difference": boot.value, "low": boot.low, "high": boot.high,
             "bootstrap_p": boot.p_value, "corrected_t_p": corrected.p_value, "wilcoxon_p": ranked.p_value,
             "folds": corrected.n}
        )  # fmt: skip
    return pd.DataFrame(rows)


def _strongest_first(pairs: pd.DataFrame) -> pd.DataFrame:
    """For each of ours, in order, the method that it stands worst against first; undefined ones last."""
    order = pairs["a"].map({name: place for place, name in enumerate(dict.fromkeys(pairs["a"]))})
    sorted_pairs = pairs.assign(order=order).sort_values(["order", "difference"], kind="stable")
    return sorted_pairs.drop(columns="order").reset_index(drop=True)


def _table(task: TaskConfig, name: str, title: str, pairs: pd.DataFrame) -> Table:
    shown: dict[tuple[str, str], dict[str, str]] = {}
    for _, row in pairs.iterrows():
        undefined = pd.isna(row["difference"])
        shown[str(row["a"]), str(row["b"])] = {
            "a less b": ABSENT if undefined else f"{row['difference']:+.3f}",
            "95% interval": ABSENT if undefined else f"{row['low']:+.3f} to {row['high']:+.3f}",
            **{
                title: p_text(row[name]).removeprefix("p = ").removeprefix("p ")
                for title, name in (
                    ("bootstrap p", "bootstrap_p"),
                    ("corrected t p", "corrected_t_p"),
                    ("Wilcoxon p", "wilcoxon_p"),
                )
            },
        }  # fmt: skip
    display = pd.DataFrame.from_dict(shown, orient="index")
    display.index.names = ["a", "b"]
    return Table(
        f"{name}_{task.name}",
        f"{title}: {metric_name(task)} of {task.name}, everything observed",
        "Difference of the macro averages on the same patients. Bootstrap: patients drawn within each fold of"
        " each cohort, the same draws for both methods. Corrected t: over cohort-folds, with the variance"
        " correction for shared training patients (Nadeau and Bengio, 2003). Not corrected for the number of"
        " pairs.",
        pairs,
        display,
    )


def _ranking(results: Results, task: TaskConfig) -> CriticalDifference | None:
    """Mean ranks over cohort-folds, everything observed; None where there is one method."""
    scores = results.primary
    scores = scores[(scores["task"] == task.name) & (scores["pattern"] == "all")]
    folds = fold_means(scores, ["label"]).pivot(index=["cohort", "fold"], columns="label", values="value")
    if folds.shape[1] < 2:
        return None
    return critical_difference(folds[list(dict.fromkeys(scores["label"]))])


def _rank_panel(task: str, found: CriticalDifference) -> RankPanel:
    distance = None if pd.isna(found.distance) else found.distance
    note = f"{found.n} cohort-folds, Friedman {p_text(found.friedman_p)}"
    return RankPanel(task, found.ranks, tuple(found.groups), distance, notes=(note,))


def _rank_table(rankings: dict[str, CriticalDifference]) -> Table:
    """A row a method, a column a task, the best method first."""
    ranks = pd.DataFrame({task: found.ranks for task, found in rankings.items()})
    ranks = ranks.assign(mean=ranks.mean(axis=1)).sort_values("mean", kind="stable")
    ranks.index.name = "Method"
    display = mark_best(ranks.map(cell, digits=2), ranks, higher=False, digits=2)
    distances = ", ".join(f"{task} {cell(found.distance, digits=2)}" for task, found in rankings.items())
    return Table(
        "mean_ranks",
        "Mean ranks, everything observed",
        f"Mean rank over cohort-folds (1 is best of {len(ranks)}) and its mean over tasks. Methods whose"
        f" ranks lie closer than the critical difference are not told apart at 5% (Nemenyi): {distances}.",
        ranks.reset_index(),
        display,
    )


def build(context: Context, results: Results) -> Output:
    """Tables a task, and the ranks of all tasks in one figure."""
    tasks = context.config.evaluate.tasks
    labels = results.primary[["method", "label"]].drop_duplicates()
    ours = list(labels.loc[labels["method"] == PRIME, "label"])
    others = list(labels.loc[labels["method"] != PRIME, "label"])
    main = [mine for mine in ours if mine in MAIN or mine.startswith(BESIDE)]
    against = [(mine, other) for mine in main for other in others]
    share = 1 / context.config.evaluate.fold_count
    test_share = share / (1 - (1 - share) / 8)  # an eighth of the rest validates, on neither side
    tables: list[Table] = []
    for task in tasks:
        ways = _pairs(results, task, test_share, combinations(ours, 2))
        tables.append(_table(task, "comparison", "Ways of training PRIME", ways))
        if against:
            rivals = _strongest_first(_pairs(results, task, test_share, against))
            tables.append(_table(task, "rivals", "PRIME against the other methods", rivals))
    rankings = {task.name: found for task in tasks if (found := _ranking(results, task))}
    caption = (
        "Mean ranks over cohort-folds, everything observed (1 is best). A bar joins methods that the Nemenyi"
        " test cannot tell apart at 5% (Demsar, 2006). Folds of one cohort share training patients, so the"
        " test is somewhat too sure of itself."
    )
    if not rankings:
        return Output(tables)
    panels = tuple(_rank_panel(task, found) for task, found in rankings.items())
    ranks = Figure("ranks", "Mean ranks", caption, panels)
    return Output([*tables, _rank_table(rankings)], [averages_figure(context, results), ranks])


STUDY = Study("comparison", "Paired comparison of methods", main_arms, build)

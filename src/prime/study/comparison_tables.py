"""Is one method better than another: paired tests and mean ranks."""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import combinations, product

import pandas as pd

from prime.downstream.differences import compare
from prime.downstream.fit import FROM_HEAD, PRIME, SHARED_MODES
from prime.evaluation.averages import fold_means
from prime.evaluation.ranking import CriticalDifference, critical_difference
from prime.render.figure import Figure, RankPanel
from prime.render.tables import ABSENT, Table, cell, mark_best
from prime.settings.evaluation import TaskConfig
from prime.splits.folds import Fold
from prime.study.averages import POOLED, entries, one_entry_each
from prime.study.averages_figure import averages_figure
from prime.study.context import MODES, Context, Output, Results, Study
from prime.study.method_tables import main_arms, metric_name
from prime.study.stratification_figure import p_text

MAIN = [
    f"Pretrained {MODES[mode]}" for mode in (*SHARED_MODES, FROM_HEAD, "lp", "ft")
]  # against every other method
BESIDE = "Pretrained LP, "  # and the probes of other experiments put beside


@dataclass(frozen=True)
class _Compared:
    """What is compared in one task, everything observed; each entry of the tables is a label."""

    task: TaskConfig
    predictions: pd.DataFrame
    scores: pd.DataFrame
    folds: list[Fold]

    def pairs(self, pairs: Iterable[tuple[str, str]]) -> pd.DataFrame:
        """Two methods each: paired bootstrap over patients, corrected t and Wilcoxon over cohort-folds."""
        binary = self.task.horizon_days is not None
        return compare(self.predictions, self.scores, pairs, self.folds, binary)

    def ranking(self) -> CriticalDifference | None:
        """Mean ranks over cohort-folds; None where there is one method."""
        folds = fold_means(self.scores, ["label"])
        values = folds.pivot(index=["cohort", "fold"], columns="label", values="value")
        if values.shape[1] < 2:
            return None
        return critical_difference(values[list(dict.fromkeys(self.scores["label"]))])


def _compared(results: Results, task: TaskConfig, named: dict[str, str]) -> _Compared:
    """The results of a task; `named` as of `averages.entries`."""
    scores = results.primary
    scores = scores[(scores["task"] == task.name) & (scores["pattern"] == "all")]
    predictions, scores = (one_entry_each(f, named) for f in (results.predictions(task.name), scores))
    fits = [fit for evaluation in results.evaluations for fit in evaluation.fits]
    folds = [fold for fit in fits if fit.task.name == task.name for fold in fit.folds]
    return _Compared(task, predictions, scores, folds)


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
        f"Difference of the macro averages on the same patients. {POOLED} Bootstrap: patients drawn within"
        " each fold of each cohort, the same draws for both methods. Corrected t and Wilcoxon: over"
        " cohort-folds, each counting once, the former with the variance correction for shared training"
        " patients (Nadeau and Bengio, 2003). Not corrected for the number of pairs. Methods with the same"
        " value in every fold are one entry.",
        pairs,
        display,
    )


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
        f"Mean rank over cohort-folds (1 is best of {len(ranks)}) and its mean over tasks. Methods with the"
        " same value in every fold are one entry. Methods whose"
        f" ranks lie closer than the critical difference are not told apart at 5% (Nemenyi): {distances}.",
        ranks.reset_index(),
        display,
    )


def build(context: Context, results: Results) -> Output:
    """Tables a task, and the ranks of all tasks in one figure."""
    primary = results.primary
    named = entries(primary[primary["pattern"] == "all"])
    labels = primary[["method", "label"]].drop_duplicates()
    ours = labels.loc[labels["method"] == PRIME, "label"]
    main = _names([mine for mine in ours if mine in MAIN or mine.startswith(BESIDE)] or ours, named)
    ways = _names(ours, named)
    others = [name for name in _names(labels["label"], named) if name not in ways]
    tables: list[Table] = []
    rankings: dict[str, CriticalDifference] = {}
    for task in context.config.evaluate.tasks:
        compared = _compared(results, task, named)
        if len(ways) > 1:
            found = compared.pairs(combinations(ways, 2))
            tables.append(_table(task, "comparison", "Ways of training PRIME", found))
        if main and others:
            rivals = _strongest_first(compared.pairs(product(main, others)))
            tables.append(_table(task, "rivals", "PRIME against the other methods", rivals))
        if ranking := compared.ranking():
            rankings[task.name] = ranking
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


def _names(labels: Iterable[str], named: dict[str, str]) -> list[str]:
    """The entries of some labels, each once."""
    return list(dict.fromkeys(named[label] for label in labels))


STUDY = Study("comparison", "Paired comparison of methods", main_arms, build)

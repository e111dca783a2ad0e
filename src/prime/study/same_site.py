"""What is left when only patients of one hospital are compared: what tells of the site cannot help there."""

import math

import numpy as np
import pandas as pd

from prime.downstream.scoring import entry_of
from prime.evaluation.metrics import Score, concordance_within
from prime.render.tables import Table, cell
from prime.settings.evaluation import TaskConfig
from prime.store.store import Store
from prime.study.arms import Arm
from prime.study.context import Context, Output, Results, Study
from prime.study.method_tables import metric_name

PAIRS = {"all": "All pairs", "site": "Pairs of one site"}


def arms(context: Context) -> list[Arm]:
    """PRIME in every way of training, and other methods."""
    return context.main_arms()


def concordance_of(predictions: pd.DataFrame, groups: list[str], binary: bool) -> Score:
    """Concordance of predictions over pairs that agree in these columns.

    Of a binary task, a pair is a patient with the event and one without it: the area under the ROC curve.
    """
    event = predictions["event"].to_numpy(dtype=bool)
    time = np.where(event, 1.0, 2.0) if binary else predictions["time_days"].to_numpy(dtype=np.float64)
    strata = predictions.groupby(groups, sort=False).ngroup().to_numpy()
    risk, entry = predictions["risk"].to_numpy(dtype=np.float64), None if binary else entry_of(predictions)
    return concordance_within(time, event, risk, strata, entry=entry)


def site_of(store: Store) -> dict[str, str]:
    """The tissue source site of each patient, empty where it is not known."""
    frame = store.patients
    sites = frame["site"].fillna("").astype(str) if "site" in frame else pd.Series("", index=frame.index)
    return dict(zip(frame["patient_id"].astype(str), sites, strict=True))


def scores_of(predictions: pd.DataFrame, sites: dict[str, str], binary: bool) -> pd.DataFrame:
    """By label, cohort and kind of pairs: the concordance within folds of one seed, meaned over seeds.

    Columns label, cohort, pairs, value, n_pairs (of all seeds together). Patients without a site are in no
    pair of one site.
    """
    located = predictions.assign(site=predictions["patient_id"].map(sites))
    rows: list[dict[str, object]] = []
    for (label, cohort), mine in located.groupby(["label", "cohort"], sort=False):
        for kind, columns in (("all", ["fold"]), ("site", ["fold", "site"])):
            known = mine if kind == "all" else mine[mine["site"] != ""]
            found = [concordance_of(part, columns, binary) for _, part in known.groupby("seed")]
            values = [score.value for score in found if not math.isnan(score.value)]
            rows.append(
                {"label": label, "cohort": cohort, "pairs": kind,
                 "value": float(np.mean(values)) if values else math.nan,
                 "n_pairs": sum(score.pairs or 0 for score in found)}
            )  # fmt: skip
    return pd.DataFrame(rows, columns=["label", "cohort", "pairs", "value", "n_pairs"])


def _table(context: Context, results: Results, task: TaskConfig) -> Table:
    binary = task.horizon_days is not None
    scores = scores_of(results.predictions(task.name), site_of(context.store), binary)
    wide = scores.pivot(index=["label", "pairs"], columns="cohort", values="value")
    labels, cohorts = (list(dict.fromkeys(scores[name])) for name in ("label", "cohort"))
    wide = wide.loc[[(label, kind) for label in labels for kind in PAIRS], cohorts]
    display = wide.map(cell)
    display["Avg"] = [cell(float(row.mean())) for _, row in wide.iterrows()]
    names = [(label, PAIRS[kind]) for label, kind in wide.index]
    display.index = pd.MultiIndex.from_tuples(names, names=["Method", "Compared"])
    counts = scores.groupby(["cohort", "pairs"], sort=False)["n_pairs"].max().unstack()
    share = (counts["site"] / counts["all"]).mean() if len(counts) else math.nan
    return Table(
        f"same_site_{task.name}",
        f"{metric_name(task)} of {task.name}, all pairs of patients and pairs of one site",
        "Everything observed; pairs within a fold, a mean over seeds, and over cohorts (Avg). Two patients of"
        " one tissue source site share its laboratory: what features tell of the site cannot order them."
        f" {share:.0%} of all comparable pairs are of one site, in the mean over cohorts.",
        scores,
        display,
    )


def build(context: Context, results: Results) -> Output:
    """A table a task."""
    if not any(site_of(context.store).values()):
        return Output(notes=["no patient has a site; the clinical table names its column under `site`"])
    return Output([_table(context, results, task) for task in context.config.evaluate.tasks])


STUDY = Study("same_site", "Pairs of one site", arms, build)

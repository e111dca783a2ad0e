"""Table I: what the cohort holds."""

import pandas as pd

from prime.render.tables import Table
from prime.splits.counts import cohort_counts, horizon_counts
from prime.study.arms import Arm
from prime.study.context import Context, Output, Results, Study


def no_arms(_: Context) -> list[Arm]:
    """Counting needs no model."""
    return []


def _read(frame: pd.DataFrame, names: dict[str, str]) -> pd.DataFrame:
    """The counts as text under readable headers, a row a cohort."""
    shown = frame.set_index("cohort")[list(names)].rename(columns=names)
    shown.index.name = "Cohort"
    return shown.map("{:,.0f}".format)


def build(context: Context, _: Results) -> Output:
    """Patients by modality, and labels by task, of every cohort."""
    store = context.store
    counts = cohort_counts(store)
    names = {"patients": "Patients", "any": "Any modality", "complete": "Complete", "partial": "Partial"}
    names |= {f"has_{name}": name for name in store.modalities} | {"excluded": "Excluded"}
    for endpoint in store.endpoints:
        names |= {f"{endpoint}_patients": f"{endpoint} known", f"{endpoint}_events": f"{endpoint} events"}
    tables = [
        Table(
            "cohorts",
            "Table I: the cohort",
            "Patients of each cohort with each modality, with all (complete) or some (partial), those whom"
            " the"
            " clinical table excludes from evaluation, and those with each endpoint.",
            counts,
            _read(counts, names),
        )
    ]
    chosen = context.config.evaluate.cohorts
    for task in context.config.evaluate.tasks:
        if task.horizon_days is None:
            continue
        labels = horizon_counts(store, task.endpoint, task.horizon_days)
        mine = labels if chosen is None else labels[labels["cohort"].isin(chosen)]
        columns = {"patients": "Evaluable", "positive": "Positive", "negative": "Negative"}
        tables.append(
            Table(
                f"labels_{task.name}",
                f"Table I, continued: labels of {task.name}",
                f"Positive: the event of {task.endpoint} within {task.horizon_days:g} days; negative:"
                f" followed"
                " for longer; who was censored earlier has no label and serves neither training nor test.",
                labels,
                _read(mine, columns | {"censored_early": "Censored earlier"}),
            )
        )
    return Output(tables)


STUDY = Study("table1", "Table I: the cohort", no_arms, build)

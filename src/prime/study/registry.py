"""Every study by the name that the command line knows, in the order of reports: the paper's, then ours."""

from prime.errors import InputError
from prime.study import (
    ablations,
    cohort_table,
    comparison_tables,
    intervals,
    label_efficiency,
    method_list,
    method_tables,
    metric_tables,
    next_test,
    protocols,
    same_site,
    shared_head,
    stratification_figure,
    sweeps,
)
from prime.study.context import Study

STUDIES: dict[str, Study] = {
    study.name: study
    for study in (
        cohort_table.STUDY,
        method_tables.TABLE2,
        method_tables.TABLE3,
        method_tables.TABLE4,
        ablations.STUDY,
        shared_head.STUDY,
        stratification_figure.STUDY,
        label_efficiency.STUDY,
        sweeps.STUDY,
        metric_tables.COSTS,
        method_list.STUDY,
        comparison_tables.STUDY,
        metric_tables.METRICS,
        protocols.TRAINING,
        protocols.PRETRAINING,
        protocols.SITES,
        same_site.STUDY,
        intervals.STUDY,
        next_test.STUDY,
        sweeps.SETTINGS,
    )
}


def choose(name: str) -> list[Study]:
    """The studies of a name; `all` is everything but the sweep of named settings.

    Raises InputError for an unknown name.
    """
    if name == "all":
        return [study for study in STUDIES.values() if study is not sweeps.SETTINGS]
    if name not in STUDIES:
        raise InputError(f"no study {name!r}; there are {', '.join(STUDIES)}, and all")
    return [STUDIES[name]]

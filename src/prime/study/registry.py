"""Every study by the name that the command line knows."""

from prime.errors import InputError
from prime.study import (
    ablations,
    cohort_table,
    comparison_tables,
    label_efficiency,
    method_list,
    method_tables,
    metric_tables,
    protocols,
    stratification_figure,
    sweeps,
)
from prime.study.context import Study

PAPER: tuple[Study, ...] = (
    cohort_table.STUDY,
    method_tables.TABLE2,
    method_tables.TABLE3,
    method_tables.TABLE4,
    ablations.STUDY,
    stratification_figure.STUDY,
    label_efficiency.STUDY,
    sweeps.STUDY,
    metric_tables.COSTS,
)
BEYOND: tuple[Study, ...] = (
    method_list.STUDY,
    comparison_tables.STUDY,
    metric_tables.METRICS,
    protocols.TRAINING,
    protocols.PRETRAINING,
    protocols.SITES,
)
STUDIES: dict[str, Study] = {study.name: study for study in (*PAPER, *BEYOND, sweeps.SETTINGS)}


def choose(name: str) -> list[Study]:
    """The studies of a name; `all` is everything but the sweep of named settings.

    Raises InputError for an unknown name.
    """
    if name == "all":
        return [*PAPER, *BEYOND]
    if name not in STUDIES:
        raise InputError(f"no study {name!r}; there are {', '.join(STUDIES)}, and all")
    return [STUDIES[name]]

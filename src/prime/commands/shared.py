"""What the commands share: remarks, experiment files, packed cohorts, threads."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from prime.cohort.config import CohortConfig
    from prime.settings.experiment import ExperimentConfig
    from prime.store.store import Store


PRECISIONS = ("evaluate.probe.readout.precision", "evaluate.finetune.precision", "comparison.precision")


def say(line: str) -> None:
    """A remark for the user, kept apart from results on standard output."""
    print(line, file=sys.stderr)


def read_experiment(
    path: Path, settings: tuple[str, ...] = (), precision: str | None = None
) -> "ExperimentConfig":
    """The experiment file with settings overridden; `precision` is that of everything after pretraining."""
    from prime.settings.experiment import load_experiment

    given = () if precision is None else tuple(f"{key}={precision}" for key in PRECISIONS)
    return load_experiment(path, (*given, *settings))


def open_experiment_store(experiment: "ExperimentConfig") -> "Store":
    """The packed cohort of an experiment."""
    from prime.cohort.config import load_cohort

    return open_cohort_store(load_cohort(Path(experiment.cohort), experiment.root), experiment.store)


def open_cohort_store(cohort: "CohortConfig", folder: str | Path | None) -> "Store":
    """A cohort's store in `folder`, or where it goes by default."""
    from prime.store.opening import default_store, open_or_pack

    return open_or_pack(cohort, default_store(cohort) if folder is None else Path(folder), say)


def set_threads(threads: int | None) -> None:
    """Torch's processor threads; None leaves them all."""
    if threads is not None:
        import torch

        torch.set_num_threads(threads)

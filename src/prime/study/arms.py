"""The arms of a study: an experiment each, who its pretraining may see, and where its checkpoints stand."""

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np

from prime import __version__
from prime.downstream.grid import Evaluation
from prime.errors import InputError
from prime.files import sha256_text
from prime.settings.experiment import ExperimentConfig
from prime.splits.folds import Fold, read_folds
from prime.store.inputs import input_spec
from prime.store.store import Store

Protocol = Literal["transductive", "inductive", "leave_cohort_out"]


@dataclass(frozen=True)
class Arm:
    """One experiment of a study.

    Attributes:
        name: in tables and legends.
        store: its data.
        config: model, pretraining and evaluation, seeds included.
        protocol: whom pretraining may see without labels: everyone, everyone but the test patients of the
            fold, or everyone but the patients of the tested cohort.
        suffix: added to the name of each of its ways of training, where the study has other such arms.
    """

    name: str
    store: Store
    config: ExperimentConfig
    protocol: Protocol = "transductive"
    suffix: str = ""


@dataclass(frozen=True)
class Pretrained:
    """Finds, and plans, the pretraining runs of an arm: one folder a distinct run, named by its hash."""

    arm: Arm
    folder: Path

    @property
    def store(self) -> Store:
        """The data."""
        return self.arm.store

    def __call__(self, seed: int, fold: Fold) -> Path:
        """The checkpoint folder that serves a seed and fold."""
        return self.folder / self.key(seed, self.excluded(fold))

    def excluded(self, fold: Fold) -> frozenset[str]:
        """The patients whom the pretraining for this fold must not see."""
        if self.arm.protocol == "transductive":
            return frozenset()
        ids = self._ids
        if self.arm.protocol == "leave_cohort_out":
            tested = set(self._cohorts[fold.test].tolist())
            return frozenset(ids[np.isin(self._cohorts, list(tested))].tolist())
        if fold.fold in self._given:
            return self._given[fold.fold] & frozenset(ids.tolist())
        return frozenset(ids[fold.test].tolist())

    @cached_property
    def _ids(self) -> Any:
        return self.store.patients["patient_id"].to_numpy(dtype=object)

    @cached_property
    def _cohorts(self) -> Any:
        return self.store.patients["cohort"].to_numpy(dtype=str)

    @cached_property
    def _given(self) -> dict[int, frozenset[str]]:
        """Test patients of each number of a folds file: one run then serves that fold of all cohorts."""
        evaluate = self.arm.config.evaluate
        path = evaluate.folds
        if path is None or not path.endswith(".csv") or evaluate.external:
            return {}
        table = read_folds(Path(path))
        return {int(k): frozenset(part["patient_id"]) for k, part in table.groupby("fold")}  # pyright: ignore[reportArgumentType]

    def key(self, seed: int, excluded: frozenset[str]) -> str:
        """The hash of all that a pretraining run depends on."""
        config = self.arm.config
        facts = {
            "values": {name: source.sha256 for name, source in self.store.sources.items()},
            "rows": self.store.manifest["index_sha256"],
            "inputs": input_spec(self.store).model_dump(mode="json"),
            "patients": [self._ids.tolist(), self._cohorts.tolist()],
            "seed": seed,
            "clip": config.clip,
            "model": config.model.model_dump(mode="json"),
            "pretrain": config.pretrain.model_dump(mode="json"),
            "excluded": sorted(excluded),
            "version": __version__,
        }
        return sha256_text(json.dumps(facts, sort_keys=True))[:16]


@dataclass(frozen=True)
class PretrainingRun:
    """A pretraining run to be done: its store, experiment with seed, whom it must not see, and its folder."""

    store: Path
    config: ExperimentConfig
    excluded: frozenset[str]
    folder: Path


def evaluation_of(arm: Arm, cache: Path) -> Evaluation:
    """The evaluation of an arm, with parts and embeddings in the study's cache.

    Raises InputError where a task has no fold that can be fitted.
    """
    find = Pretrained(arm, cache / "pretrained")
    evaluation = Evaluation(arm.store, arm.config, find, cache, cache)
    fitted = {fit.task.name for fit in evaluation.fits}
    for task in arm.config.evaluate.tasks:
        if task.name not in fitted:
            why = [f"; {name}: {why}" for name, why in evaluation.not_fitted.items()][:1]
            raise InputError(
                f"evaluate.tasks: no fold of {task.name} can be fitted{''.join(why)}; leave the task out, or"
                " take fewer folds or larger cohorts"
            )
    return evaluation


def pretraining_runs(arm: Arm, cache: Path) -> list[PretrainingRun]:
    """The distinct pretraining runs that an arm's fits need."""
    if "pretrained" not in arm.config.evaluate.inits:
        return []
    find = Pretrained(arm, cache / "pretrained")
    runs: dict[Path, PretrainingRun] = {}
    for seed, fold in evaluation_of(arm, cache).pretrained_folds():
        excluded = find.excluded(fold)
        folder = find.folder / find.key(seed, excluded)
        config = arm.config.model_copy(update={"seed": seed})
        runs.setdefault(folder, PretrainingRun(arm.store.path, config, excluded, folder))
    return list(runs.values())

"""The arms of a study: an experiment each, who its pretraining may see, and where its checkpoints stand."""

import json
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, Literal

import numpy as np

from prime.downstream.data import EvaluationData
from prime.downstream.grid import Evaluation
from prime.downstream.plan import Plan, plan_fits
from prime.errors import InputError
from prime.files import sha256_text
from prime.pretraining.setup import code_of
from prime.settings.experiment import ExperimentConfig
from prime.splits.folds import Fold, read_folds
from prime.splits.outcomes import read_outcome
from prime.store.inputs import data_identity
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
    protocol: Protocol = "inductive"
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
        return self.folder / self.key(seed, self.excluded(seed, fold))

    def excluded(self, seed: int, fold: Fold) -> frozenset[str]:
        """The patients whom the pretraining for this fold must not see.

        One run serves the folds of a number, in all cohorts: nobody whom one of them tests is seen.
        """
        if self.arm.protocol == "transductive":
            return frozenset()
        ids = self._ids
        if self.arm.protocol == "leave_cohort_out":
            tested = set(self._cohorts[fold.test].tolist())
            return frozenset(ids[np.isin(self._cohorts, list(tested))].tolist())
        if fold.fold in self._given:
            return self._given[fold.fold] & frozenset(ids.tolist())
        return frozenset(ids[self._plan.set_aside(seed, fold)].tolist())

    @cached_property
    def _plan(self) -> Plan:
        settings = self.arm.config.evaluate
        outcomes = {task.name: read_outcome(self.store, task) for task in settings.tasks}
        return plan_fits(EvaluationData(self.store, settings), outcomes)

    @cached_property
    def _ids(self) -> Any:
        return self.store.patients["patient_id"].to_numpy(dtype=object)

    @cached_property
    def _cohorts(self) -> Any:
        return self.store.patients["cohort"].to_numpy(dtype=str)

    @cached_property
    def _given(self) -> dict[int, frozenset[str]]:
        """Test patients of each number of a folds file, those without an outcome included."""
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
            "store": data_identity(self.store),
            "patients": [self._ids.tolist(), self._cohorts.tolist()],
            "seed": seed,
            "clip": config.clip,
            "scaling": config.scaling,
            "model": config.model.model_dump(mode="json"),
            "pretrain": config.pretrain.model_dump(mode="json"),
            "excluded": sorted(excluded),
            "code": code_of(config.pretrain),
        }
        return sha256_text(json.dumps(facts, sort_keys=True))[:16]


@dataclass(frozen=True)
class PretrainingRun:
    """A pretraining run to be done.

    Attributes:
        store: its data.
        config: the experiment, with its seed.
        excluded: whom it must not see.
        folder: where it goes.
        name: arm, cohorts, folds and seed that it serves.
    """

    store: Path
    config: ExperimentConfig
    excluded: frozenset[str]
    folder: Path
    name: tuple[str, ...]


class ArmWork:
    """What an arm takes: its evaluation, planned once, and the pretraining runs that it needs.

    It can be sent to another process, which plans it once more for all jobs of the arm.
    """

    def __init__(self, arm: Arm, cache: Path) -> None:
        self.arm, self.cache = arm, cache
        self.find = Pretrained(arm, cache / "pretrained")

    def __reduce__(self) -> tuple[Any, ...]:
        arm = self.arm
        return _reopened, (arm.store.path, arm.name, arm.config.model_dump_json(), arm.protocol, self.cache)

    @cached_property
    def evaluation(self) -> Evaluation:
        """The evaluation, with parts and embeddings in the study's cache.

        Raises InputError where a task has no fold that can be fitted.
        """
        arm = self.arm
        evaluation = Evaluation(arm.store, arm.config, self.find, self.cache, self.cache)
        fitted = {fit.task.name for fit in evaluation.fits}
        for task in arm.config.evaluate.tasks:
            if task.name not in fitted:
                why = [f"; {name}: {why}" for name, why in evaluation.plan.not_fitted.items()][:1]
                raise InputError(
                    f"evaluate.tasks: no fold of {task.name} can be fitted{''.join(why)}; leave the task out,"
                    " or take fewer folds or larger cohorts"
                )
        return evaluation

    @cached_property
    def pretraining(self) -> list[PretrainingRun]:
        """The distinct pretraining runs that the fits need."""
        if "pretrained" not in self.arm.config.evaluate.inits:
            return []
        served: dict[Path, tuple[int, frozenset[str], list[Fold]]] = {}
        for seed, fold in self.evaluation.pretrained_folds():
            excluded = self.find.excluded(seed, fold)
            folder = self.find.folder / self.find.key(seed, excluded)
            served.setdefault(folder, (seed, excluded, []))[2].append(fold)
        runs: list[PretrainingRun] = []
        for folder, (seed, excluded, folds) in served.items():
            config = self.arm.config.model_copy(update={"seed": seed})
            name = (self.arm.name, *_served(folds), f"seed{seed}", "pretraining")
            runs.append(PretrainingRun(self.arm.store.path, config, excluded, folder, name))
        return runs


def _served(folds: list[Fold]) -> tuple[str, str]:
    """The cohorts and the numbers of folds, in words."""
    cohorts = "+".join(sorted({fold.cohort.replace(">", "-to-") for fold in folds}))
    return cohorts, "fold" + "+".join(map(str, sorted({fold.fold for fold in folds})))


@lru_cache(maxsize=2)
def open_store(path: Path) -> Store:
    """A store, opened once for all jobs of a process."""
    return Store.open(path)


@lru_cache(maxsize=1)
def _reopened(store: Path, name: str, config: str, protocol: Protocol, cache: Path) -> ArmWork:
    """An arm that came from another process."""
    return ArmWork(
        Arm(name, open_store(store), ExperimentConfig.model_validate_json(config), protocol), cache
    )

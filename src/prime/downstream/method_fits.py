"""One unit of the comparison: a registered method fitted on a fold, and its predictions for every pattern."""

import json
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from prime.arrays import Floats, Indices
from prime.catalogue.methods import Method
from prime.downstream.data import EvaluationData
from prime.downstream.fit import Fit, prediction_rows
from prime.downstream.supervised import (
    Diverged,
    FoldBatches,
    Schedule,
    SupervisedTraining,
    training_baseline,
)
from prime.errors import InputError
from prime.methods.interface import ClassicalModel, FusionNetwork
from prime.methods.statistics.examples import Examples, Target
from prime.model.parameters import parameter_groups
from prime.objectives.survival import survival
from prime.provenance import source_digest
from prime.seeds import named_seed
from prime.settings.experiment import ExperimentConfig
from prime.settings.methods import ComparisonConfig, GridPoint
from prime.settings.model import ModelConfig
from prime.splits.evaluation_folds import only, too_few
from prime.splits.folds import Fold
from prime.splits.outcomes import Outcome
from prime.store.inputs import InputSpec, input_spec
from prime.store.loading import PatientLoader, fit_scalings
from prime.store.store import Store
from prime.store.vectors import PatientVectors, patient_vectors


@dataclass(frozen=True)
class MethodFit:
    """A method on one fold of a task: what it reads, whom it can train on, and what everyone else gets.

    Patients who have none of the method's modalities serve neither its training nor its validation; in a test
    they get `baseline`, the survival of the training patients as a whole, so that every method is scored on
    the same patients.
    """

    method: Method
    config: ExperimentConfig
    data: EvaluationData
    outcome: Outcome
    seed: int
    fold: Fold
    device: torch.device

    @property
    def comparison(self) -> ComparisonConfig:
        """The settings of the comparison."""
        return self.config.comparison

    @property
    def modalities(self) -> tuple[str, ...]:
        """The modalities that the method reads. Raises InputError where the cohort lacks one."""
        store = self.data.store
        return self.method.modalities(
            {m: tuple(s) for m, s in store.modalities.items()}, self.comparison.roles
        )

    @property
    def columns(self) -> NDArray[np.bool_]:
        """(M,) bool: which of the store's modalities the method reads."""
        return np.array([name in self.modalities for name in self.data.store.modalities])

    @property
    def order(self) -> list[int]:
        """The store's number of each of `modalities`."""
        return [list(self.data.store.modalities).index(name) for name in self.modalities]

    @property
    def observed(self) -> NDArray[np.bool_]:
        """(P, M) bool over `modalities`."""
        return self.data.observed[:, self.order]

    @property
    def able(self) -> NDArray[np.bool_]:
        """(P,) bool: who has something that the method reads."""
        if self.method.covariates and not self.modalities:
            return np.ones(len(self.data.observed), dtype=bool)
        return self.observed.sum(axis=1) > 0

    @property
    def edges(self) -> Floats:
        """Time bins of the fold's training patients, whatever they have: the same for every method."""
        return self.outcome.edges(self.fold.train, self.data.settings.bins)

    @property
    def own_fold(self) -> Fold:
        """The fold with the training and validation patients who have something that the method reads."""
        return only(self.fold, self.able, test=False)

    @property
    def reason(self) -> str | None:
        """Why the method cannot be fitted here; None where it can."""
        return too_few(self.own_fold, self.outcome)

    def baseline(self) -> torch.Tensor:
        """(T,) hazard logits of the fold's training patients as a whole."""
        return training_baseline(self.outcome, self.fold.train, self.edges)

    def name_seed(self, *names: object) -> int:
        """A seed for this fit."""
        return named_seed(self.seed, self.method.name, *names, self.fold.cohort, self.fold.fold)


def method_recipe(method: Method, config: ExperimentConfig) -> dict[str, Any]:
    """What a method's fits depend on, data aside: its facts, settings and code."""
    name, shared = method.name, config.comparison.model_dump(mode="json")
    recipe = {
        "method": [name, method.place, method.kind, method.roles, method.pretrains, method.covariates],
        "roles": shared.pop("roles"),
        "settings": config.comparison.method_settings(name).model_dump(mode="json"),
        "code": source_digest("prime.downstream.method_fits", method.place.partition(":")[0]),
    }
    if method.kind == "classical":
        return recipe
    shared.pop("settings")
    scaling = {"clip": config.clip, "scaling": config.scaling}
    return recipe | {"training": shared, "model": config.model.model_dump(mode="json"), **scaling}


def check_method(method: Method, config: ExperimentConfig, store: Store) -> None:
    """Raise InputError where a method cannot serve this cohort, before anything is fitted."""
    if method.kind == "neural":
        count_parameters(method, config, store)
    else:
        own_inputs(method, config, store)
    if method.covariates and not any(str(c).startswith("x_") for c in store.patients.columns):
        raise InputError(
            f"method {method.name}: the cohort has no covariates; name columns (age, stage, sex) under"
            " clinical.covariates of the cohort file and pack it again, or leave the method out"
        )


def fit_method(
    data: EvaluationData,
    outcome: Outcome,
    fit: Fit,
    method: Method,
    config: ExperimentConfig,
    device: torch.device,
) -> pd.DataFrame:
    """Predictions of a method on the folds of a fit, as rows of predictions.csv.

    The frame's attrs hold what was chosen on validation patients, by fold, and the numbers of parameters.
    """
    frames: list[pd.DataFrame] = []
    chosen: dict[str, Any] = {}
    parameters = 0
    for fold in fit.folds:
        task = MethodFit(method, config, data, outcome, fit.seed, fold, device)
        predict: _Predictor
        if task.reason is not None:
            predict, chosen[str(fold.fold)] = _Constant(task), {"not_fitted": task.reason}
        elif method.kind == "neural":
            predict = _Network(task)
            chosen[str(fold.fold)] = predict.chosen
        else:
            predict = _Classical(task)
        parameters = max(parameters, predict.parameters)
        frames += list(_rows(task, fit, predict))
    table = pd.concat(frames, ignore_index=True)
    table.attrs["trainable_parameters"] = parameters
    table.attrs["chosen"] = json.dumps(chosen)
    return table


def _rows(task: MethodFit, fit: Fit, predict: "_Predictor") -> Iterator[pd.DataFrame]:
    """The predictions of a fold for every pattern."""
    rest = survival(task.baseline()).double().numpy()  # (T,)
    for pattern, keep in task.data.patterns.items():
        tested = task.data.tested(task.fold, pattern)
        if not len(tested):
            continue
        kept = task.data.observed[tested] & np.array(keep)
        mine = (kept & task.columns).any(axis=1) if task.modalities else task.able[tested]
        curve = np.tile(rest, (len(tested), 1))
        if mine.any():
            curve[mine] = predict(tested[mine], keep)
        yield prediction_rows(task.data, task.outcome, fit, task.fold, pattern, tested, curve, task.edges)


class _Predictor(ABC):
    """Survival (n, T) of test patients under a pattern; `parameters` that the labels moved."""

    parameters = 0

    @abstractmethod
    def __call__(self, patients: Indices, keep: tuple[bool, ...]) -> Floats: ...


class _Constant(_Predictor):
    """Everyone gets the survival of the training patients as a whole."""

    def __init__(self, task: MethodFit) -> None:
        self.curve = survival(task.baseline()).double().numpy()

    def __call__(self, patients: Indices, keep: tuple[bool, ...]) -> Floats:
        return np.tile(self.curve, (len(patients), 1))


class _Network(_Predictor):
    """The network of the grid point and epoch with the lowest validation loss."""

    def __init__(self, task: MethodFit) -> None:
        fold, store = task.fold, task.data.store
        sources = [s for name in task.modalities for s in store.modalities[name]]
        scaled_on = np.sort(np.concatenate([fold.train, fold.validation]))
        config = task.config
        scaling = fit_scalings(store, scaled_on, config.clip, sources, config.scaling)
        loader = PatientLoader(store, scaling, task.modalities)
        self.columns = task.order
        everyone = np.concatenate([scaled_on, fold.test])
        batches = FoldBatches(loader, everyone[task.able[everyone]])
        trained: list[tuple[GridPoint, SupervisedTraining]] = []
        diverged: list[GridPoint] = []
        for point in task.comparison.grid:
            try:
                trained.append((point, train_point(task, batches, point)))
            except Diverged as error:
                diverged.append(point)
                reason = error
        if not trained:
            raise InputError(f"method {task.method.name}, every point of comparison.grid: {reason}")  # pyright: ignore[reportPossiblyUnboundVariable]
        best, self.training = min(trained, key=lambda found: found[1].best_loss)
        if task.comparison.calibrate:
            self.training.calibrate()
        self.chosen = {
            "point": best.model_dump(),
            "epochs": self.training.best_epoch + 1,
            "validation_losses": [training.best_loss for _, training in trained],
            "diverged": [point.model_dump() for point in diverged],
        }
        self.parameters = sum(p.numel() for p in self.training.model.parameters() if p.requires_grad)

    def __call__(self, patients: Indices, keep: tuple[bool, ...]) -> Floats:
        return self.training.predict(patients, tuple(keep[c] for c in self.columns))


def build_network(
    method: Method, config: ExperimentConfig, inputs: InputSpec, baseline: torch.Tensor, dropout: float
) -> FusionNetwork:
    """The network of a method with random weights; `inputs` of its modalities, `baseline` (T,) logits."""
    settings = config.comparison
    own = {"dim": settings.dim or config.model.dim, "blocks": settings.blocks, "dropout": dropout}
    shared = ModelConfig.model_validate(config.model.model_dump() | own)
    return method.build(inputs, shared, config.comparison.method_settings(method.name), baseline)


def own_inputs(method: Method, config: ExperimentConfig, store: Store) -> InputSpec:
    """What a method reads of a batch. Raises InputError where the cohort lacks one of its modalities."""
    spec = input_spec(store)
    chosen = {m: spec.modalities[m] for m in method.modalities(spec.modalities, config.comparison.roles)}
    return InputSpec(
        modalities=chosen, sources={s: spec.sources[s] for names in chosen.values() for s in names}
    )


def count_parameters(method: Method, config: ExperimentConfig, store: Store) -> int:
    """Trainable parameters of a network on the data of a store, for as many time bins as asked for.

    Raises InputError where the network cannot be built for these modalities and settings.
    """
    with torch.device("meta"):  # shapes alone, no weights
        baseline = torch.zeros(config.evaluate.bins)
        network = build_network(method, config, own_inputs(method, config, store), baseline, 0.0)
    return sum(p.numel() for p in network.parameters() if p.requires_grad)


def train_point(task: MethodFit, batches: FoldBatches, point: GridPoint) -> SupervisedTraining:
    """Train the network at one point of the grid, its own pretraining first where it has one."""
    settings = task.comparison
    torch.manual_seed(task.name_seed("weights"))  # the same start at every point
    inputs = own_inputs(task.method, task.config, task.data.store)
    network = build_network(task.method, task.config, inputs, task.baseline(), point.dropout).to(task.device)

    def optimizer() -> torch.optim.Optimizer:
        groups = parameter_groups(network, point.weight_decay)
        return torch.optim.AdamW(groups, lr=point.learning_rate, fused=True)

    schedule = Schedule(settings.epochs, settings.batch_size, settings.patience, settings.precision)
    rng = np.random.default_rng(task.name_seed("order"))
    training = SupervisedTraining(
        network, optimizer(), batches, task.outcome, task.own_fold, task.edges, task.observed, schedule, rng
    )
    if task.method.pretrains:
        training.pretrain(network.pretraining_loss, optimizer(), settings.pretraining_epochs)
    training.fit()
    return training


class _Classical(_Predictor):
    """A statistical model on one vector a source and patient."""

    def __init__(self, task: MethodFit) -> None:
        self.task = task
        name = task.method.name
        self.model: ClassicalModel = task.method.build(
            task.comparison.method_settings(name), task.name_seed("fit")
        )
        fold = task.own_fold
        self.patients = np.unique(np.concatenate([fold.train, fold.validation, fold.test]))
        self.vectors = patient_vectors(task.data.store, self.patients, task.modalities)
        self.model.fit(self._examples(fold.train), self._examples(fold.validation))
        self.parameters = self.model.parameters

    def _vectors(self, patients: Indices) -> PatientVectors:
        return self.vectors.take(np.searchsorted(self.patients, patients))

    def _examples(self, patients: Indices) -> Examples:
        outcome = self.task.outcome
        target = Target(
            outcome.time_days[patients], outcome.event[patients], self.task.edges,
            outcome.horizon_days is not None,
        )  # fmt: skip
        return Examples(self._vectors(patients), target)

    def __call__(self, patients: Indices, keep: tuple[bool, ...]) -> Floats:
        left = np.tile(np.array(keep)[self.task.order], (len(patients), 1))
        found = self.model.survival(self._vectors(patients).keep(left))
        assert found.shape == (len(patients), len(self.task.edges) - 1)
        return found

"""Fits of joint models: label-free features of everybody outside the test sets, then heads of cohorts."""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from prime.arrays import Flags, Floats, Indices
from prime.downstream.cause_fits import CauseHeads, cause_ends, cause_labels, hazards_of
from prime.downstream.data import EvaluationData
from prime.downstream.fit import Fit, prediction_rows
from prime.downstream.kept import Kept, digest_of
from prime.downstream.token_blocks import PatientFeatures, TokenReading
from prime.methods.interface import FittedBlocks, JointModel
from prime.methods.statistics.calibrated import CalibratedScore, calibrate
from prime.methods.statistics.cohort_heads import CohortHead, EndpointLabels, FitHead, held_out_scores
from prime.methods.statistics.design import Design
from prime.methods.statistics.examples import Population, Target
from prime.methods.statistics.within_type import Types
from prime.provenance import source_digest
from prime.seeds import named_seed
from prime.settings.evaluation import TaskConfig
from prime.splits.folds import Fold
from prime.splits.outcomes import Outcome, read_outcome
from prime.store.inputs import data_identity
from prime.store.vectors import covariate_columns, source_vectors

FindTested = Callable[[int, Fold], Indices]

FOLDS_KEPT = 6  # the given five of one way of training, and one more: features of everybody take memory
HEADS_KEPT = 64
_blocks = Kept[FittedBlocks](FOLDS_KEPT)
_designs = Kept[Design](FOLDS_KEPT)
_heads = Kept[tuple[CohortHead, Floats]](HEADS_KEPT)


@dataclass(frozen=True)
class JointFit:
    """A joint model on the folds of a cohort.

    Attributes:
        data: what every fit reads.
        outcome: of the task.
        fit: which folds, and those of others.
        model: the model.
        sources: that it reads.
        code: the module of the model.
        set_aside: whom nothing may be fitted on in the fold of that seed and number, whatever the task.
        tokens: the embeddings of a fold and others of its number, and how a head reads them; None for models
            that read sources alone.
    """

    data: EvaluationData
    outcome: Outcome
    fit: Fit
    model: JointModel
    sources: tuple[str, ...]
    code: str
    set_aside: FindTested
    tokens: TokenReading | None = None

    def kept(self, pattern: str) -> tuple[str, ...]:
        """Those that may be seen in a pattern."""
        keep = zip(self.data.store.modalities.values(), self.data.patterns[pattern], strict=True)
        seen = {source for names, kept in keep if kept for source in names}
        return tuple(source for source in self.sources if source in seen)

    def training(self, fold: Fold) -> Indices:
        """Everybody with any modality whom the fold does not test, sorted."""
        everyone = np.flatnonzero(self.data.observed.any(axis=1))
        return np.setdiff1d(everyone, self.set_aside(self.fit.seed, fold))

    def labelled(self, fold: Fold) -> list[Fold]:
        """The folds of its number whose labels serve: its own, unless others alone train, and others."""
        own = [] if self.fit.train_on == "others" else [fold]
        return [*own, *(other for other in self.fit.others if other.fold == fold.fold)]

    def calibrating(self, fold: Fold) -> list[Fold]:
        """The folds whose patients give a score its slope and its baseline: its own, or those of others."""
        return [fold] if self.fit.train_on != "others" else self.labelled(fold)

    def edges(self, fold: Fold) -> Floats:
        """The time bins of a fold, (T + 1,) in days, from the patients who calibrate it."""
        train = np.concatenate([f.train for f in self.calibrating(fold)])
        return self.outcome.edges(train, self.data.settings.bins)

    # Label-free ---------------------------------------------------------------------------------------------

    def design(self, fold: Fold) -> Design:
        """The features; made once for all fits of a process that share them."""
        training = self.training(fold)
        model, population = self.model, self._population(training)
        facts = [
            self.sources, model.encoding, data_identity(self.data.store), training.tolist(),
            population.types.tolist(), source_digest(self.code),
        ]  # fmt: skip
        blocks = _blocks(facts, lambda: model.encode(population))
        facts += [model.designing, self.covariates]
        return _designs(facts, lambda: model.design(population, blocks, named_seed(0, "annotations")))

    def _population(self, training: Indices) -> Population:
        store = self.data.store
        distributions = getattr(self.model.settings, "distributions", ())
        return Population(
            store.patients["cohort"].to_numpy(dtype=str),
            {name: partial(source_vectors, store, name, name in distributions) for name in self.sources},
            covariate_columns(store),
            training,
        )

    @property
    def recipe(self) -> dict[str, Any]:
        """The model and its settings."""
        settings = self.model.settings.model_dump(mode="json")
        return {"model": type(self.model).__name__, "settings": settings}

    @property
    def covariates(self) -> dict[str, str]:
        """The covariates of all patients as text."""
        return {name: repr(values.tolist()) for name, values in covariate_columns(self.data.store).items()}

    # Labels -------------------------------------------------------------------------------------------------

    def endpoints(self, fold: Fold) -> tuple[list[EndpointLabels], Indices]:
        """The task's labels first, then those of other endpoints; and whom any of them labels, sorted."""
        outcome, folds = self.outcome, self.labelled(fold)
        binary = outcome.horizon_days is not None
        mine = np.unique(np.concatenate([f.labelled for f in folds]))
        rows = [mine]
        found = [labels_of(outcome, mine, 1.0, binary)]
        for name, weight in self.model.endpoints(self.fit.task.endpoint, binary).items():
            other = read_outcome(self.data.store, other_task(self.fit.task, name))
            who = np.union1d(mine[other.usable[mine]], self._also(other, fold, folds))
            found.append(labels_of(other, who, weight, False))
            rows.append(who)
        return found, np.unique(np.concatenate(rows))

    def _also(self, other: Outcome, fold: Fold, folds: list[Fold]) -> Indices:
        """Who serves another endpoint but not the task: of the same cohorts and share, not set aside."""
        data, fit = self.data, self.fit
        cohorts = data.store.patients["cohort"].to_numpy(dtype=str)
        whole = [f.cohort for f in folds if not f.external]
        able: Flags = other.usable & ~self.outcome.usable & np.isin(cohorts, whole)
        able &= data.complete if fit.train_on == "complete" else True
        able[self.set_aside(fit.seed, fold)] = False
        who = np.flatnonzero(able)
        generator = np.random.default_rng(named_seed(fit.seed, "also", fold.fold))
        return np.sort(generator.permutation(who)[: round(fit.share * len(who))])


def labels_of(outcome: Outcome, rows: Indices, weight: float, binary: bool) -> EndpointLabels:
    """Labels of all P patients at an endpoint, known for those of `rows` who have one."""
    known = np.zeros(len(outcome.usable), dtype=bool)
    known[rows] = True
    entry = None if binary else outcome.entry_days
    return EndpointLabels(weight, known & outcome.usable, outcome.time_days, outcome.event, binary, entry)


def target_of(outcome: Outcome, rows: Indices, edges: Floats) -> Target:
    """What a regression on one score is fitted on: these patients of an outcome."""
    entry = None if outcome.entry_days is None else outcome.entry_days[rows]
    binary = outcome.horizon_days is not None
    return Target(outcome.time_days[rows], outcome.event[rows], edges, binary, entry)


def other_task(task: TaskConfig, endpoint: str) -> TaskConfig:
    """Time to another endpoint's event, from the same landmark on."""
    return TaskConfig(name=endpoint, endpoint=endpoint, landmark_days=task.landmark_days)


@dataclass(frozen=True)
class FittedHead:
    """The head of one fold, calibrated on its own cohort; with competing events also theirs.

    `held_out` (P,) are scores of those who were fitted, by heads that were fitted without them.
    """

    features: PatientFeatures
    head: CohortHead
    held_out: Floats
    calibrated: CalibratedScore
    causes: CauseHeads | None = None

    @property
    def parameters(self) -> int:
        """The weights of all cohorts, and the calibration."""
        return self.head.shared.size * max(len(self.head.own), 1) + self.calibrated.parameters


def fit_head(joint: JointFit, fold: Fold) -> FittedHead:
    """The head that tests a fold."""
    outcome = joint.outcome
    types = joint.data.store.patients["cohort"].to_numpy(dtype=str)
    endpoints, rows = joint.endpoints(fold)
    tokens = None
    if joint.tokens is not None:
        tokens = joint.tokens.blocks([fold, *joint.labelled(fold)], types, joint.training(fold))
    features = PatientFeatures(joint.design(fold), tokens)
    x = np.zeros((len(types), len(features.scale)))
    x[rows] = features.training(rows)
    binary = outcome.horizon_days is not None
    fit = joint.model.head(features.scale, binary)
    # Who is tested without labels of the own cohort is scored by a head that has seen none of it.
    seed = named_seed(joint.fit.seed, fold.fold)
    part = np.unique(types[rows], return_inverse=True)[1] if joint.fit.train_on == "others" else None

    def fitted() -> tuple[CohortHead, Floats]:
        scores = held_out_scores(fit, x, types, endpoints, rows, seed, part)
        return fit(x, types, endpoints, rows), scores

    facts = [joint.recipe, binary, seed, _digest(x, types, features.scale, endpoints, rows, part)]
    held_out = np.zeros(len(types))
    head, held_out[rows] = _heads(facts, fitted)
    own = np.concatenate([f.labelled for f in joint.calibrating(fold)])
    target = target_of(outcome, own, joint.edges(fold))
    causes = None
    if outcome.causes:
        causes = _fit_causes(joint, fold, (x, held_out, own, part), fit)
    return FittedHead(features, head, held_out, calibrate(held_out[own], target), causes)


def _digest(
    x: Floats,
    types: Types,
    scale: Floats,
    endpoints: Sequence[EndpointLabels],
    rows: Indices,
    part: Indices | None,
) -> str:
    """Of all numbers that a head is fitted on; cohorts whose fold has one number share them."""
    labels = [label.take(rows) for label in endpoints]
    weights = np.array([label.weight for label in labels])
    binary = np.array([label.binary for label in labels])
    known = [values for y in labels for values in (y.known, y.time_days, y.event, y.entry_days)]
    return digest_of(x[rows], types[rows], scale, rows, part, weights, binary, *known)


def _fit_causes(
    joint: JointFit, fold: Fold, parts: tuple[Floats, Floats, Indices, Indices | None], fit: FitHead
) -> CauseHeads:
    """Heads of the competing events, and the hazards of all causes in the time bins that they share.

    `parts`: features of all P patients; scores (P,) of those who were fitted without them; whom hazards are
    fitted on; the parts of who is scored by heads that have not seen the own cohort.
    """
    x, held_out, own, part = parts
    outcome = joint.outcome
    types = joint.data.store.patients["cohort"].to_numpy(dtype=str)
    rows = np.unique(np.concatenate([f.labelled for f in joint.labelled(fold)]))
    if part is not None:
        part = np.unique(types[rows], return_inverse=True)[1]
    heads: list[CohortHead] = []
    scores = [held_out[own]]
    for number in range(1, len(outcome.causes)):
        labels = [cause_labels(outcome, rows, number)]
        heads.append(fit(x, types, labels, rows))
        found = np.zeros(len(types))
        seed = named_seed(joint.fit.seed, fold.fold, number)
        found[rows] = held_out_scores(fit, x, types, labels, rows, seed, part)
        scores.append(found[own])
    hazards = hazards_of(outcome, own, np.stack(scores, axis=1), cause_ends(outcome, own))
    return CauseHeads(outcome.causes, tuple(heads), hazards)


def fit_joint(joint: JointFit) -> pd.DataFrame:
    """Predictions of a joint model on the folds of a fit, as rows of predictions.csv."""
    frames: list[pd.DataFrame] = []
    parameters = 0
    for fold in joint.fit.folds:
        fitted = fit_head(joint, fold)
        parameters = max(parameters, fitted.parameters)
        frames += list(_rows(joint, fold, fitted))
    table = pd.concat(frames, ignore_index=True)
    table.attrs["trainable_parameters"] = parameters
    table.attrs["chosen"] = json.dumps({})
    return table


def _rows(joint: JointFit, fold: Fold, fitted: FittedHead) -> Iterator[pd.DataFrame]:
    """The predictions of a fold for every pattern."""
    edges = joint.edges(fold)
    types = joint.data.store.patients["cohort"].to_numpy(dtype=str)
    for pattern in joint.data.patterns:
        tested = joint.data.tested(fold, pattern)
        if len(tested):
            x = fitted.features.tested(tested, pattern, joint.kept(pattern))
            score = fitted.head(x, types[tested])
            curve = fitted.calibrated.survival(score)
            rows = prediction_rows(joint.data, joint.outcome, joint.fit, fold, pattern, tested, curve, edges)
            if fitted.causes is not None:
                rows = rows.assign(**fitted.causes.columns(x, score, types[tested]))
            yield rows


def joint_recipe(joint: JointFit) -> dict[str, Any]:
    """What a fit depends on beside its own folds: settings, code, and everybody whom it reads."""
    store = joint.data.store
    endpoints = [
        [label.weight, label.known.tolist(), label.event.tolist(), repr(label.time_days.tolist())]
        for fold in joint.fit.folds
        for label in joint.endpoints(fold)[0][1:]
    ]
    return {
        "model": [type(joint.model).__name__, joint.model.covariates, joint.sources],
        "settings": joint.model.settings.model_dump(mode="json"),
        "code": source_digest("prime.downstream.joint_fits", joint.code),
        "cohorts": store.patients["cohort"].tolist(),
        "covariates": joint.covariates,
        "training": [joint.training(fold).tolist() for fold in joint.fit.folds],
        "endpoints": endpoints,
        "others": [[f.cohort, f.fold, f.labelled.tolist()] for f in joint.fit.others],
    }

"""What a prognosis is learned from: a store, a frozen network, and settings, brought together."""

from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray

from prime.arrays import Indices
from prime.downstream.embeddings import EmbeddingCache, embed
from prime.downstream.joint_fits import labels_of
from prime.downstream.token_blocks import PatientFeatures, fit_token_encoders, token_blocks
from prime.evaluation.missingness import patterns
from prime.methods.classical.block_ridge import SharedRidge
from prime.methods.statistics.cohort_heads import EndpointLabels
from prime.methods.statistics.examples import Population
from prime.model.checkpoint import Checkpoint
from prime.predict.learn import Labelled, Scores, learn
from prime.predict.prognosis import Prognosis, TokenMap
from prime.seeds import named_seed
from prime.settings.evaluation import ProbeConfig, TaskConfig
from prime.splits.folds import stratified_folds
from prime.splits.outcomes import Outcome, read_outcome
from prime.store.loading import PatientLoader
from prime.store.store import Store
from prime.store.vectors import covariate_columns, source_vectors

FOLDS = 5
DRAWS = 50  # bootstrap samples


def cross_validation(store: Store, outcome: Outcome, members: Indices, seed: int) -> NDArray[np.int64]:
    """The fold 0..4 of each member, stratified within its cancer type by event and time."""
    cohorts = store.patients["cohort"].to_numpy(dtype=str)
    fold = np.zeros(len(store.patients), dtype=np.int64)
    for name in np.unique(cohorts[members]):
        mine = members[cohorts[members] == name]
        for part in stratified_folds(str(name), mine, outcome.time_days, outcome.event, FOLDS, seed):
            fold[part.test] = part.fold
    return fold[members]


@dataclass(frozen=True)
class Learner:
    """A way of fitting a task on a store: the network, the settings and the mode in one place.

    Attributes:
        store: the patients.
        checkpoint: the frozen network.
        probe: settings of the head.
        mode: one of SHARED_MODES.
        outcome: of the task.
        task: what is predicted.
        seed: of folds and bootstrap.
        device: of the network.
    """

    store: Store
    checkpoint: Checkpoint
    probe: ProbeConfig
    mode: str
    outcome: Outcome
    task: TaskConfig
    seed: int
    device: torch.device

    def labelled(self, members: Indices, training: Indices) -> Labelled:
        """What a head learns from: labels of `members`, and everything label-free from `training`, sorted."""
        store, settings = self.store, self.probe.shared.of_mode(self.mode)
        ridge = SharedRidge(settings, covariates=self.mode == "lp_shared_clinical")
        types = store.patients["cohort"].to_numpy(dtype=str)
        sources = tuple(store.sources) if settings.read_sources else ()
        population = Population(
            types,
            {n: partial(source_vectors, store, n, n in settings.distributions) for n in sources},
            covariate_columns(store),
            training,
        )
        design = ridge.design(population, ridge.encode(population), named_seed(0, "annotations"))
        endpoints, rows = self._labels(ridge, members, training)
        cache = self._embed(rows)
        encoders = fit_token_encoders(cache, types, rows, settings.token_components)
        tokens = token_blocks(cache, types, encoders, settings.token_scale)
        subsets = patterns(list(store.modalities))
        kept = {
            name: tuple(s for s in sources if store.sources[s].modality in _names(store, keep))
            for name, keep in subsets.items()
        }
        fold = cross_validation(store, self.outcome, members, self.seed)
        return Labelled(
            PatientFeatures(design, tokens), TokenMap(encoders, settings.token_scale), types,
            store.observed(), subsets, kept, endpoints, rows, members, fold, self.outcome,
        )  # fmt: skip

    def learn(self, labelled: Labelled, draws: int = DRAWS) -> tuple[Prognosis, Scores]:
        """The prognosis and held-out risks; see `learn.learn`."""
        ridge = SharedRidge(self.probe.shared, covariates=False)
        fit = ridge.head(labelled.features.scale, labelled.binary)
        return learn(labelled, fit, draws, self.seed)

    def _embed(self, rows: Indices) -> EmbeddingCache:
        loader = PatientLoader(self.store, self.checkpoint.scaling)
        network = self.checkpoint.model.to(self.device)
        subsets = patterns(list(self.store.modalities))
        return embed(network, loader, self.store.observed(), rows, subsets, self.probe.readout)

    def _labels(
        self, ridge: SharedRidge, members: Indices, training: Indices
    ) -> tuple[list[EndpointLabels], Indices]:
        """The task's labels and those of other endpoints, of the members' cohorts; who has any, sorted."""
        cohorts = self.store.patients["cohort"].to_numpy(dtype=str)
        binary = self.task.horizon_days is not None
        same = training[np.isin(cohorts[training], np.unique(cohorts[members]))]
        found, rows = [labels_of(self.outcome, members, 1.0, binary)], members
        for name, weight in ridge.endpoints(self.task.endpoint, binary).items():
            other = read_outcome(self.store, TaskConfig(name=name, endpoint=name))
            who = same[other.usable[same]]
            found.append(labels_of(other, who, weight, False))
            rows = np.union1d(rows, who)
        return found, rows


def _names(store: Store, keep: tuple[bool, ...]) -> set[str]:
    return {name for name, kept in zip(store.modalities, keep, strict=True) if kept}

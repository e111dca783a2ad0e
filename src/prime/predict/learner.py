"""What a prognosis is learned from: a store, a frozen network, and settings, brought together."""

from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray

from prime.arrays import Indices
from prime.downstream.embeddings import EmbeddingCache, embed
from prime.downstream.joint_fits import labels_of, other_task
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
MOST_PATIENTS = 20_000  # whose features are held


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
        """What a head learns from: labels of `members`, and everything label-free from `training`, sorted.

        Of `training`, members and patients with another label of their cohorts count first; what is
        label-free takes at most MOST_PATIENTS in all, drawn with the seed, so that memory does not grow with
        a store of a million. Positions in what comes back are among these patients, `people`.
        """
        store, settings = self.store, self.probe.shared.of_mode(self.mode)
        ridge = SharedRidge(settings, covariates=self.mode == "lp_shared_clinical")
        endpoints, labelled = self._labels(ridge, members, training)
        people = self._people(labelled, training)
        types = store.patients["cohort"].to_numpy(dtype=str)[people]
        sources = tuple(store.sources) if settings.read_sources else ()
        population = Population(
            types,
            {n: partial(source_vectors, store, n, n in settings.distributions, people) for n in sources},
            {name: values[people] for name, values in covariate_columns(store).items()},
            np.arange(len(people)),
        )
        design = ridge.design(population, ridge.encode(population), named_seed(0, "annotations"))
        rows = np.searchsorted(people, labelled)
        cache = self._embed(labelled, people)
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
            store.observed()[people], subsets, kept, [label.take(people) for label in endpoints], rows,
            np.searchsorted(people, members), fold, self.outcome.take(people),
        )  # fmt: skip

    def people(self, members: Indices, training: Indices) -> Indices:
        """Positions in the store of the patients of `labelled`."""
        ridge = SharedRidge(self.probe.shared.of_mode(self.mode), covariates=False)
        return self._people(self._labels(ridge, members, training)[1], training)

    def _people(self, labelled: Indices, training: Indices) -> Indices:
        """The labelled patients and as many others of `training` as there is room for, sorted."""
        rest = np.setdiff1d(training, labelled)
        room = max(MOST_PATIENTS - len(labelled), 0)
        if len(rest) > room:
            drawn = np.random.default_rng(named_seed(self.seed, "people")).permutation(len(rest))[:room]
            rest = rest[np.sort(drawn)]
        return np.union1d(labelled, rest)

    def learn(self, labelled: Labelled, draws: int = DRAWS) -> tuple[Prognosis, Scores]:
        """The prognosis and held-out risks; see `learn.learn`."""
        ridge = SharedRidge(self.probe.shared, covariates=False)
        fit = ridge.head(labelled.features.scale, labelled.binary)
        return learn(labelled, fit, draws, self.seed)

    def _embed(self, labelled: Indices, people: Indices) -> EmbeddingCache:
        """The labelled patients under every pattern; rows are those of `people`."""
        loader = PatientLoader(self.store, self.checkpoint.scaling)
        network = self.checkpoint.model.to(self.device)
        subsets = patterns(list(self.store.modalities))
        found = embed(network, loader, self.store.observed(), labelled, subsets, self.probe.readout)
        return EmbeddingCache(found.values, {name: row[people] for name, row in found.row.items()})

    def _labels(
        self, ridge: SharedRidge, members: Indices, training: Indices
    ) -> tuple[list[EndpointLabels], Indices]:
        """The task's labels and those of other endpoints, of the members' cohorts; who has any, sorted."""
        cohorts = self.store.patients["cohort"].to_numpy(dtype=str)
        binary = self.task.horizon_days is not None
        same = training[np.isin(cohorts[training], np.unique(cohorts[members]))]
        found, rows = [labels_of(self.outcome, members, 1.0, binary)], members
        for name, weight in ridge.endpoints(self.task.endpoint, binary).items():
            other = read_outcome(self.store, other_task(self.task, name))
            who = same[other.usable[same]]
            found.append(labels_of(other, who, weight, False))
            rows = np.union1d(rows, who)
        return found, rows


def _names(store: Store, keep: tuple[bool, ...]) -> set[str]:
    return {name for name, kept in zip(store.modalities, keep, strict=True) if kept}

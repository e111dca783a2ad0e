"""New patients as a prognosis reads them, some at a time: blocks, covariates, tokens under every pattern."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch

from prime.arrays import Flags, Floats, Indices
from prime.downstream.embeddings import EmbeddingCache, embed
from prime.downstream.token_blocks import PatientFeatures
from prime.evaluation.missingness import patterns
from prime.methods.statistics.examples import Population
from prime.methods.statistics.within_type import Types
from prime.predict.inputs import NewPatientLoader, observed_modalities, require_inputs
from prime.predict.model_folder import FittedModel
from prime.progress import tracked
from prime.store.store import Store
from prime.store.vectors import covariate_columns, source_vectors

AT_ONCE = 2048  # patients whose features are held


@dataclass(frozen=True)
class Patients:
    """Some patients of a store.

    Attributes:
        rows: (n,) positions in the store.
        types: (n,) cancer types.
        observed: (n, M) of the model's modalities; everybody has one.
        features: what the head reads of them.
        sources: of each pattern, those that the head reads.
        patterns: name to M flags.
    """

    rows: Indices
    types: Types
    observed: Flags
    features: PatientFeatures
    sources: dict[str, tuple[str, ...]]
    patterns: dict[str, tuple[bool, ...]]

    def having(self, pattern: str) -> Indices:
        """Who has all of a pattern, as positions among these."""
        keep = np.array(self.patterns[pattern])
        return np.flatnonzero((self.observed | ~keep).all(axis=1))

    def seen(self, pattern: str) -> Indices:
        """Who has exactly a pattern, as positions among these."""
        return np.flatnonzero((self.observed == np.array(self.patterns[pattern])).all(axis=1))

    def read(self, rows: Indices, pattern: str) -> Floats:
        """Features (n, p) of some of these under a pattern."""
        return self.features.tested(rows, pattern, self.sources[pattern])


def read_patients(
    model: FittedModel, store: Store, device: torch.device
) -> Iterator[tuple[Patients, Population]]:
    """All patients who have any modality of the model, type after type, and their raw vectors.

    Raises InputError where the cohort's sources are not the model's.
    """
    network = model.checkpoint.model.to(device)
    store = require_inputs(store, network.inputs, model.description)
    observed = observed_modalities(store, network.inputs)
    types = store.patients["cohort"].to_numpy(dtype=str)
    subsets = patterns(list(model.modalities))
    modalities, readable = network.inputs.modalities, model.prognosis.features.encoders
    sources = {
        name: tuple(
            s
            for m, kept in zip(modalities, keep, strict=True)
            if kept
            for s in modalities[m]
            if s in readable
        )
        for name, keep in subsets.items()
    }
    loader = NewPatientLoader(store, model.checkpoint.scaling, network.inputs)
    covariates = covariate_columns(store)
    rows = np.flatnonzero(observed.any(axis=1))
    rows = rows[np.argsort(types[rows], kind="stable")]  # what is fitted within types reads few at a time
    parts = np.split(rows, range(AT_ONCE, len(rows), AT_ONCE)) if len(rows) else []
    for part in tracked(parts, "predict", len(parts) > 1):
        cache = embed(network, loader, observed, part, subsets, model.description.readout)
        own = EmbeddingCache(cache.values, {name: row[part] for name, row in cache.row.items()})
        population = Population(
            types[part],
            {
                n: partial(source_vectors, store, n, n in model.description.distributions, part)
                for n in readable
                if n in store.sources
            },
            {name: values[part] for name, values in covariates.items()},
            np.zeros(0, dtype=np.int64),
        )
        features = model.prognosis.of(population, own)
        yield Patients(part, types[part], observed[part], features, sources, subsets), population

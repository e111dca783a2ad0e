"""One ridge over all sources, each a block with a scale of its own; alone, or shared by all cohorts.

In one picture:

    source -> block of components, normalised within the cancer type -+
    a missing block: zero, or what the others let expect -------------+-> one Newton step of a
    age, stage, grade, as more components predict them (optional) ----+   ridge regression -> risk
    clinical covariates (optional) -----------------------------------+

`BlockRidge` learns from the fold's cohort alone; `SharedRidge` from all cohorts together, with weights that
they share and a deviation for each, and from more than one endpoint. `RidgeAverage` is the mean of both.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from prime.arrays import Floats, Indices
from prime.errors import InputError
from prime.methods.interface import FittedBlocks, JointModel
from prime.methods.statistics.blocks import fit_blocks, fit_imputer
from prime.methods.statistics.cohort_heads import (
    CohortHead,
    EndpointLabels,
    FitHead,
    OwnHead,
    SharedHead,
)
from prime.methods.statistics.design import (
    ANNOTATIONS,
    COVARIATES,
    Design,
    FeatureMap,
    annotation_inputs,
    filled,
    predict_annotations,
    scale_covariates,
)
from prime.methods.statistics.examples import Population
from prime.methods.statistics.within_type import Types
from prime.settings.ridge import BlockRidgeSettings, SharedRidgeSettings


class BlockRidge(JointModel):
    """A ridge of the fold's cohort."""

    Settings = BlockRidgeSettings

    settings: BlockRidgeSettings

    @property
    def encoding(self) -> dict[str, Any]:
        """What decides the blocks."""
        names = {"components", "sizes", "spectrum_power", "word_counts", "distributions"}
        names |= {"annotation_components"} if self.settings.annotations else set()
        return self.settings.model_dump(mode="json", include=names)

    def encode(self, population: Population) -> FittedBlocks:
        """Blocks of all sources. Raises InputError where the settings name one that the cohort lacks."""
        settings = self.settings
        self._require(population)
        counts = self._counts(population)
        if settings.annotations:
            counts = {name: max(count, settings.annotation_components) for name, count in counts.items()}
        return fit_blocks(population, counts, settings.spectrum_power, settings.word_counts)

    @property
    def designing(self) -> dict[str, Any]:
        """What is added to the blocks, and the scale of each."""
        names = {"scale", "scales", "impute", "annotations", "annotation_penalty"}
        return self.settings.model_dump(mode="json", include=names) | {"covariates": self.covariates}

    def design(self, population: Population, fitted: FittedBlocks, seed: int) -> Design:
        """The blocks with what the settings add."""
        settings, types, training = self.settings, population.types, population.training
        encoders, blocks = fitted
        counts = self._counts(population)
        read = blocks.first(counts)
        imputer = fit_imputer(read.take(training)) if settings.impute else None
        covariates = scale_covariates(population) if self.covariates and population.covariates else None
        targets = [name for name in settings.annotations if name in population.covariates]
        found = None
        if targets:
            known = np.stack([population.covariates[name] for name in targets], axis=1)
            x = annotation_inputs(blocks, filled(read, imputer))
            scale = self._scale([*blocks.owner.tolist(), *read.owner.tolist()])
            penalty = settings.annotation_penalty / scale**2
            found = predict_annotations(x, types, known, penalty, training, seed)
        annotations, annotated = found or (None, None)
        owner = [*read.owner.tolist(), *[COVARIATES] * (len(covariates.names) if covariates else 0)]
        owner += [] if annotations is None else [ANNOTATIONS] * len(targets)
        features = FeatureMap(
            encoders, counts, imputer, covariates, annotations, tuple(owner), self._scale(owner)
        )
        return features.of_blocks(population, blocks, annotated)

    def head(self, scale: Floats, binary: bool) -> FitHead:
        """Own weights."""
        return OwnHead(self.settings.binary_penalty if binary else self.settings.penalty, scale)

    def endpoints(self, endpoint: str, binary: bool) -> dict[str, float]:
        """None."""
        return {}

    def _counts(self, population: Population) -> dict[str, int]:
        """How many components of each source the head reads."""
        return {name: self.settings.sizes.get(name, self.settings.components) for name in population.sources}

    def _scale(self, owner: Sequence[str]) -> Floats:
        own = {COVARIATES: 1.0} | self.settings.scales
        return np.array([own.get(name, self.settings.scale) for name in owner])

    def _require(self, population: Population) -> None:
        named = {*self.settings.sizes, *self.settings.word_counts, *self.settings.distributions}
        unknown = (named | set(self.settings.scales)) - {*population.sources, COVARIATES, ANNOTATIONS}
        if unknown:
            raise InputError(
                f"block_ridge and shared_ridge: their settings name {', '.join(sorted(unknown))}, which the"
                f" cohort lacks; it has {', '.join(population.sources)}"
            )


class SharedRidge(BlockRidge):
    """A ridge over all cohorts: what they share, and what is each one's own."""

    Settings = SharedRidgeSettings

    settings: SharedRidgeSettings  # pyright: ignore[reportIncompatibleVariableOverride]

    def head(self, scale: Floats, binary: bool) -> FitHead:
        """Shared weights and deviations."""
        return SharedHead(self.settings.shared_penalty, self.settings.deviation_penalty, scale)

    def endpoints(self, endpoint: str, binary: bool) -> dict[str, float]:
        """Other endpoints of a time-to-event task; a binary one learns from its own as well, by less."""
        weights = {**self.settings.endpoints, endpoint: 1.0}
        if binary:
            scaled = {name: weight * self.settings.time_weight for name, weight in weights.items()}
            return {name: weight for name, weight in scaled.items() if weight}
        return {name: weight for name, weight in weights.items() if name != endpoint}


class RidgeAverage(SharedRidge):
    """The mean of the standardised risks of a cohort's own ridge on the task and of the shared one."""

    def head(self, scale: Floats, binary: bool) -> FitHead:
        """Both heads, standardised on training patients of each type."""
        penalty = self.settings.binary_penalty if binary else self.settings.penalty
        return AverageHead(OwnHead(penalty, scale), super().head(scale, binary))


@dataclass(frozen=True)
class AverageHead:
    """The sum of two heads' scores in units of their standard deviation within each type."""

    own: OwnHead
    shared: FitHead

    def __call__(
        self, x: Floats, types: Types, endpoints: Sequence[EndpointLabels], rows: Indices
    ) -> CohortHead:
        """Fit both; the own one on the first endpoint, the task, type by type."""
        shared = self.shared(x, types, endpoints, rows)
        weights: dict[str, Floats] = {}
        for name in np.unique(types[rows]):
            mine = rows[types[rows] == name]
            parts = (self.own(x, types, endpoints[:1], mine).shared, shared.own[str(name)])
            weights[str(name)] = np.sum([_standardised(weight, x[mine]) for weight in parts], axis=0) / 2
        return CohortHead(_standardised(shared.shared, x[rows]), weights)


def _standardised(weight: Floats, x: Floats) -> Floats:
    spread = float((x @ weight).std())
    return weight / spread if spread > 0 else weight

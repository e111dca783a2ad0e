"""The features that a ridge over cohorts reads: blocks, and what is added to them without any label.

In one picture:

    first components of every block -> missing ones filled in -+-> + clinical covariates -+
    all components of every block -----------------------------+-> age, stage, grade -----+-> features
"""

from dataclasses import dataclass

import numpy as np

from prime.arrays import Floats, Indices
from prime.methods.statistics.annotations import AnnotationModel, fit_annotations
from prime.methods.statistics.blocks import BlockEncoder, Blocks, Imputer, encode_blocks
from prime.methods.statistics.examples import Population
from prime.methods.statistics.within_type import Types, WithinType, fit_within_type

COVARIATES, ANNOTATIONS = "covariates", "annotations"  # the names of these two blocks


@dataclass(frozen=True)
class Annotations:
    """Annotations as features, each with standard deviation one among training patients.

    Attributes:
        model: predicts them.
        spread: (q,) of the predictions of training patients.
    """

    model: AnnotationModel
    spread: Floats

    def __call__(self, x: Floats) -> Floats:
        """(n, q) for patients whom the model was not fitted on, of `annotation_inputs` (n, p)."""
        return self.model(x) / self.spread


@dataclass(frozen=True)
class CovariateScale:
    """Clinical covariates as features: names, and what each is compared with within the cancer type."""

    names: tuple[str, ...]
    normalise: WithinType

    def __call__(self, columns: dict[str, Floats], types: Types) -> Floats:
        """(P, c), zero where a covariate is missing, from columns (P,) of patients of types (P,)."""
        nothing = np.full(len(types), np.nan)
        return self.normalise(np.stack([columns.get(name, nothing) for name in self.names], axis=1), types)


@dataclass(frozen=True)
class FeatureMap:
    """How patients become features: all that is fitted without outcomes.

    Attributes:
        encoders: of each source.
        counts: the first components of each source that the head reads; annotations are read from all.
        imputer: fills in missing ones of these; None where they stay zero.
        covariates: None where the clinical table gives no feature.
        annotations: None where none are predicted.
        owner: (p,) the block of each feature.
        scale: (p,) a block's scale: its weights are penalised by one over its square.
    """

    encoders: dict[str, BlockEncoder]
    counts: dict[str, int]
    imputer: Imputer | None
    covariates: CovariateScale | None
    annotations: Annotations | None
    owner: tuple[str, ...]
    scale: Floats

    def design(self, population: Population) -> "Design":
        """The features of patients whom nothing was fitted on."""
        return self.of_blocks(population, encode_blocks(population, self.encoders))

    def of_blocks(self, population: Population, blocks: Blocks, annotated: Floats | None = None) -> "Design":
        """The features of patients whose blocks are known; `annotated`: see `Design`."""
        covariates = np.zeros((len(population.types), 0))
        if self.covariates is not None:
            covariates = self.covariates(population.covariates, population.types)
        return Design(self, blocks, covariates, annotated)


@dataclass(frozen=True)
class Design:
    """Features of P patients, under any set of sources.

    Attributes:
        map: that makes them.
        blocks: of everyone, with all components.
        covariates: (P, c) within the type, zero where missing; c may be 0.
        annotated: (P, q) predicted annotations, out of fold of those whom the model was fitted on; None where
            nobody here trained it, or where nothing is predicted.
    """

    map: FeatureMap
    blocks: Blocks
    covariates: Floats
    annotated: Floats | None

    @property
    def scale(self) -> Floats:
        """(p,) of each feature's block."""
        return self.map.scale

    def training(self, rows: Indices) -> Floats:
        """Features (n, p) of labelled patients, with all that they have; they may be those of the fit."""
        x = filled(self.blocks.take(rows).first(self.map.counts), self.map.imputer)
        predicted = [] if self.annotated is None else [self.annotated[rows]]
        return np.concatenate([x, self.covariates[rows], *predicted], axis=1)

    def features(self, rows: Indices, sources: tuple[str, ...]) -> Floats:
        """Features (n, p) of other patients when no more than these sources may be seen."""
        blocks = self.blocks.take(rows).keep(sources)
        x = filled(blocks.first(self.map.counts), self.map.imputer)
        annotations = self.map.annotations
        predicted = [] if annotations is None else [annotations(annotation_inputs(blocks, x))]
        return np.concatenate([x, self.covariates[rows], *predicted], axis=1)


def filled(blocks: Blocks, imputer: Imputer | None) -> Floats:
    """The values (n, p) of blocks, with or without an imputer."""
    return blocks.values if imputer is None else imputer(blocks)


def annotation_inputs(blocks: Blocks, x: Floats) -> Floats:
    """What annotations are read from: all components, zero where missing, and what is filled in, x (n, p)."""
    return np.concatenate([blocks.values, x], axis=1)


def scale_covariates(population: Population) -> CovariateScale:
    """z scores within the type, from the training patients of a population that has covariates."""
    names, training = tuple(population.covariates), population.training
    values = np.stack([population.covariates[name][training] for name in names], axis=1)
    return CovariateScale(names, fit_within_type(values, population.types[training], "z"))


def predict_annotations(
    x: Floats, types: Types, annotations: Floats, penalty: Floats, training: Indices, seed: int
) -> tuple[Annotations, Floats] | None:
    """Annotations as features, and those of everyone; None where no training patient has any.

    The table (P, q) holds predictions out of fold of the training patients, plain ones of others.

    Args:
        x: (P, p) `annotation_inputs` of everyone; the rows of `training` count.
        types: (P,) cancer types.
        annotations: (P, q), NaN where unknown.
        penalty: (p,) of the squared weight of each column of x.
        training: rows.
        seed: of the parts for predictions out of fold.
    """
    model, predicted = fit_annotations(x[training], types[training], annotations[training], penalty, seed)
    spread = predicted.std(axis=0)
    if not spread.any():
        return None
    spread = np.where(spread > 0, spread, 1.0)
    table = model(x) / spread
    table[training] = predicted / spread
    return Annotations(model, spread), table

"""The features that a ridge over cohorts reads: blocks, and what is added to them without any label.

In one picture:

    blocks -> missing ones filled in -> + clinical covariates -> + age, stage, grade as blocks predict them
"""

from dataclasses import dataclass

import numpy as np

from prime.arrays import Floats, Indices
from prime.methods.statistics.annotations import AnnotationModel, fit_annotations, out_of_fold
from prime.methods.statistics.blocks import Blocks, Imputer
from prime.methods.statistics.within_type import Types, fit_within_type

COVARIATES, ANNOTATIONS = "covariates", "annotations"  # the names of these two blocks


@dataclass(frozen=True)
class Annotations:
    """Annotations as features, each with standard deviation one among training patients.

    Attributes:
        model: predicts them.
        spread: (q,) of the predictions of training patients.
        training: (P, q) predictions out of fold of those whom the model was fitted on, plain ones of others.
    """

    model: AnnotationModel
    spread: Floats
    training: Floats

    def __call__(self, x: Floats, types: Types) -> Floats:
        """(n, q) for patients whom the model was not fitted on."""
        return self.model(x, types) / self.spread


@dataclass(frozen=True)
class Design:
    """Features of P patients, under any set of sources.

    Attributes:
        blocks: of everyone.
        imputer: fills in missing blocks; None where they stay zero.
        covariates: (P, c) within the type, zero where missing; c may be 0.
        annotations: None where none are predicted.
        owner: (p,) the block of each feature.
        scale: (p,) a block's scale: its weights are penalised by one over its square.
    """

    blocks: Blocks
    imputer: Imputer | None
    covariates: Floats
    annotations: Annotations | None
    owner: tuple[str, ...]
    scale: Floats

    def training(self, rows: Indices) -> Floats:
        """Features (n, p) of labelled patients, with all that they have; they may be those of the fit."""
        x = filled(self.blocks.take(rows), self.imputer)
        predicted = [] if self.annotations is None else [self.annotations.training[rows]]
        return np.concatenate([x, self.covariates[rows], *predicted], axis=1)

    def features(self, rows: Indices, sources: tuple[str, ...]) -> Floats:
        """Features (n, p) of other patients when no more than these sources may be seen."""
        blocks = self.blocks.take(rows).keep(sources)
        x = filled(blocks, self.imputer)
        predicted = [] if self.annotations is None else [self.annotations(x, blocks.types)]
        return np.concatenate([x, self.covariates[rows], *predicted], axis=1)


def filled(blocks: Blocks, imputer: Imputer | None) -> Floats:
    """The values (n, p) of blocks, with or without an imputer."""
    return blocks.values if imputer is None else imputer(blocks)


def within_type(values: Floats, types: Types, training: Indices) -> Floats:
    """Numbers (P, c), NaN where missing, as z scores within the type, from the rows of `training`."""
    return fit_within_type(values[training], types[training], "z")(values, types)


def predict_annotations(
    x: Floats, types: Types, annotations: Floats, scale: Floats, training: Indices, seed: int
) -> Annotations | None:
    """Annotations as features; None where no training patient has any.

    Args:
        x: (P, p) filled blocks of everyone; the rows of `training` count.
        types: (P,) cancer types.
        annotations: (P, q), NaN where unknown.
        scale: (p,) of the columns of x.
        training: rows.
        seed: of the parts for predictions out of fold.
    """
    own = x[training], types[training], annotations[training], scale
    predicted = out_of_fold(*own, seed)
    spread = predicted.std(axis=0)
    if not spread.any():
        return None
    spread = np.where(spread > 0, spread, 1.0)
    model = fit_annotations(*own)
    table = model(x, types) / spread
    table[training] = predicted / spread
    return Annotations(model, spread, table)

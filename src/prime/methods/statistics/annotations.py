"""Clinical annotations (age, stage, grade) predicted from features: never an outcome.

One ridge regression over all cancer types, of annotations standardised within the type. They are known for
far more patients than outcomes are, so it can read more components of a source than a prognostic head can.
Patients whom it is fitted on get predictions from models that have not seen them, as new patients do.

Source: Hoerl and Kennard, "Ridge regression", Technometrics 1970.
"""

from dataclasses import dataclass

import numpy as np
from scipy.linalg import cho_factor, cho_solve

from prime.arrays import Flags, Floats, Indices
from prime.methods.statistics.within_type import LEAST_PATIENTS, Types

PARTS = 4  # for predictions out of fold


@dataclass(frozen=True)
class AnnotationModel:
    """From features (n, p) to q annotations in standard deviations of the cancer type.

    weight: (p, q), zero where too few patients have an annotation.
    """

    weight: Floats

    def __call__(self, x: Floats) -> Floats:
        """Annotations (n, q) of features x (n, p)."""
        return x @ self.weight


def ridge_weights(gram: Floats, x: Floats, target: Floats, penalty: Floats) -> Floats:
    """Weights (p,) of features x (n, p) on a target (n,), without an intercept.

    `gram` (p, p) is x'x; `penalty` (p,) of each squared weight, against the sum of squares.
    """
    return cho_solve(cho_factor(gram + np.diag(penalty)), x.T @ target)


def fit_annotations(
    x: Floats, types: Types, annotations: Floats, penalty: Floats, seed: int
) -> tuple[AnnotationModel, Floats]:
    """The model of annotations (n, q), NaN where unknown, and predictions (n, q) of the same patients.

    Each prediction is of a model of the other three of four parts, drawn with the seed. Of an annotation only
    types in which 20 patients have it tell anything.

    Args:
        x: (n, p) features, about zero on average within a type.
        types: (n,) cancer types.
        annotations: numbers.
        penalty: (p,) above zero; see `ridge_weights`.
        seed: of the parts.
    """
    part = np.random.default_rng(seed).permutation(len(x)) % PARTS
    weight, held_out = np.zeros((x.shape[1], annotations.shape[1])), np.zeros(annotations.shape)
    for column, values in enumerate(annotations.T):
        known = _telling(values, types)
        if not known.any():
            continue
        parts = [np.flatnonzero(known & (part == number)) for number in range(PARTS)]
        grams = [x[rows].T @ x[rows] for rows in parts]
        whole = np.sum(grams, axis=0)
        weight[:, column] = _weights(whole, x, types, values, np.flatnonzero(known), penalty)
        for number in range(PARTS):
            rest = np.flatnonzero(known & (part != number))
            own = _weights(whole - grams[number], x, types, values, rest, penalty)
            held_out[part == number, column] = x[part == number] @ own
    return AnnotationModel(weight), held_out


def _telling(values: Floats, types: Types) -> Flags:
    """(n,): who has the annotation, of types in which enough do."""
    known = ~np.isnan(values)
    names, counts = np.unique(types[known], return_counts=True)
    return known & np.isin(types, names[counts >= LEAST_PATIENTS])


def _weights(gram: Floats, x: Floats, types: Types, values: Floats, rows: Indices, penalty: Floats) -> Floats:
    """Weights (p,) from the patients of these rows, whose features have this Gram matrix."""
    return ridge_weights(gram, x[rows], _standardised(values[rows], types[rows]), penalty)


def _standardised(values: Floats, types: Types) -> Floats:
    """Values (n,) in standard deviations of their type; zero where all agree."""
    result = np.zeros(len(values))
    for name in np.unique(types):
        own = types == name
        centred = values[own] - values[own].mean()
        spread = centred.std()
        result[own] = centred / spread if spread > 0 else 0.0
    return result

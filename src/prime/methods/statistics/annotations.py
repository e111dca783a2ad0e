"""Clinical annotations (age, stage, grade) predicted from blocks: never an outcome, known for many patients.

A linear model over all cancer types with shared weights and each type's deviation. Patients whom it is fitted
on get predictions from models that have not seen them, as those whom it never saw do.
"""

from dataclasses import dataclass

import numpy as np

from prime.arrays import Floats
from prime.methods.statistics.shared_weights import linear_evidence, shared_weights
from prime.methods.statistics.within_type import LEAST_PATIENTS, Types, fit_within_type

SHARED, DEVIATION = 20.0, 200.0  # penalties
PARTS = 4  # for predictions out of fold


@dataclass(frozen=True)
class AnnotationModel:
    """Weights from blocks (p,) to q standardised annotations.

    Attributes:
        shared: (p, q), for types without a known annotation.
        own: (p, q) of each type.
    """

    shared: Floats
    own: dict[str, Floats]

    def __call__(self, x: Floats, types: Types) -> Floats:
        """Annotations (n, q) of blocks x (n, p) of patients of types (n,)."""
        result = x @ self.shared
        for name in np.unique(types):
            rows = types == name
            result[rows] = x[rows] @ self.own.get(str(name), self.shared)
        return result


def fit_annotations(x: Floats, types: Types, annotations: Floats, scale: Floats) -> AnnotationModel:
    """The model of annotations (n, q), NaN where unknown, from blocks x (n, p); scale (p,) of the columns.

    Annotations are standardised within the type. A type in which fewer than 20 patients have one tells
    nothing of it.
    """
    shared = np.zeros((x.shape[1], annotations.shape[1]))
    own = {str(name): shared.copy() for name in np.unique(types)}
    for column, values in enumerate(annotations.T):
        known = np.flatnonzero(~np.isnan(values))
        names, counts = np.unique(types[known], return_counts=True)
        known = known[np.isin(types[known], names[counts >= LEAST_PATIENTS])]
        if not len(known):
            continue
        target = fit_within_type(values[known, None], types[known], "z")(values[known, None], types[known])
        groups = {
            str(name): linear_evidence(x[known][rows], target[rows, 0])
            for name in np.unique(types[known])
            if (rows := types[known] == name).any()
        }
        shared[:, column], found = shared_weights(groups, SHARED, DEVIATION, scale)
        for name in own:
            own[name][:, column] = found.get(name, shared[:, column])
    return AnnotationModel(shared, own)


def out_of_fold(x: Floats, types: Types, annotations: Floats, scale: Floats, seed: int) -> Floats:
    """Predicted annotations (n, q) of the patients themselves, each from three quarters of the others."""
    part = np.random.default_rng(seed).permutation(len(x)) % PARTS
    result = np.zeros(annotations.shape)
    for number in range(PARTS):
        held = part == number
        model = fit_annotations(x[~held], types[~held], annotations[~held], scale)
        result[held] = model(x[held], types[held])
    return result

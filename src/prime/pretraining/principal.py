"""Principal components of a source within cancer types: label-free targets of the retention loss."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

LEAST_PATIENTS = 20


@dataclass(frozen=True)
class LinearSummary:
    """A whitened linear summary of a source: (x - centre of its cancer type) @ loadings.

    Attributes:
        centre: (T, d) float32, the mean of scaled features in each of T cancer types; the mean of everyone
            for a type without a patient.
        loadings: (d, C) float32; each component has mean zero and unit variance within cancer types.
    """

    centre: NDArray[np.float32]
    loadings: NDArray[np.float32]


@dataclass(frozen=True)
class TypeMoments:
    """Sums over patients, of which components are made: they add up, so that nobody's rows are kept.

    Attributes:
        count: (T,) patients of each cancer type.
        total: (T, d) float64, sums of their vectors.
        products: (d, d) float64, the sum of all vectors' outer products with themselves.
    """

    count: NDArray[np.int64]
    total: NDArray[np.float64]
    products: NDArray[np.float64]

    def add(self, means: NDArray[np.float64], types: NDArray[np.int64]) -> None:
        """Add patients: vectors (n, d), and their cancer types (n,) by number."""
        member = (types == np.arange(len(self.count))[:, None]).astype(np.float64)  # (T, n)
        self.count[:] += member.sum(axis=1).astype(np.int64)
        self.total[:] += member @ means
        self.products[:] += means.T @ means


def no_moments(type_count: int, dim: int) -> TypeMoments:
    """Of nobody."""
    return TypeMoments(
        np.zeros(type_count, dtype=np.int64), np.zeros((type_count, dim)), np.zeros((dim, dim))
    )


def fit_components(moments: TypeMoments, count: int) -> LinearSummary:
    """Leading `count` components of the patients' deviations from the mean of their cancer type.

    Fewer components where the features or the patients do not support them; none with fewer than 20 patients.
    """
    patients = int(moments.count.sum())
    pooled = moments.total.sum(axis=0) / max(patients, 1)
    own = moments.total / np.maximum(moments.count, 1)[:, None]
    centre = np.where(moments.count[:, None] > 0, own, pooled)
    if patients < LEAST_PATIENTS:
        return LinearSummary(centre.astype(np.float32), np.zeros((centre.shape[1], 0), dtype=np.float32))
    within = (moments.products - (moments.total.T @ own)) / patients
    values, vectors = np.linalg.eigh(within)
    values, vectors = values[::-1][:count], vectors[:, ::-1][:, :count]
    strong = values > 1e-6 * max(float(values[0]), 1e-12)
    loadings = vectors[:, strong] / np.sqrt(values[strong])
    return LinearSummary(centre.astype(np.float32), loadings.astype(np.float32))

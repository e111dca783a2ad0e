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


def patient_means(rows: NDArray[np.float32], owner: NDArray[np.int64], count: int) -> NDArray[np.float64]:
    """Mean row of each patient: rows (R, d), owner (R,) in [0, count). Returns (count, d)."""
    sums = np.zeros((count, rows.shape[1]))
    np.add.at(sums, owner, rows)
    return sums / np.maximum(np.bincount(owner, minlength=count), 1)[:, None]


def fit_components(
    means: NDArray[np.float64], types: NDArray[np.int64], count: int, type_count: int
) -> LinearSummary:
    """Leading `count` components of the patients' deviations from the mean of their cancer type.

    means (n, d) scaled features, types (n,) cancer types by number, below `type_count`. Fewer components
    where the features or the patients do not support them; none with fewer than 20 patients.
    """
    pooled = means.mean(axis=0) if len(means) else np.zeros(means.shape[1])
    centre = np.tile(pooled, (type_count, 1))
    for number in np.unique(types):
        centre[number] = means[types == number].mean(axis=0)
    if len(means) < LEAST_PATIENTS:
        return LinearSummary(centre.astype(np.float32), np.zeros((means.shape[1], 0), dtype=np.float32))
    residual = means - centre[types]
    values, vectors = np.linalg.eigh(residual.T @ residual / len(residual))
    values, vectors = values[::-1][:count], vectors[:, ::-1][:, :count]
    strong = values > 1e-6 * max(float(values[0]), 1e-12)
    loadings = vectors[:, strong] / np.sqrt(values[strong])
    return LinearSummary(centre.astype(np.float32), loadings.astype(np.float32))

"""One Gaussian of all blocks of features, fitted where blocks are missing, and what it expects of them.

Source: Dempster, Laird and Rubin, "Maximum likelihood from incomplete data via the EM algorithm", JRSS B
1977. Means are zero: every block is normalised within the cancer type before.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve

from prime.arrays import Floats

ROUNDS = 12
FIT_RIDGE, FILL_RIDGE = 0.02, 0.05  # added to the variances of what is there, to the share of their mean


def fit_covariance(x: Floats, there: NDArray[np.bool_], rounds: int = ROUNDS) -> Floats:
    """The covariance (p, p) of features x (n, p), of which `there` (n, p) are known, by `rounds` of EM."""
    filled = np.where(there, x, 0.0)
    known = np.maximum(there.sum(axis=0), 1)
    covariance = np.diag(np.maximum((filled**2).sum(axis=0) / known, 1e-12))
    groups = _by_pattern(there)
    for _ in range(rounds):
        total = np.zeros_like(covariance)
        for seen, rows in groups:
            complete, left = _expect(covariance, filled[rows], seen, FIT_RIDGE)
            total += complete.T @ complete
            total[np.ix_(~seen, ~seen)] += len(rows) * left
        covariance = total / len(x)
    return covariance


def fill_missing(covariance: Floats, x: Floats, there: NDArray[np.bool_]) -> Floats:
    """x (n, p) with its conditional mean, given what is `there` (n, p), where it is missing."""
    filled = np.where(there, x, 0.0)
    for seen, rows in _by_pattern(there):
        filled[rows] = _expect(covariance, filled[rows], seen, FILL_RIDGE)[0]
    return filled


def _by_pattern(there: NDArray[np.bool_]) -> list[tuple[NDArray[np.bool_], NDArray[np.int64]]]:
    """The distinct rows of `there`, and who has each."""
    patterns, number = np.unique(there, axis=0, return_inverse=True)
    return [(seen, np.flatnonzero(number.ravel() == i)) for i, seen in enumerate(patterns)]


def _expect(
    covariance: Floats, filled: Floats, seen: NDArray[np.bool_], ridge: float
) -> tuple[Floats, Floats]:
    """Rows (n, p) with the conditional mean where not `seen` (p,), and its covariance there."""
    hidden = ~seen
    if not seen.any() or not hidden.any():
        return filled, covariance[np.ix_(hidden, hidden)]
    own = covariance[np.ix_(seen, seen)]
    own = own + ridge * np.trace(own) / len(own) * np.eye(len(own))
    cross = covariance[np.ix_(seen, hidden)]
    weight = cho_solve(cho_factor(own), cross)  # (seen, hidden)
    result = filled.copy()
    result[:, hidden] = filled[:, seen] @ weight
    return result, covariance[np.ix_(hidden, hidden)] - cross.T @ weight

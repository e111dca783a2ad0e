"""How predictions change when the model is fitted again on other draws of its patients: pure functions.

Source: Riley and Collins, "Stability of clinical prediction models developed using statistical or machine
learning methods", Biom. J. 2023.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from prime.arrays import Floats
from prime.evaluation.argument_checks import check_level, check_probabilities, finite_matrix, finite_vector


@dataclass(frozen=True)
class Instability:
    """Of each patient (n,), over the bootstrap models.

    Attributes:
        low, high: interval of the predictions.
        error: mean absolute difference from the original model's prediction.
        mean_error: its mean over patients.
    """

    low: Floats
    high: Floats
    error: Floats
    mean_error: float


def instability(
    original: NDArray[np.floating], drawn: NDArray[np.floating], level: float = 0.95
) -> Instability:
    """Spread of each patient's predictions around the original one.

    Args:
        original: (n,) predictions of the model itself.
        drawn: (replicates, n), the same patients' predictions by the models of the draws.
        level: coverage of the interval, in (0, 1).

    Raises:
        ValueError: shapes that disagree, no replicate, values that are not finite, or level outside (0, 1).
    """
    check_level(level)
    first, again = _arrays(original, drawn)
    low, high = np.quantile(again, [(1.0 - level) / 2.0, (1.0 + level) / 2.0], axis=0)
    error: Floats = np.abs(again - first).mean(axis=0)
    return Instability(low, high, error, float(error.mean()) if len(error) else float("nan"))


def changed_decisions(
    original: NDArray[np.floating], drawn: NDArray[np.floating], threshold: float
) -> Floats:
    """(n,) share of the draws that put a patient on the other side of the threshold.

    original (n,) and drawn (replicates, n) are probabilities; at the threshold one acts. Riley and
    Collins call it the classification instability index.

    Raises:
        ValueError: as `instability`; a probability or a threshold outside [0, 1].
    """
    first, again = _arrays(original, drawn)
    for values, name in ((first, "original"), (again, "drawn"), (np.array([threshold]), "threshold")):
        check_probabilities(values, name)
    return ((again >= threshold) != (first >= threshold)).mean(axis=0)


def _arrays(original: NDArray[np.floating], drawn: NDArray[np.floating]) -> tuple[Floats, Floats]:
    first = finite_vector(original, None, "original")
    again = np.asarray(drawn, dtype=np.float64)
    replicates = again.shape[0] if again.ndim == 2 else 0
    if not replicates:
        raise ValueError(f"drawn must be (replicates, {len(first)}), found {again.shape}")
    return first, finite_matrix(again, (replicates, len(first)), "drawn")

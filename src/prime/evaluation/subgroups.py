"""A metric within groups of patients, each with an interval. Pure functions of arrays."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from prime.evaluation.metrics import Interval, Score, bootstrap_interval


@dataclass(frozen=True)
class GroupScore:
    """A metric within one group: the score, and its bootstrap interval over the group's patients."""

    group: str
    score: Score
    interval: Interval


def within_groups(
    metric: Callable[..., Score],
    groups: NDArray[np.str_],
    *arrays: NDArray[np.generic],
    replicates: int = 1000,
    seed: int = 0,
) -> list[GroupScore]:
    """The metric of each group alone, in the order of their names; the empty name is no group.

    Args:
        metric: called with the rows of a group of each array, in the order given.
        groups: (n,) the name of each patient's group.
        arrays: each (n, ...), one row a patient.
        replicates: draws of the interval; 0 draws none, and its ends are NaN.
        seed: of the draws; each group has its own, which does not depend on the others.

    Raises:
        ValueError: lengths that disagree.
    """
    names = np.asarray(groups)
    if any(len(array) != len(names) for array in arrays):
        raise ValueError(f"groups {names.shape} must be as long as the other arrays")
    found: list[GroupScore] = []
    for name in sorted(set(names.tolist()) - {""}):
        rows = [array[names == name] for array in arrays]
        score, interval = metric(*rows), Interval(float("nan"), float("nan"), 0, 0)
        if replicates and not np.isnan(score.value):
            interval = bootstrap_interval(metric, *rows, replicates=replicates, seed=seed)
        found.append(GroupScore(str(name), score, interval))
    return found

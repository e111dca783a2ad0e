"""Which patients meet in a batch: over all cancer types, within one, or a share of each."""

import numpy as np
from numpy.typing import NDArray

from prime.arrays import Indices
from prime.seeds import named_seed


def _even_batches(patients: Indices, size: int) -> list[Indices]:
    """Near-equal batches of at most `size`, so that the number of negatives hardly varies."""
    if len(patients) == 0:
        return []
    parts: list[Indices] = np.array_split(patients, -(-len(patients) // size))
    return parts


def _without_singles(batches: list[Indices]) -> list[Indices]:
    """Single patients moved into the last batch of several; where there is none, all singles together."""
    several = [batch for batch in batches if len(batch) > 1]
    singles = [batch for batch in batches if len(batch) == 1]
    if singles:
        several[-1:] = [np.concatenate([*several[-1:], *singles])]
    return several


def epoch_batches(
    patients: Indices, cohort_codes: NDArray[np.int64], size: int, within_type: float, seed: int, epoch: int
) -> list[Indices]:
    """All patients once, in batches of at most `size`, the same for the same seed and epoch.

    A batch of one would have no negative: its patient joins another batch.

    patients: positions; cohort_codes (P,): the cancer type of every position. A share `within_type` of the
    patients meets only its own cancer type; a type's left-overs of fewer than 8 join the mixed batches.
    """
    rng = np.random.default_rng(named_seed(seed, "batches", epoch))
    order = rng.permutation(patients)
    split = round(within_type * len(order))
    within, mixed = order[:split], [order[split:]]
    batches: list[Indices] = []
    for code in np.unique(cohort_codes[within]):
        members = within[cohort_codes[within] == code]
        if len(members) < 8:
            mixed.append(members)
        else:
            batches += _even_batches(members, size)
    batches += _even_batches(rng.permutation(np.concatenate(mixed)), size)
    return _without_singles([batches[i] for i in rng.permutation(len(batches))])

"""The batches of an epoch: of all cancer types mixed, of one cancer type each, or some of both."""

import numpy as np
from numpy.typing import NDArray

from prime.arrays import Indices
from prime.seeds import named_seed


def _even_batches(patients: Indices, size: int) -> list[Indices]:
    """Batches of at most `size` and of nearly equal size, so that all have about as many negatives."""
    if len(patients) == 0:
        return []
    parts: list[Indices] = np.array_split(patients, -(-len(patients) // size))
    return parts


def _without_singles(batches: list[Indices]) -> list[Indices]:
    """Batches of one patient joined to the last larger batch, or to each other where there is none."""
    several = [batch for batch in batches if len(batch) > 1]
    singles = [batch for batch in batches if len(batch) == 1]
    if singles:
        several[-1:] = [np.concatenate([*several[-1:], *singles])]
    return several


def epoch_batches(
    patients: Indices, cohort_codes: NDArray[np.int64], size: int, within_type: float, seed: int, epoch: int
) -> list[Indices]:
    """All patients once, in batches of at most `size`, the same for the same seed and epoch.

    A batch of one would have no negative: its patient joins another batch. A share `within_type` of the
    patients is put into batches of a single cancer type; a type with fewer than 8 of them joins the mixed
    batches.

    Args:
        patients: (n,) positions in the store.
        cohort_codes: (P,) int64, the cancer type of every patient of the store.
        size: patients in a batch.
        within_type: in [0, 1].
        seed, epoch: of the random order.

    Returns:
        Positions, (b,) a batch.
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

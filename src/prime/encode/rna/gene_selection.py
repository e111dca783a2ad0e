"""Which genes are kept, the same ones for every patient: `--slice`.

The functions return positions in the list of genes, sorted, int64.
"""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

FIRST, RANDOM, VARIANCE, MEAN, ALL = "first", "random", "variance_topk", "all_mean", "all"


def first_genes(genes: int, count: int) -> NDArray[np.int64]:
    """The first `count` of `genes` genes (the published list is sorted by id: an arbitrary choice)."""
    return np.arange(min(genes, count), dtype=np.int64)


def random_genes(genes: int, count: int, seed: int) -> NDArray[np.int64]:
    """`count` of `genes` genes, drawn without replacement."""
    drawn = np.random.default_rng(seed).choice(genes, min(genes, count), replace=False)
    return np.sort(drawn).astype(np.int64)


def most_variable_genes(profiles: Iterable[NDArray[np.float64]], count: int) -> NDArray[np.int64]:
    """The `count` genes whose log10(1 + TPM) has the largest variance over training patients.

    `profiles` are the patients' TPM (G,); a missing gene counts as 0. Of genes with equal variance the
    earlier one is taken. Uses Welford's recurrence, so that one profile is in memory at a time.
    Raises ValueError for fewer than two profiles.
    """
    number = 0
    mean = spread = np.zeros(0)
    for tpm in profiles:
        value = np.log10(1.0 + np.nan_to_num(tpm))
        number += 1
        if number == 1:
            mean, spread = value, np.zeros_like(value)
            continue
        step = value - mean
        mean = mean + step / number
        spread = spread + step * (value - mean)
    if number < 2:
        raise ValueError("a variance needs two profiles")
    return np.sort(np.argsort(-spread, kind="stable")[:count]).astype(np.int64)

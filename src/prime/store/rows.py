"""Which rows of a source belong to whom: gathered, drawn, or taken a bounded number at a time.

`index` (P, 2) int64 is that of a source: where the rows of each patient start, and how many there are.
"""

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray

from prime.arrays import Floats, Indices

CHUNK_VALUES = 2**22  # numbers that are read at a time: 16 MB as float32
MANY_ROWS = 8  # of a patient, for sums of their own


def gather_rows(index: Indices, patients: Indices) -> Indices:
    """Numbers of the rows of `patients`, patient after patient."""
    return rows_at(index, patients, np.arange(int(index[patients, 1].sum())))


def rows_at(index: Indices, patients: Indices, places: Indices) -> Indices:
    """Numbers of the rows at `places` (n,), in a count of the rows of `patients`, patient after patient."""
    start, length = index[patients, 0], index[patients, 1]
    ends = np.cumsum(length)
    owner = np.searchsorted(ends, places, side="right")
    return start[owner] + places - (ends - length)[owner]


def draw_rows(index: Indices, patients: Indices, most: int, seed: int) -> Indices:
    """Numbers of the rows of `patients`, at most `most` of them, drawn with `seed`, in order.

    No list of all rows is made.
    """
    total = int(index[patients, 1].sum())
    if total <= most:
        return gather_rows(index, patients)
    places = np.random.default_rng(seed).choice(total, most, replace=False)
    return rows_at(index, patients, np.sort(places))


def patient_chunks(index: Indices, patients: Indices, dim: int) -> Iterator[slice]:
    """Slices of `patients` of about CHUNK_VALUES numbers of a source `dim` wide, one patient at least."""
    ends = np.cumsum(index[patients, 1])
    first = 0
    while first < len(patients):
        before = int(ends[first - 1]) if first else 0
        last = int(np.searchsorted(ends, before + max(1, CHUNK_VALUES // dim), side="right"))
        last = max(last, first + 1)
        yield slice(first, last)
        first = last


def sums_by_patient(rows: NDArray[np.generic], length: Indices) -> Floats:
    """Sums (n, d) float64 of consecutive rows (R, d), of which `length` (n,) belong to each patient."""
    sums = np.zeros((len(length), rows.shape[1]))
    some = np.flatnonzero(length)
    if len(rows) < MANY_ROWS * len(some):
        start = np.cumsum(length) - length
        sums[some] = np.add.reduceat(rows, start[some], axis=0, dtype=np.float64)
        return sums
    whole = torch.from_numpy(rows)  # torch converts from float16, and adds, several times as fast
    whole = whole if whole.dtype == torch.float64 else whole.float()
    for patient, own in zip(some, whole.split(length[some].tolist()), strict=True):
        sums[patient] = own.sum(dim=0, dtype=torch.float64).numpy()
    return sums

"""Matrices of which some rows are read at a time: dense or sparse, of an HDF5 file or in memory."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import h5py
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import sparse

from prime.arrays import Flags, Floats, Indices
from prime.cohort.large_matrix import CHUNK_VALUES, FLOAT32_MAX
from prime.cohort.patient_rows import RowsByPatient
from prime.errors import InputError


class Rows(Protocol):
    """A matrix of which some rows are read at a time."""

    shape: tuple[int, ...]

    def dense(self, start: int, stop: int) -> Floats:
        """These rows as float64, (stop - start, d); valid while the file is open."""
        ...


@dataclass(frozen=True)
class Kept:
    """What is used of a matrix.

    Attributes:
        rows: (n,) rows, rising.
        ids: (n,) their patients.
        columns: (d,) columns.
        names: (d,) their names.
    """

    rows: Indices
    ids: "pd.Series[str]"
    columns: Indices
    names: list[str]

    def only(self, places: Indices, columns: Flags) -> "Kept":
        """Of these the rows at `places`, and the columns (d,) that are True."""
        names = [name for name, there in zip(self.names, columns, strict=True) if there]
        return Kept(self.rows[places], self.ids.iloc[places], self.columns[columns], names)


def scan(matrix: Rows, kept: Kept, into: NDArray[np.float32] | None) -> tuple[Flags, Flags]:
    """Which rows (n,) and columns (d,) hold a number; the numbers are copied into an array (n, d) if given.

    Raises InputError for a number that is infinite or too large for float32.
    """
    row_known, known = np.zeros(len(kept.rows), dtype=bool), np.zeros(len(kept.columns), dtype=bool)
    height = max(1, CHUNK_VALUES // matrix.shape[1])
    for start in range(0, matrix.shape[0], height):
        stop = min(start + height, matrix.shape[0])
        part = slice(*np.searchsorted(kept.rows, (start, stop)).tolist())
        if part.start == part.stop:
            continue
        block = matrix.dense(start, stop)[kept.rows[part] - start][:, kept.columns]
        _require_finite(block, kept, part.start)
        there = ~np.isnan(block)
        row_known[part] = there.any(axis=1)
        known |= there.any(axis=0)
        if into is not None:
            into[part] = block
    return row_known, known


def stream(matrix: Rows, kept: Kept, average: bool) -> Iterator[tuple[str, NDArray[np.float32]]]:
    """Yield each patient, sorted, with its rows (k, d) or their mean; few rows are dense at a time."""
    order = np.argsort(pd.factorize(kept.ids, sort=True)[0], kind="stable")
    rows, ids = kept.rows[order], kept.ids.iloc[order]
    firsts = np.flatnonzero(np.r_[True, ids.to_numpy()[1:] != ids.to_numpy()[:-1]])
    height = max(1, CHUNK_VALUES // matrix.shape[1])
    start = 0
    while start < len(rows):
        ends = np.r_[firsts[firsts > start], len(rows)]
        stop = int(ends[max(0, np.searchsorted(ends, start + height, side="right") - 1)])
        block = _gathered(matrix, rows[start:stop])[:, kept.columns].astype(np.float32)
        yield from RowsByPatient(ids.iloc[start:stop], np.arange(stop - start), block, slice(None), average)
        start = stop


def _gathered(matrix: Rows, rows: Indices) -> Floats:
    """Rows of any order, those that follow each other read together."""
    ends = np.r_[np.flatnonzero(np.diff(rows) != 1) + 1, len(rows)].tolist()
    starts = [0, *ends[:-1]]
    runs = [matrix.dense(int(rows[a]), int(rows[b - 1]) + 1) for a, b in zip(starts, ends, strict=True)]
    return np.concatenate(runs)


def real_rows(block: NDArray[Any]) -> NDArray[np.float32]:
    """The rows (k, d) of a patient (n, d) that are not NaN all over."""
    with np.errstate(over="ignore"):
        values = np.asarray(block, dtype=np.float32)
    return values[~np.isnan(values).all(axis=1)]


def _require_finite(block: Floats, kept: Kept, first: int) -> None:
    bad = np.argwhere(np.abs(block) > FLOAT32_MAX)
    if len(bad):
        row, column = bad[0]
        number = int(kept.rows[first + row]) + 1
        raise InputError(
            f"{kept.names[column]!r} of row {number} (patient {kept.ids.iloc[first + row]}) is "
            f"{block[row, column]:g}; use a finite number that fits float32, or NaN where it is missing"
        )


class ArrayRows:
    """Rows of an array in memory."""

    def __init__(self, values: Floats) -> None:
        self._values = values
        self.shape: tuple[int, ...] = values.shape

    def dense(self, start: int, stop: int) -> Floats:
        """As of Rows."""
        return self._values[start:stop]


class DenseRows:
    """Rows of an array of the file."""

    def __init__(self, data: h5py.Dataset) -> None:
        self._data = data
        self.shape: tuple[int, ...] = tuple(int(n) for n in data.shape)

    def dense(self, start: int, stop: int) -> Floats:
        """As of Rows."""
        return np.asarray(self._data[start:stop], dtype=np.float64)


class CsrRows:
    """Rows of a sparse matrix that is stored row by row; the file holds what is not asked for."""

    def __init__(self, group: h5py.Group) -> None:
        self.shape: tuple[int, ...] = _shape(group)
        self._indptr, self._indices, self._data = _parts(group, self.shape[0])

    def dense(self, start: int, stop: int) -> Floats:
        """As of Rows."""
        first, last = int(self._indptr[start]), int(self._indptr[stop])
        columns = _within(self._indices[first:last], self.shape[1])
        values = np.asarray(self._data[first:last], dtype=np.float64)
        parts = (values, columns, self._indptr[start : stop + 1] - first)
        return sparse.csr_matrix(parts, shape=(stop - start, self.shape[1])).toarray()


class CscRows:
    """Rows of a sparse matrix that is stored column by column, which is held in memory, sparse."""

    def __init__(self, group: h5py.Group) -> None:
        self.shape: tuple[int, ...] = _shape(group)
        indptr, indices, data = _parts(group, self.shape[1])
        rows = _within(indices[:], self.shape[0])
        values = np.asarray(data[:], dtype=np.float64)
        self._rows = sparse.csc_matrix((values, rows, indptr), shape=self.shape).tocsr()

    def dense(self, start: int, stop: int) -> Floats:
        """As of Rows."""
        return self._rows[start:stop].toarray()


def _shape(group: h5py.Group) -> tuple[int, int]:
    shape = [int(n) for n in group.attrs.get("shape", [])]
    if len(shape) != 2:
        raise InputError(f"{group.name}: a sparse matrix without its shape; write the file again")
    return shape[0], shape[1]


def _parts(group: h5py.Group, count: int) -> tuple[NDArray[np.int64], h5py.Dataset, h5py.Dataset]:
    """The starts of `count` rows or columns, and the places and values that they cut into pieces."""
    found = [group.get(name) for name in ("indptr", "indices", "data")]
    starts, indices, data = found
    if not all(isinstance(one, h5py.Dataset) and one.ndim == 1 and one.dtype.kind in "fiub" for one in found):
        raise InputError(f"{group.name}: no sparse matrix of numbers; write the file again")
    assert isinstance(starts, h5py.Dataset)
    assert isinstance(indices, h5py.Dataset)
    assert isinstance(data, h5py.Dataset)
    ends = np.asarray(starts[:], dtype=np.int64)
    whole = len(ends) == count + 1 and ends[0] == 0 and bool((np.diff(ends) >= 0).all())
    if not whole or not ends[-1] == len(indices) == len(data):
        raise InputError(f"{group.name}: a sparse matrix whose parts do not fit; write the file again")
    return ends, indices, data


def _within(places: NDArray[Any], limit: int) -> NDArray[np.int64]:
    """Places as whole numbers. Raises InputError where one is not below the limit."""
    found = np.asarray(places, dtype=np.int64)
    if found.size and not (found.min() >= 0 and found.max() < limit):
        raise InputError("a sparse matrix with a place outside its shape; write the file again")
    return found

"""The rows of a source by patient: pairs, or many patients together."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from prime.arrays import Indices


@dataclass(frozen=True)
class RowBlock:
    """Patients and their rows, one after another.

    Attributes:
        patients: n ids.
        lengths: (n,) how many rows each has, at least one.
        rows: (R, d) float32.
    """

    patients: list[str]
    lengths: NDArray[np.int64]
    rows: NDArray[np.float32]


def blocks_of(pairs: Iterable[tuple[str, NDArray[np.float32]]], values: int) -> Iterator[RowBlock]:
    """Patients and their rows, of about so many `values` together: calls for each take longer than work."""
    patients: list[str] = []
    parts: list[NDArray[np.float32]] = []
    size = 0
    for patient, rows in pairs:
        patients.append(patient)
        parts.append(rows)
        size += rows.size
        if size >= values:
            yield _block(patients, parts)
            patients, parts, size = [], [], 0
    if patients:
        yield _block(patients, parts)


def _block(patients: list[str], parts: list[NDArray[np.float32]]) -> RowBlock:
    rows = np.concatenate(parts) if len(parts) > 1 else parts[0]
    return RowBlock(patients, np.array([len(own) for own in parts], dtype=np.int64), rows)


class RowsByPatient:
    """Pairs of each patient, once and sorted, and its rows (k, d) float32, or their mean (1, d)."""

    def __init__(
        self,
        ids: "pd.Series[str]",
        rows: Indices,
        values: NDArray[np.float32],
        columns: slice | Indices,
        average: bool,
    ) -> None:
        """`rows` (n,) are those of values that belong to `ids` (n,); `columns` of them are taken."""
        codes, unique = pd.factorize(ids, sort=True)
        self.patients = [str(name) for name in unique]
        self.places = rows[np.argsort(codes, kind="stable")]
        self.lengths = np.bincount(codes, minlength=len(unique))
        self.values, self.columns, self.average = np.asarray(values), columns, average
        self._pairs = self._read()

    def __iter__(self) -> Iterator[tuple[str, NDArray[np.float32]]]:
        return self._pairs

    def __next__(self) -> tuple[str, NDArray[np.float32]]:
        return next(self._pairs)

    def _read(self) -> Iterator[tuple[str, NDArray[np.float32]]]:
        start, places = 0, self.places.tolist()
        for patient, length in zip(self.patients, self.lengths.tolist(), strict=True):
            first = places[start]
            part = slice(first, first + 1) if length == 1 else self.places[start : start + length]
            own = self._taken(part)
            yield patient, _nan_mean(own) if self.average and length > 1 else own
            start += length

    def _taken(self, rows: slice | Indices) -> NDArray[np.float32]:
        own = self.values[rows]
        return own if isinstance(self.columns, slice) else own[:, self.columns]

    def blocks(self, values: int) -> Iterator[RowBlock]:
        """The same, of about so many `values` at a time: many patients of a row each take few calls."""
        if self.average and (self.lengths > 1).any():
            yield from blocks_of(self, values)
            return
        ends, first = np.cumsum(self.lengths), 0
        height = max(1, values // max(1, self.values.shape[1]))
        while first < len(ends):
            before = int(ends[first - 1]) if first else 0
            last = max(first + 1, int(np.searchsorted(ends, before + height, side="right")))
            rows = self._taken(self.places[before : int(ends[last - 1])])
            yield RowBlock(self.patients[first:last], self.lengths[first:last], rows)
            first = last


def _nan_mean(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    """Mean (1, d) over rows (n, d), NaN left out; NaN where a column has no number."""
    there = ~np.isnan(rows)
    count = there.sum(axis=0, keepdims=True)
    total = np.where(there, rows, 0.0).sum(axis=0, keepdims=True, dtype=np.float64)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan).astype(np.float32)

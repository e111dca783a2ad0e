"""Patients as they would be with other rows of a source."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prime.serve.memory_store import MemoryStore

Rows = NDArray[np.floating[Any]]


def with_rows(store: MemoryStore, source: str, rows: Sequence[Rows]) -> MemoryStore:
    """The store with other rows (n, d) of a source, of each patient in order."""
    length = np.array([len(each) for each in rows], dtype=np.int64)
    values = np.concatenate(rows).astype(store.arrays[source].dtype)
    places = np.stack([np.cumsum(length) - length, length], axis=1)
    return replace(store, arrays={**store.arrays, source: values}, places={**store.places, source: places})

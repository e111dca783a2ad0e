"""Making batches from a packed store: rows are gathered, scaled, padded and masked."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from prime.arrays import Indices
from prime.store.batch import Batch, SourceBatch
from prime.store.rows import draw_rows, gather_rows, patient_chunks
from prime.store.scaling import LEAST_ROWS, MAX_ROWS, Scaling, SourceScaling, fit_scaling
from prime.store.store import Store


def fit_scalings(
    store: Store,
    patients: Indices,
    clip: float,
    sources: Sequence[str] | None = None,
    within: Literal["everyone", "cancer_type"] = "everyone",
) -> Scaling:
    """The scaling of every source (or of `sources`), fitted on the rows of these patients only."""
    cohorts = store.patients["cohort"].to_numpy(dtype=str)
    scaling: Scaling = {}
    for name in store.sources if sources is None else sources:
        scaling[name] = _fit_scaling(store, name, patients, clip)
        if within == "cancer_type":
            able = _types_of_enough_rows(cohorts[patients], store.index(name)[patients, 1])
            own = {one: _fit_scaling(store, name, patients[cohorts[patients] == one], clip) for one in able}
            scaling[name] = replace(scaling[name], own=own)
    return scaling


def _fit_scaling(store: Store, name: str, patients: Indices, clip: float) -> SourceScaling:
    """The scaling of a source, from rows of these patients; they are drawn before anything is read."""
    return fit_scaling(store.values(name)[draw_rows(store.index(name), patients, MAX_ROWS, seed=0)], clip)


def _types_of_enough_rows(types: NDArray[np.str_], length: Indices) -> list[str]:
    """The named types of patients (n,) who have at least 20 rows together; `length` (n,) of each."""
    names, number = np.unique(types, return_inverse=True)
    count = np.bincount(number, weights=length, minlength=len(names))
    return [str(name) for name in names[count >= LEAST_ROWS] if name]


def scaled_rows(store: Store, scaling: Scaling, name: str, patients: Indices) -> NDArray[np.floating]:
    """The scaled rows (R, d) of a source of these patients, patient after patient."""
    index = store.index(name)
    types = store.patients["cohort"].to_numpy(dtype=str)[patients]
    rows = store.values(name)[gather_rows(index, patients)]
    return scaling[name].rows(rows, np.repeat(types, index[patients, 1]))


class PatientLoader:
    """Makes batches of a store's patients; no more than a batch is held in memory.

    With `modalities`, batches have only these, in this order, and `scaling` needs only their sources.
    """

    def __init__(self, store: Store, scaling: Scaling, modalities: Sequence[str] | None = None) -> None:
        self.store = store
        self.scaling = scaling
        chosen = list(store.modalities) if modalities is None else modalities
        self.modalities = {name: tuple(store.modalities[name]) for name in chosen}
        self.sources = [source for names in self.modalities.values() for source in names]
        self.patient_ids = store.patients["patient_id"].to_numpy(dtype=object)
        self.cohort_names, self.cohort_codes = np.unique(
            store.patients["cohort"].to_numpy(dtype=str), return_inverse=True
        )
        self._index = {name: np.asarray(store.index(name)) for name in self.sources}
        self._values = {name: store.values(name) for name in self.sources}

    def _rows(self, name: str, patients: Indices) -> NDArray[np.floating]:
        """The scaled rows (R, d) of some patients, in the precision of the store."""
        index = self._index[name]
        types = self.cohort_names[self.cohort_codes[np.repeat(patients, index[patients, 1])]]
        values = self._values[name][gather_rows(index, patients)]
        return self.scaling[name].rows(values, types, values.dtype)

    def _source(self, name: str, patients: Indices) -> SourceBatch:
        index = self._index[name]
        length = index[patients, 1]
        mask = np.arange(max(1, int(length.max(initial=0)))) < length[:, None]  # (B, L)
        dim = self.store.sources[name].dim
        values = np.zeros((*mask.shape, dim), dtype=self._values[name].dtype)
        for part in patient_chunks(index, patients, dim):
            values[part][mask[part]] = self._rows(name, patients[part])
        return SourceBatch(torch.from_numpy(values), torch.from_numpy(mask))

    def batch(self, patients: Sequence[int] | Indices) -> Batch:
        """The batch of these patients (positions in the store's patient table), in this order."""
        chosen = np.asarray(patients, dtype=np.int64)
        return Batch(
            patient_ids=tuple(str(p) for p in self.patient_ids[chosen]),
            modalities=self.modalities,
            sources={name: self._source(name, chosen) for name in self.sources},
            cohort_codes=torch.from_numpy(self.cohort_codes[chosen].astype(np.int64)),
        )

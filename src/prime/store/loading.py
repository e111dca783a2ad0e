"""Making batches from a packed store: rows are gathered, scaled, padded and masked."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from prime.arrays import Indices
from prime.store.batch import Batch, SourceBatch
from prime.store.scaling import Scaling, fit_scaling, fit_scaling_within
from prime.store.store import Store


def gather_rows(index: Indices, patients: Indices) -> Indices:
    """Numbers of the rows of `patients`; `index` (P, 2) has start and number of each patient's rows."""
    start, length = index[patients, 0], index[patients, 1]
    offset = np.arange(int(length.sum())) - np.repeat(np.cumsum(length) - length, length)
    return np.repeat(start, length) + offset


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
        index = store.index(name)
        rows = store.values(name)[gather_rows(index, patients)]
        if within == "cancer_type":
            types = np.repeat(cohorts[patients], index[patients, 1])
            scaling[name] = fit_scaling_within(rows, types, clip)
        else:
            scaling[name] = fit_scaling(rows, clip)
    return scaling


def scaled_rows(store: Store, scaling: Scaling, name: str, patients: Indices) -> NDArray[np.float32]:
    """The scaled rows (R, d) of a source of these patients, patient after patient."""
    index = store.index(name)
    types = store.patients["cohort"].to_numpy(dtype=str)[patients]
    rows = store.values(name)[gather_rows(index, patients)]
    return scaling[name].rows(rows, np.repeat(types, index[patients, 1]))


class PatientLoader:
    """Makes batches of a store's patients; vector sources are scaled once and held in memory.

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
        self._scaled = {
            name: self._all_rows(name) for name in self.sources if store.sources[name].kind == "vector"
        }

    def _all_rows(self, name: str) -> NDArray[np.float32]:
        """Every row of a source, scaled, in the store's order."""
        index, values = self._index[name], self.store.values(name)
        owner = np.zeros(len(values), dtype=np.int64)
        owner[gather_rows(index, np.arange(len(index)))] = np.repeat(np.arange(len(index)), index[:, 1])
        return self.scaling[name].rows(values, self.cohort_names[self.cohort_codes[owner]])

    def _rows(self, name: str, patients: Indices) -> NDArray[np.float32]:
        index = self._index[name]
        rows = gather_rows(index, patients)
        if name in self._scaled:
            return self._scaled[name][rows]
        types = self.cohort_names[self.cohort_codes[np.repeat(patients, index[patients, 1])]]
        return self.scaling[name].rows(self.store.values(name)[rows], types)

    def _source(self, name: str, patients: Indices) -> SourceBatch:
        index = self._index[name]
        length = index[patients, 1]
        mask = np.arange(max(1, int(length.max(initial=0)))) < length[:, None]  # (B, L)
        values = np.zeros((*mask.shape, self.store.sources[name].dim), dtype=np.float32)
        values[mask] = self._rows(name, patients)
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

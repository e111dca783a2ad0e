"""Making batches from a packed store: rows are gathered, scaled, padded and masked."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from prime.arrays import Indices
from prime.store.batch import Batch, SourceBatch
from prime.store.scaling import Scaling, fit_scaling
from prime.store.store import Store


def gather_rows(index: Indices, patients: Indices) -> Indices:
    """Numbers of the rows of `patients`; `index` (P, 2) has start and number of each patient's rows."""
    start, length = index[patients, 0], index[patients, 1]
    offset = np.arange(int(length.sum())) - np.repeat(np.cumsum(length) - length, length)
    return np.repeat(start, length) + offset


def fit_scalings(
    store: Store, patients: Indices, clip: float, sources: Sequence[str] | None = None
) -> Scaling:
    """The scaling of every source (or of `sources`), fitted on the rows of these patients only."""
    return {
        name: fit_scaling(store.values(name)[gather_rows(store.index(name), patients)], clip)
        for name in (store.sources if sources is None else sources)
    }


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
        self._scaled = {
            name: scaling[name](store.values(name))
            for name in self.sources
            if store.sources[name].kind == "vector"
        }
        self._index = {name: np.asarray(store.index(name)) for name in self.sources}

    def _rows(self, name: str, rows: Indices) -> NDArray[np.float32]:
        if name in self._scaled:
            return self._scaled[name][rows]
        return self.scaling[name](self.store.values(name)[rows])

    def _source(self, name: str, patients: Indices) -> SourceBatch:
        index = self._index[name]
        length = index[patients, 1]
        mask = np.arange(max(1, int(length.max(initial=0)))) < length[:, None]  # (B, L)
        values = np.zeros((*mask.shape, self.store.sources[name].dim), dtype=np.float32)
        values[mask] = self._rows(name, gather_rows(index, patients))
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

"""A cohort in memory, for patients who come and go without a folder."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from prime.arrays import Indices
from prime.store.array_writer import FLOAT16_LIMIT
from prime.store.inputs import InputSpec
from prime.store.manifest import SourceManifest
from prime.store.rows import gather_rows
from prime.store.store import Store

Rows = NDArray[np.float32]


@dataclass(frozen=True)
class MemoryStore(Store):
    """A store whose arrays are held in memory.

    Attributes:
        arrays: of each source, all rows (rows, d), as packing would store them.
        places: of each source, start and number of each patient's rows, (P, 2) int64.
    """

    arrays: Mapping[str, NDArray[np.floating[Any]]]
    places: Mapping[str, Indices]

    def values(self, source: str) -> NDArray[np.floating[Any]]:
        """All rows of a source, (rows, d)."""
        return self.arrays[source]

    def index(self, source: str) -> Indices:
        """Start and number of each patient's rows, (P, 2) int64."""
        return self.places[source]


def memory_store(
    inputs: InputSpec,
    patients: pd.DataFrame,
    rows: Mapping[str, Sequence[Rows | None]],
    names: Mapping[str, Sequence[str]],
    encoders: Mapping[str, str],
    typed: bool,
) -> MemoryStore:
    """A store of patients with features of a model.

    Numbers are kept as packing keeps them: sequences as float16 where they fit, else float32.

    Args:
        inputs: sources and their shapes; modalities without a source in `rows` are left out.
        patients: patient_id (rising), cohort, and covariates `x_`.
        rows: of each source, the rows (n, d) of each patient, None where a patient has none.
        names: of the features of vector sources.
        encoders: what the features of a source were made with, where that is stated.
        typed: whether cancer types are stated.
    """
    arrays: dict[str, NDArray[np.floating[Any]]] = {}
    places: dict[str, Indices] = {}
    facts: dict[str, SourceManifest] = {}
    modalities: dict[str, list[str]] = {}
    for modality, sources in inputs.modalities.items():
        for source in sources:
            if source not in rows:
                continue
            spec, own = inputs.sources[source], rows[source]
            length = np.array([0 if r is None else len(r) for r in own], dtype=np.int64)
            places[source] = np.stack([np.cumsum(length) - length, length], axis=1)
            arrays[source] = _as_packed(spec.kind, [r for r in own if r is not None], spec.dim)
            known = list(names[source]) if source in names else None
            stated = {"encoder": encoders[source]} if source in encoders else {}
            groups = None if spec.groups is None else list(spec.groups)
            facts[source] = _facts(modality, spec.kind, arrays[source], length, known, groups, stated)
            modalities.setdefault(modality, []).append(source)
    manifest = {"name": "request", "clinical": {"typed": typed}, "endpoints": []}
    return MemoryStore(Path("request"), manifest, patients, modalities, facts, arrays, places)


def _as_packed(kind: str, rows: list[Rows], dim: int) -> NDArray[np.floating[Any]]:
    whole = np.concatenate(rows) if rows else np.zeros((0, dim), dtype=np.float32)
    if kind == "sequence" and not bool((np.abs(whole) > FLOAT16_LIMIT).any()):
        return whole.astype(np.float16)
    return whole


def _facts(
    modality: str,
    kind: str,
    values: NDArray[np.floating[Any]],
    length: Indices,
    names: list[str] | None,
    groups: list[int] | None,
    attributes: dict[str, str],
) -> SourceManifest:
    """The description of a source that no file was read for."""
    return SourceManifest(
        modality=modality, kind=kind, dim=values.shape[1], rows=len(values),
        patients=int((length > 0).sum()), max_rows=int(length.max(initial=0)), dtype=str(values.dtype),
        feature_names=names, groups=groups, source_hash="", config_hash="", sha256="", rows_sha256="",
        detected="a request", notes=[], attributes=attributes, empty=[], files=[],
    )  # fmt: skip


def part_of(store: Store, rows: Indices) -> MemoryStore:
    """Some patients (positions, rising) of a store, in memory."""
    arrays: dict[str, NDArray[np.floating[Any]]] = {}
    places: dict[str, Indices] = {}
    for source in store.sources:
        index = store.index(source)
        arrays[source] = np.asarray(store.values(source)[gather_rows(index, rows)])
        length = index[rows, 1]
        places[source] = np.stack([np.cumsum(length) - length, length], axis=1)
    patients = store.patients.iloc[rows].reset_index(drop=True)
    return MemoryStore(store.path, store.manifest, patients, store.modalities, store.sources, arrays, places)

"""The store: a cohort packed once into memory-mapped arrays, with checksums and the hashes of its files.

A folder holds `manifest.json`, `patients.parquet`, and for each source `{source}.npy` (rows, d) with
`{source}.index.npy` (P, 2): where the rows of each patient start, and how many there are. `{source}.json` and
`{source}.rows.parquet` are written when a source is done, so that an interrupted packing can be resumed.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from prime.cohort.config import CohortConfig
from prime.cohort.readers import source_files
from prime.errors import InputError, shown
from prime.fingerprint import FileStamp, changed
from prime.parsing import read_json
from prime.sealed import DIGESTS, read_sealed, require_files
from prime.store.manifest import (
    FORMAT,
    KIND,
    MANIFEST,
    PATIENTS,
    REMEDY,
    SourceManifest,
    source_config_hash,
)
from prime.store.packing import pack

__all__ = ["SourceManifest", "Store", "pack"]


@dataclass(frozen=True)
class Store:
    """A packed cohort, opened read-only.

    Attributes:
        path: its folder.
        manifest: the manifest as plain values: name, version, format, config, modalities, clinical,
            endpoints, sources, and the checksums of its files.
        patients: one row per patient, as in `ClinicalTable.frame`; the row number is the patient's index.
        modalities: the sources of each modality, in the order of the cohort file.
        sources: the description of each source.
    """

    path: Path
    manifest: dict[str, Any]
    patients: pd.DataFrame
    modalities: dict[str, list[str]]
    sources: dict[str, SourceManifest]

    @classmethod
    def open(cls, path: Path | str) -> "Store":
        """Open a store's folder. Raises InputError where it is none, of another format, or damaged."""
        path = Path(path)
        manifest = _read_manifest(path)
        try:
            sources = {name: SourceManifest.from_json(v) for name, v in manifest["sources"].items()}
            modalities = {str(k): [str(s) for s in v] for k, v in manifest["modalities"].items()}
        except (KeyError, TypeError, AttributeError) as error:
            raise InputError(f"{path / MANIFEST}: damaged ({error}); pack the store again") from None
        return cls(path, manifest, _read_patients(path, manifest), modalities, sources)

    @property
    def endpoints(self) -> list[str]:
        """The names of the endpoints."""
        return list(self.manifest["endpoints"])

    def values(self, source: str) -> NDArray[np.floating[Any]]:
        """All rows of a source, a read-only memory map (rows, d).

        Raises InputError where it is not as it was packed.
        """
        facts = self._facts(source)
        self._require(f"{source}.npy")
        array = _load(self.path / f"{source}.npy", mapped=True)
        if array.shape != (facts.rows, facts.dim) or array.dtype != np.dtype(facts.dtype):
            raise InputError(f"{self.path / source}.npy: not what the manifest says; pack the store again")
        return array

    def index(self, source: str) -> NDArray[np.int64]:
        """Start and number of each patient's rows, (P, 2) int64, in the order of `patients`.

        Raises InputError where it is not as it was packed, or points outside the source's rows.
        """
        facts = self._facts(source)
        self._require(f"{source}.index.npy")
        array = _load(self.path / f"{source}.index.npy", mapped=False)
        if not _points_to(array, len(self.patients), facts.rows):
            raise InputError(
                f"{self.path / source}.index.npy: not what the manifest says; pack the store again"
            )
        return array

    def _require(self, name: str) -> None:
        require_files(self.path, self.manifest, [name], KIND, REMEDY)

    def observed(self) -> NDArray[np.bool_]:
        """Which patient has which modality, (P, M) bool, modalities in their order."""
        result = np.zeros((len(self.patients), len(self.modalities)), dtype=np.bool_)
        for column, names in enumerate(self.modalities.values()):
            for source in names:
                result[:, column] |= self.index(source)[:, 1] > 0
        return result

    def stale(self, config: CohortConfig) -> list[str]:
        """Why the store no longer matches its cohort file and source files; empty where it does.

        A file with the same size and time of change counts as unchanged; for others the content decides.
        """
        reasons: list[str] = []
        if config.name != self.manifest["name"]:
            reasons.append(f"the cohort's name is {config.name!r}, the store holds {self.manifest['name']!r}")
        if {m: list(s) for m, s in config.modalities.items()} != self.modalities:
            reasons.append("the modalities or their sources changed")
        clinical = self.manifest["clinical"]
        if config.clinical.model_dump(mode="json") != clinical["config"]:
            reasons.append("the options of the clinical table changed")
        root = Path(config.root)
        reasons += changed(root, [root / config.clinical.path], [FileStamp(**clinical["file"])], "clinical")
        for sources in config.modalities.values():
            for name, options in sources.items():
                if name not in self.sources:
                    continue
                if source_config_hash(options) != self.sources[name].config_hash:
                    reasons.append(f"source {name}: its options changed")
                try:
                    now = source_files(name, options, root)
                except InputError as error:
                    reasons.append(str(error))
                    continue
                reasons += changed(root, now, self.sources[name].files, f"source {name}")
        return reasons

    def verify(self) -> None:
        """Check every file's checksum. Raises InputError naming the first that differs."""
        require_files(self.path, self.manifest, self.manifest[DIGESTS], KIND, REMEDY)

    def _facts(self, source: str) -> SourceManifest:
        if source not in self.sources:
            raise InputError(f"{self.path}: no source {source!r}; it has {', '.join(self.sources)}")
        return self.sources[source]


def _read_manifest(path: Path) -> dict[str, Any]:
    file = path / MANIFEST
    if not file.is_file():
        raise InputError(f"{path}: not a store (no manifest.json); make one with prime pack COHORT.yaml")
    manifest = read_json(file)
    if not isinstance(manifest, dict) or "format" not in manifest or "sources" not in manifest:
        raise InputError(f"{file}: not a store's manifest; make one with prime pack COHORT.yaml")
    if manifest["format"] != FORMAT:
        raise InputError(
            f"{file}: store format {shown(manifest['format'])}, this version reads {FORMAT}; pack it again"
        )
    return read_sealed(file, KIND, REMEDY)


def _read_patients(path: Path, manifest: dict[str, Any]) -> pd.DataFrame:
    require_files(path, manifest, [PATIENTS], KIND, REMEDY)
    return pd.read_parquet(path / PATIENTS)


def _points_to(index: NDArray[Any], patients: int, rows: int) -> bool:
    """Whether an index (P, 2) has the starts and lengths of `rows` rows of `patients` patients."""
    if index.shape != (patients, 2) or index.dtype != np.int64:
        return False
    start, length = index.T
    return bool((index >= 0).all() and (start + length <= rows).all() and length.sum() == rows)


def _load(path: Path, mapped: bool) -> NDArray[Any]:
    try:
        return np.load(path, mmap_mode="r" if mapped else None, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise InputError(f"{path}: not a readable array ({error}); pack the store again") from None

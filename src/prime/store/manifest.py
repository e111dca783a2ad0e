"""The description of each source in a store's manifest."""

from dataclasses import asdict, dataclass, fields
from typing import Any

from prime.cohort.source import SourceConfig
from prime.files import sha256_text
from prime.fingerprint import FileStamp

MANIFEST, PATIENTS = "manifest.json", "patients.parquet"
KIND, REMEDY = "store", "pack it again"
FORMAT = 3  # 3: the manifest is sealed


@dataclass(frozen=True)
class SourceManifest:
    """One source of a store.

    Attributes:
        modality: the modality it belongs to.
        kind: `vector` (rows of named features) or `sequence` (rows are tokens).
        dim: d, the features of a row.
        rows: number of rows of all patients.
        patients: number of patients who have a row.
        max_rows: the largest number of rows of a patient.
        dtype: of the stored array, `float16` or `float32`.
        feature_names: d names for a vector source, else None.
        groups: the group of each feature for a vector source, else None.
        source_hash: SHA-256 over the files that were read.
        config_hash: SHA-256 of the source's options.
        sha256: of `{source}.npy`.
        rows_sha256: of `{source}.rows.parquet`.
        detected: the format that the reader recognised.
        notes: what was left out and why.
        attributes: encoder and other facts that the files state.
        files: the files that were read, with size and time of change.
    """

    modality: str
    kind: str
    dim: int
    rows: int
    patients: int
    max_rows: int
    dtype: str
    feature_names: list[str] | None
    groups: list[int] | None
    source_hash: str
    config_hash: str
    sha256: str
    rows_sha256: str
    detected: str
    notes: list[str]
    attributes: dict[str, str]
    files: list[FileStamp]

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> "SourceManifest":
        """Rebuild from `to_json`. Raises KeyError or TypeError where a field is missing."""
        known = {field.name: value[field.name] for field in fields(cls)}
        known["files"] = [FileStamp(**item) for item in known["files"]]
        return cls(**known)

    def identity(self) -> tuple[str, str, str]:
        """What decides whether the source must be read again: modality, files and options."""
        return self.modality, self.source_hash, self.config_hash

    def to_json(self) -> dict[str, Any]:
        """The fields as plain values."""
        return asdict(self)


def source_config_hash(options: SourceConfig) -> str:
    """SHA-256 of a source's options."""
    return sha256_text(options.model_dump_json())

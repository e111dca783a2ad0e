"""What a reader returns: the rows of one source, by patient."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

KEPT_ATTRIBUTES = (
    "encoder",
    "extractor",
    "weights",
    "weights_sha256",
    "licence",
    "trained_on",
    "feature_names",
    "feat_type",
    "stamp_version",
    "unit",
)


@dataclass(frozen=True)
class SourceRows:
    """The rows of one source.

    `vector`: every row holds the same d named features (a slide's or a sample's summary).
    `sequence`: every row is a token (a tile, a word piece) of dimension d.

    Attributes:
        kind: see above.
        dim: d, the features of a row.
        feature_names: d names for a vector source, else None.
        patients: patient_id to float32 array (rows, d); never an empty array; read lazily and once.
        files: the files that were read, for hashing.
        detected: what was recognised, for people (for example "TRIDENT h5: features, coords").
        notes: what was left out and why, one line each (for example "slide X is empty: counted as missing").
        groups: for a vector source, the group index of each feature, (d,) int64; None for a sequence.
        attributes: encoder name, trained_on and other facts that a file states.
    """

    kind: Literal["vector", "sequence"]
    dim: int
    feature_names: list[str] | None
    patients: Iterator[tuple[str, NDArray[np.float32]]]
    files: list[Path]
    detected: str
    notes: list[str] = field(default_factory=list[str])
    groups: NDArray[np.int64] | None = None
    attributes: dict[str, str] = field(default_factory=dict[str, str])


def kept_attributes(found: Mapping[str, Any]) -> dict[str, str]:
    """Those of a file's attributes that say what made it, as text."""
    kept = {name: found[name] for name in KEPT_ATTRIBUTES if name in found}
    return {name: value.decode() if isinstance(value, bytes) else str(value) for name, value in kept.items()}

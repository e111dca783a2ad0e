"""Input and output of readers: the options of a source, its rows, or its texts before they are encoded."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from prime.errors import cut
from prime.settings.strict import Strict

LONGEST_ATTRIBUTE = 10_000  # letters
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
    "target_magnification",
    "patch_size",
)


class SourceConfig(Strict):
    """The options that every source has; each reader's settings add their own.

    Attributes:
        reader: the name of the reader.
        path: the file or folder to read, from the cohort's root folder.
    """

    reader: str
    path: str


@dataclass(frozen=True)
class SourceRows:
    """The rows of one source.

    `vector`: every row holds the same d named features (a slide's or a sample's summary).
    `sequence`: every row is a token (a tile, a word piece) of dimension d.

    Attributes:
        kind: see above.
        dim: d, the features of a row.
        feature_names: d names for a vector source, else None.
        patients: pairs of patient_id and float32 array (rows, d), never empty; read lazily, and once.
        detected: the format that was recognised, for messages ("TRIDENT h5: features, coords").
        notes: what was left out and why, one line each ("slide X is empty: counted as missing").
        groups: for a vector source, the group index of each feature, (d,) int64; None for a sequence.
        attributes: encoder name, trained_on and other facts that a file states.
        empty: names of columns that hold no number at all and are no features.
    """

    kind: Literal["vector", "sequence"]
    dim: int
    feature_names: list[str] | None
    patients: Iterator[tuple[str, NDArray[np.float32]]]
    detected: str
    notes: list[str] = field(default_factory=list[str])
    groups: NDArray[np.int64] | None = None
    attributes: dict[str, str] = field(default_factory=dict[str, str])
    empty: list[str] = field(default_factory=list[str])


@dataclass(frozen=True)
class SourceTexts:
    """The texts of a source whose rows an encoder makes, before it runs.

    Attributes:
        texts: text of each patient, never empty; patients sorted.
        count: number of texts in the file; a patient may have several.
        detected, notes, attributes: as for SourceRows.
        warnings: what may keep the source from being encoded here.
    """

    texts: dict[str, str]
    count: int
    detected: str
    notes: list[str] = field(default_factory=list[str])
    warnings: list[str] = field(default_factory=list[str])
    attributes: dict[str, str] = field(default_factory=dict[str, str])


def kept_attributes(found: Mapping[str, Any]) -> dict[str, str]:
    """The attributes of a file that describe how it was made, as text."""
    kept = {name: found[name] for name in KEPT_ATTRIBUTES if name in found}
    return {name: cut(_text(value), LONGEST_ATTRIBUTE) for name, value in kept.items()}


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)

"""What a table or folder of features is, and the lines of the cohort file that read it."""

import re
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from prime.cohort.check.outcomes import outcome_like_names
from prime.cohort.patient_names import patient_in
from prime.cohort.readers.tokens import SLIDE_TABLE_COLUMNS
from prime.cohort.survey.clinical_guess import patient_column
from prime.cohort.survey.heads import Head
from prime.cohort.tables import INDEX_NAME

IMAGE = re.compile(r"slide|tile|image|img|wsi|hif|patho?|nuclei|histo|morph|features")
RNA = re.compile(r"rna|expr|gene|tpm|fpkm|counts?(?![a-z])|mrna|transcript")
GENE = re.compile(r"ENSG\d{6,}.*|[A-Z][A-Z0-9]{1,9}(?:-[A-Z0-9]+)?")
LONG_TEXT = 80  # letters in the median, from which on a column holds texts
SHARE_GENES = 0.8


@dataclass(frozen=True)
class SourceGuess:
    """A source: its modality, its name, its options, and why it was taken for that."""

    modality: str
    name: str
    options: dict[str, Any]
    remark: str


def token_source(path: Path, reader: str, slide_table: Path | None) -> SourceGuess:
    """A folder of feature files of slides."""
    options: dict[str, Any] = {"reader": reader, "path": path.as_posix()}
    if slide_table is not None:
        options["slide_table"] = slide_table.as_posix()
    return SourceGuess("image", _name(path), options, f"a folder of .{reader} files: taken for slides")


def is_slide_table(head: Head) -> bool:
    """Whether it says which patient a slide belongs to, and no more."""
    return len(head.columns) <= 4 and any({*pair} <= {*head.columns} for pair in SLIDE_TABLE_COLUMNS)


def table_source(head: Head, patients: Collection[str]) -> SourceGuess | str:
    """A table as a source, or why it is none; `patients` are those of the clinical table."""
    texts = [c for c in head.columns if (known := head.known(c)) and median(map(len, known)) >= LONG_TEXT]
    if texts:
        return _reports(head, texts[0], patients)
    patient = _patient(head, patients)
    if patient is None:
        return "no column holds patients of the clinical table"
    features = [column for column in head.columns if column != patient and head.numeric(column)]
    features = [column for column in features if not INDEX_NAME.fullmatch(column)]
    outcomes = outcome_like_names(features)
    others = [c for c in head.columns if c not in (patient, *features) and not INDEX_NAME.fullmatch(c)]
    if len(features) <= len(outcomes):
        return "no column of numbers that are no outcomes"
    options: dict[str, Any] = {
        "reader": "vector", "path": head.path.as_posix(), "patient_id": patient,
        "ignore": [*[column for column in others if head.known(column)], *outcomes],
    }  # fmt: skip
    genes = sum(GENE.fullmatch(column) is not None for column in features) >= SHARE_GENES * len(features)
    words = head.path.as_posix().lower()
    if IMAGE.search(words) and not RNA.search(words):
        modality, why = "image", "by its name"
    elif RNA.search(words) or genes:
        modality, why = "rna", "by its name" if RNA.search(words) else "its columns look like genes"
    else:
        modality, why = _name(head.path), "a modality of its own"
    return SourceGuess(modality, _name(head.path), options, f"{len(features):,} columns of numbers; {why}")


def _reports(head: Head, text: str, patients: Collection[str]) -> SourceGuess | str:
    names = [c for c in head.columns if c != text and _share(head, c, patients, named=True) > 0.5]
    if not names:
        return f"column {text!r} holds texts, but none holds patients of the clinical table"
    options = {
        "reader": "report", "path": head.path.as_posix(), "patient_id": names[0], "text": text,
        "encoder": "minilm",
    }  # fmt: skip
    remark = "texts; minilm is the encoder that the demo installs"
    return SourceGuess("report", _name(head.path), options, remark)


def _patient(head: Head, patients: Collection[str]) -> str | None:
    """The column with the most patients of the clinical table, half of its cells or more; else by name."""
    share = {column: _share(head, column, patients) for column in head.columns}
    best = max(share, key=lambda column: share[column])
    if share[best] >= 0.5:
        return best
    named = patient_column(head)
    return named if named is not None and share[named] > 0 else None


def _share(head: Head, column: str, patients: Collection[str], named: bool = False) -> float:
    """The share of a column's cells that are patients, or names that begin with one."""
    cells = head.known(column)
    found = [patient_in(cell, "init") if named else cell for cell in cells]
    return sum(cell in patients for cell in found) / max(1, len(cells))


def _name(path: Path) -> str:
    """A name of a source from that of a file or folder."""
    words = re.sub(r"[^A-Za-z0-9]+", "_", path.stem).strip("_").lower() or "features"
    return words if words[0].isalpha() else f"s_{words}"

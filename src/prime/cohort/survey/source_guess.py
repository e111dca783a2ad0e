"""What a table or folder of features is, and the lines of the cohort file that read it."""

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import pandas as pd

from prime.cohort.check.outcomes import outcome_like_names
from prime.cohort.patient_names import patient_in
from prime.cohort.readers.annotated_files import OBS_NAMES, annotated, modalities_of
from prime.cohort.readers.tokens import SLIDE_TABLE_COLUMNS
from prime.cohort.survey.clinical_guess import patient_column
from prime.cohort.survey.heads import ROWS, WHERE, Head
from prime.cohort.tables import INDEX_NAME
from prime.errors import InputError

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
    patient = patients_in(head, patients)
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
    modality, why = _modality(head.path.as_posix(), features, _name(head.path))
    return SourceGuess(modality, _name(head.path), options, f"{len(features):,} columns of numbers; {why}")


def annotated_sources(folder: Path, path: Path, patients: Collection[str]) -> list[SourceGuess | str]:
    """The modalities of a `.h5mu` file, or the one of a `.h5ad` file, as sources, or why one is none."""
    found: list[SourceGuess | str] = []
    for modality in modalities_of(folder / path, WHERE) or [None]:
        try:
            with annotated(folder / path, WHERE, modality) as data:
                obs = {name: data.column("obs", name) for name in data.columns("obs")}
                cells = pd.DataFrame({OBS_NAMES: data.obs_names, **obs}).head(ROWS)
                features = data.var_names
        except InputError as error:
            found.append(str(error))
            continue
        patient = patients_in(Head(path, cells.astype(object).fillna("").astype(str)), patients)
        if patient is None or not features:
            found.append("no row is a patient of the clinical table" if patient is None else "no variable")
            continue
        name = _name(path if modality is None else Path(f"{modality}.x"))
        kind, why = _modality(f"{path.stem if modality is None else modality}", features, name)
        options = {"reader": "anndata", "path": path.as_posix()}
        options |= {} if modality is None else {"modality": modality}
        options |= {} if patient == OBS_NAMES else {"patient_id": patient}
        found.append(SourceGuess(kind, name, options, f"{len(features):,} variables; {why}"))
    return found


def _modality(words: str, features: Sequence[str], own: str) -> tuple[str, str]:
    """The modality of features by the name of their file, or by their names; else `own`. And why."""
    words = words.lower()
    genes = sum(GENE.fullmatch(name) is not None for name in features) >= SHARE_GENES * len(features)
    if IMAGE.search(words) and not RNA.search(words):
        return "image", "by its name"
    if RNA.search(words) or genes:
        return "rna", "by its name" if RNA.search(words) else "its columns look like genes"
    return own, "a modality of its own"


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


def patients_in(head: Head, patients: Collection[str]) -> str | None:
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

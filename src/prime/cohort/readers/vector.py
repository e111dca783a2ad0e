"""Vector tables: each row is the vector of named numbers of a patient, slide or sample."""

from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import Field

from prime.arrays import Flags
from prime.cohort import barcode
from prime.cohort.cells import is_missing, number
from prime.cohort.large_matrix import CHUNK_VALUES, FLOAT32_MAX, large_matrix
from prime.cohort.patient_rows import RowsByPatient
from prime.cohort.readers.registry import reader
from prime.cohort.source import SourceRows, kept_attributes
from prime.cohort.tables import (
    WideTable,
    feature_columns,
    open_table,
    patient_ids,
    read_table,
    require_columns,
)
from prime.cohort.tissue import SampledSource, Tissue, sort_tissue, without_normal
from prime.errors import InputError, some
from prime.files import read_text
from prime.parsing import read_json

MINIMUM_GENE_OVERLAP = 0.5


class VectorSource(SampledSource):
    """A table with one or several rows per patient; each row is a vector of numbers.

    `sample_id`: the column with the barcode of a row's sample or slide, which is no feature.
    """

    patient_id: str = "patient_id"
    sample_id: str | None = None
    ignore: tuple[str, ...] = ()
    instances: Literal["mean", "tokens"] = "mean"
    group_size: int = Field(default=32, ge=1)
    groups: str | None = None
    gene_list: str | None = None


def vector_files(config: VectorSource, root: Path, where: str) -> list[Path]:
    """The table, the record beside it, and the group and gene lists where they are given."""
    path = root / config.path
    record = [record_of(path)] if read_record(path) else []
    named = [config.groups, config.gene_list]
    return [path, *record, *(root / name for name in named if name is not None)]


def record_of(table: Path) -> Path:
    """The file in which `prime encode` records how a table was made: `rna.json` for `rna.parquet`."""
    return table.with_suffix(".json")


def read_record(table: Path) -> dict[str, str]:
    """How a table was made: encoder, weights, licence, `trained_on`; empty where there is no record."""
    try:
        found = read_json(record_of(table))
    except InputError:  # none, or a file of the user's own
        return {}
    return kept_attributes(found) if isinstance(found, dict) and "encoder" in found else {}


def inspect_vector(config: VectorSource, root: Path, where: str) -> SourceRows:
    """Every row of the table, without averages. Raises InputError as read_vector does."""
    return read_vector(config.model_copy(update={"instances": "tokens"}), root, where)


@reader("vector", settings=VectorSource, files=vector_files, inspect=inspect_vector)
def read_vector(config: VectorSource, root: Path, where: str) -> SourceRows:
    """Read a vector table.

    Rows of samples that don't stand for the tumour are left out, see `rows_of_tumour`. NaN stays NaN (a later
    step imputes it). A row without any number counts as missing and is noted; a column without any, and one
    that only numbers the rows, is left out and named. With `instances: mean`, the rows of a patient are
    averaged, NaN left out.

    Raises:
        InputError: a missing file or column, a column of text, an infinite or too large number, an empty
            table, a patient id left empty, a feature without a group, a gene overlap below a half, no sample
            of the tumour, or two columns with barcodes of different samples.
    """
    path = root / config.path
    table = open_table(path, where, (config.patient_id,))
    named = [config.patient_id, *([config.sample_id] if config.sample_id else []), *config.ignore]
    labels = list(dict.fromkeys(named))
    require_columns(table, labels, path, where)
    labelled = table.read(labels)
    ids = patient_ids(labelled[config.patient_id], path, where)
    stated = bool({"sample_id", "samples", "frozen"} & config.model_fields_set)
    columns = labels if config.sample_id is None else [config.sample_id]
    tissue = rows_of_tumour(labelled[columns], ids, config, stated, f"{where}: {path}")
    kept: Flags = np.array([not reason for reason in tissue.reasons], dtype=bool)
    names, numbering = feature_columns(table, labels, kept, path, where)
    notes = tissue.notes() + numbering
    ids, values = ids[kept], _values(table, names, kept, ids[kept], path, where)
    row_known, known = known_cells(values)
    names, empty = without_empty(names, known, f"{where}: {path}", notes)
    if config.gene_list is not None:
        notes.append(gene_overlap(names, root / config.gene_list, where))
    groups = _groups(config, root, names, where, notes)
    if not row_known.all():
        missing = int((~row_known).sum())
        notes.append(f"{missing} of {len(values)} rows have no number at all: counted as missing")
    rows = np.flatnonzero(row_known)
    columns = slice(None) if known.all() else np.flatnonzero(known)
    return SourceRows(
        kind="vector",
        dim=len(names),
        feature_names=names,
        patients=RowsByPatient(ids.iloc[rows], rows, values, columns, config.instances == "mean"),
        detected=f"{path.suffix[1:]} table: {table.rows} rows, {len(names)} features by {config.patient_id}",
        notes=notes,
        groups=groups,
        attributes=read_record(path),
        empty=empty,
    )


def _values(
    table: WideTable, names: list[str], kept: Flags, ids: "pd.Series[str]", path: Path, where: str
) -> NDArray[np.float32]:
    """The features (n, d) of the kept rows, of patients `ids` (n,); a few columns are read at a time."""
    values = large_matrix(len(ids), len(names), f"{where}: {path}")
    width = max(1, CHUNK_VALUES // max(table.rows, 1))
    for start in range(0, len(names), width):
        part = slice(start, start + width)
        values[:, part] = _numbers(table.read(names[part]).loc[kept], ids, path, where)
    return values


def known_cells(values: NDArray[np.float32]) -> tuple[Flags, Flags]:
    """Which rows (n,) and which features (d,) hold a number at all."""
    rows, features = np.zeros(len(values), dtype=bool), np.zeros(values.shape[1], dtype=bool)
    height = max(1, CHUNK_VALUES // max(values.shape[1], 1))
    for start in range(0, len(values), height):
        there = ~np.isnan(values[start : start + height])
        rows[start : start + height] = there.any(axis=1)
        features |= there.any(axis=0)
    return rows, features


def without_empty(
    names: list[str], known: Flags, where: str, notes: list[str]
) -> tuple[list[str], list[str]]:
    """The names of features (d,) that hold a number anywhere, and of those that hold none.

    The latter are named in `notes`: they would change the network's shape and tell it nothing. Raises
    InputError where no feature is left.
    """
    empty = [name for name, any_number in zip(names, known, strict=True) if not any_number]
    if len(empty) == len(names):
        raise InputError(f"{where}: no column holds a number; fill it in, or take the source out")
    if empty:
        notes.append(f"{len(empty):,} columns hold no number at all ({some(empty)}): left out")
    return [name for name, any_number in zip(names, known, strict=True) if any_number], empty


def rows_of_tumour(
    frame: pd.DataFrame, ids: "pd.Series[str]", config: SampledSource, stated: bool, where: str
) -> Tissue:
    """The rows sorted by the barcodes in columns (any columns of `frame`) of their patients `ids` (n,).

    A user's own columns may hold barcodes too: unless it is `stated` what is used, or ids are barcodes of
    samples, they only leave out normal tissue. Raises InputError where nothing is left, or where columns
    contradict each other.
    """
    patients = [str(name) for name in ids]
    known = [barcode.sample(name) for name in patients] if barcode.occurs_in(patients) else [None] * len(ids)
    owners = [name if item is None else item.patient for name, item in zip(patients, known, strict=True)]
    samples = _samples(frame, where)
    if stated or any(item is not None and item.type is not None for item in known):
        found = sort_tissue(samples, owners, config.tissue)
    else:
        found = without_normal(samples, owners)
    found.refuse_nothing(where)
    return found


def _samples(frame: pd.DataFrame, where: str) -> list[str]:
    """The barcode of each row's sample, the longest of those in the row; empty where there is none.

    Raises InputError for a row in which two columns have different sample types.
    """
    found = [""] * len(frame)
    for name in map(str, frame.columns):
        if pd.api.types.is_numeric_dtype(frame[name].dtype):
            continue
        cells = list(frame[name].astype(str))
        for row, cell in enumerate(cells if barcode.occurs_in(cells) else ()):
            item = barcode.sample(cell)
            if item is None or item.type is None:
                continue
            if found[row] and item.type != barcode.sample_type(found[row]):
                raise InputError(
                    f"{where}: row {row + 1} holds barcodes of two samples, {found[row]} and {item.barcode} "
                    f"(column {name!r}); name the column of the row's own sample as sample_id"
                )
            found[row] = max(found[row], item.barcode, key=len)
    return found


def _numbers(features: pd.DataFrame, ids: "pd.Series[str]", path: Path, where: str) -> NDArray[np.float32]:
    """The features as float32 (rows, d). Raises InputError on text, infinite or too large numbers."""
    for name in features.columns:
        kind = features[name].dtype
        if not (pd.api.types.is_numeric_dtype(kind) or pd.api.types.is_bool_dtype(kind)):
            features = features.assign(**{name: _cell_numbers(features[name], ids, path, where)})
    wide = features.to_numpy(dtype=np.float64, na_value=np.nan)
    bad = np.argwhere(np.abs(wide) > FLOAT32_MAX)
    if len(bad):
        row, column = bad[0]
        line = int(features.index.to_numpy()[row]) + 1
        raise InputError(
            f"{where}: {path}: column {features.columns[column]!r}, row {line} (patient {ids.iloc[row]}) "
            f"is {wide[row, column]:g}; use a finite number that fits float32, or leave it empty"
        )
    return wide.astype(np.float32)


def _cell_numbers(
    column: "pd.Series[Any]", ids: "pd.Series[str]", path: Path, where: str
) -> NDArray[np.float64]:
    """A column of text as numbers (rows,); what spells missing is NaN. Raises InputError on another word."""
    numbers = np.full(len(column), np.nan)
    for row, cell in enumerate(column):
        if cell is None or is_missing(cell):
            continue
        found = float(cell) if isinstance(cell, bool) else number(cell)
        if found is None:
            raise InputError(
                f"{where}: {path}: column {column.name!r}, row {int(column.index[row]) + 1} (patient "
                f"{ids.iloc[row]}) holds "
                f"{str(cell)!r:.40}, not a number; correct it or add the column to ignore"
            )
        numbers[row] = found
    return numbers


def _groups(
    config: VectorSource, root: Path, names: list[str], where: str, notes: list[str]
) -> NDArray[np.int64]:
    """The group of each feature, (d,) int64: by the table of groups, else `group_size` neighbours each."""
    if config.groups is None:
        return np.arange(len(names), dtype=np.int64) // config.group_size
    path = root / config.groups
    table = read_table(path, where, text=True)
    require_columns(table, ["feature", "group"], path, where)
    if bool(table["feature"].duplicated().any()):
        twice = table["feature"][table["feature"].duplicated()].iloc[0]
        raise InputError(f"{where}: {path}: feature {twice!r} has two rows; keep one group for each feature")
    group_of = dict(zip(table["feature"], table["group"], strict=True))
    without = [name for name in names if name not in group_of]
    if without:
        raise InputError(f"{where}: {path}: {len(without)} features have no group, first {without[0]!r}")
    codes, _ = pd.factorize(pd.Series([group_of[name] for name in names]))
    unused = len(group_of) - len(names)
    if unused:
        notes.append(f"{unused} features of {path.name} are not in the table")
    return codes.astype(np.int64)


def gene_overlap(names: list[str], path: Path, where: str) -> str:
    """A note on how many of the listed genes the table has. Raises InputError for less than half of them."""
    listed = [line.strip() for line in read_text(path, f"{where}: gene_list").splitlines() if line.strip()]
    if not listed:
        raise InputError(f"{where}: gene_list: {path}: the file is empty; write one id per line")
    present = set(names)
    found = sum(gene in present for gene in listed)
    report = f"gene overlap {found}/{len(listed)}"
    if found < MINIMUM_GENE_OVERLAP * len(listed):
        absent = next(gene for gene in listed if gene not in present)
        raise InputError(
            f"{where}: {report} with {path}, under 50%; first absent {absent!r}, the table has {names[0]!r}; "
            f"check that both use the same ids (symbols, or Ensembl without version)"
        )
    return report

"""AnnData and MuData as sources: a matrix of patients (or their samples, cells, tiles) by features."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import h5py
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import Field, model_validator

from prime.arrays import Indices
from prime.cohort.large_matrix import large_matrix
from prime.cohort.patient_rows import RowsByPatient
from prime.cohort.readers.annotated_files import OBS_NAMES, Annotated, annotated
from prime.cohort.readers.matrix_rows import (
    ArrayRows,
    CscRows,
    CsrRows,
    Kept,
    Rows,
    real_rows,
    scan,
    stream,
)
from prime.cohort.readers.registry import reader
from prime.cohort.readers.thinning import Thinning
from prime.cohort.readers.vector import (
    gene_overlap,
    rows_of_tumour,
    without_empty,
)
from prime.cohort.source import SourceRows
from prime.cohort.tables import patient_ids
from prime.cohort.tissue import SampledSource
from prime.errors import InputError, cut, some

Stream = Iterator[tuple[str, NDArray[np.float32]]]


class AnnDataSource(SampledSource):
    """A matrix of an `.h5ad` file, or of a modality of an `.h5mu` file.

    `kind`: whether rows are vectors of named features or tokens; by default an array of three dimensions
    holds tokens, everything else vectors. `groups`: a column of `var`.
    """

    modality: str | None = None
    layer: str | None = None
    obsm: str | None = None
    kind: Literal["vector", "sequence"] | None = None
    patient_id: str = OBS_NAMES
    sample_id: str | None = None
    ignore: tuple[str, ...] = ()
    instances: Literal["mean", "tokens"] = "mean"
    group_size: int = Field(default=32, ge=1)
    groups: str | None = None
    gene_list: str | None = None
    max_tokens: int = Field(default=128, ge=1)

    @model_validator(mode="after")
    def _one_matrix(self) -> "AnnDataSource":
        if self.layer is not None and self.obsm is not None:
            raise ValueError("layer and obsm: name one of them")
        return self

    @property
    def matrix(self) -> str:
        """Where the matrix is in the file."""
        return f"layers/{self.layer}" if self.layer else f"obsm/{self.obsm}" if self.obsm else "X"


@dataclass(frozen=True)
class _Source:
    """A source whose file is open.

    Attributes:
        config: its options.
        path, where: its file, and what messages begin with.
        rows: (n,) the rows of the file that are used, rising.
        ids: (n,) their patients.
        notes: what was left out.
    """

    config: AnnDataSource
    path: Path
    where: str
    rows: Indices
    ids: "pd.Series[str]"
    notes: list[str]


def annotated_paths(config: AnnDataSource, root: Path, where: str) -> list[Path]:
    """The file, and the list of genes where one is given."""
    return [root / config.path, *([root / config.gene_list] if config.gene_list is not None else [])]


def inspect_annotated(config: AnnDataSource, root: Path, where: str) -> SourceRows:
    """Every row, without averages. Raises InputError as read_annotated does."""
    return read_annotated(config.model_copy(update={"instances": "tokens"}), root, where)


@reader("anndata", "mudata", settings=AnnDataSource, files=annotated_paths, inspect=inspect_annotated)
def read_annotated(config: AnnDataSource, root: Path, where: str) -> SourceRows:
    """Read a matrix of an AnnData or MuData file; samples, NaN and empty columns as `read_vector` does.

    Sparse matrices stay sparse: some of their rows are dense at a time. In an array of three dimensions of
    obsm the second one has the rows of a patient, filled up with rows that are NaN all over.

    Raises:
        InputError: a missing or damaged file, one of another kind or with parts in other files, no such
            modality, layer, obsm or column, an infinite or too large number, no row, variables of one name, a
            row without a patient, no sample of the tumour, or a gene overlap below a half.
    """
    path = root / config.path
    with annotated(path, where, config.modality) as data:
        source = _opened(config, data, path, where)
        found = data.matrix(config.matrix)
        length = len(data.obs_names)
        if found.shape[0] != length or 0 in found.shape:
            raise InputError(f"{config.matrix} has the shape {found.shape}, and there are {length:,} rows")
        kind = "" if config.modality is None else f" {config.modality}"
        detected = f"{path.suffix[1:]}{kind} {config.matrix}: {length:,} rows"
        attributes = data.attributes()
        if isinstance(found, h5py.Dataset) and config.kind != "vector":
            dim = int(found.shape[2])
            return SourceRows(
                "sequence", dim, None, _padded_tokens(source), f"{detected} of {found.shape[1]:,} tokens",
                source.notes, attributes=attributes,
            )  # fmt: skip
        return _vectors(source, data, found, root, detected, attributes)


def _opened(config: AnnDataSource, data: Annotated, path: Path, where: str) -> _Source:
    """Whose each row is, and which rows stand for the tumour."""

    def labels(name: str) -> "pd.Series[Any]":
        return data.obs_names if name == OBS_NAMES else data.column("obs", name).astype(object)

    if not len(named_by := labels(config.patient_id)):
        raise InputError("it has no row")
    ids = patient_ids(named_by.rename(config.patient_id), path, where)
    stated = bool({"sample_id", "samples", "frozen"} & config.model_fields_set)
    named = [config.patient_id, OBS_NAMES] if config.sample_id is None else [config.sample_id]
    frame = pd.DataFrame({name: labels(name) for name in dict.fromkeys(named)})
    tissue = rows_of_tumour(frame, ids, config, stated, f"{where}: {path}")
    rows = np.flatnonzero([not reason for reason in tissue.reasons])
    return _Source(config, path, where, rows, ids.iloc[rows], tissue.notes())


def _vectors(
    source: _Source,
    data: Annotated,
    found: Rows | pd.DataFrame | h5py.Dataset,
    root: Path,
    detected: str,
    attributes: dict[str, str],
) -> SourceRows:
    """Rows of named features, or with `kind: sequence` the tokens of a patient."""
    config, notes, where = source.config, source.notes, f"{source.where}: {source.path}"
    matrix, ids, rows = _as_rows(source, found)
    names = _feature_names(config, data, found)
    ignored = [name for name in config.ignore if name not in set(names)]
    if ignored:
        raise InputError(f"ignore: {config.matrix} has no feature {some(ignored)}")
    taken = np.flatnonzero(~np.isin(np.array(names, dtype=object), config.ignore))
    kept = Kept(rows, ids, taken, [names[i] for i in taken])
    stays = isinstance(matrix, CsrRows | CscRows)
    values = None if stays else large_matrix(len(rows), len(taken), where)
    row_known, known = scan(matrix, kept, values)
    features, empty = without_empty(kept.names, known, where, notes)
    if config.gene_list is not None:
        notes.append(gene_overlap(features, root / config.gene_list, source.where))
    if not row_known.all():
        notes.append(f"{(~row_known).sum()} of {len(rows)} rows have no number at all: counted as missing")
    average, places = config.instances == "mean" and config.kind != "sequence", np.flatnonzero(row_known)
    columns = slice(None) if known.all() else np.flatnonzero(known)
    if values is not None:
        patients = RowsByPatient(ids.iloc[places], places, values, columns, average)
    else:
        patients = _sparse_by_patient(source, kept.only(places, known), average)
    if config.kind == "sequence":
        whole = f"{detected}, {len(features):,} numbers"
        return SourceRows(
            "sequence", len(features), None, _thinned(patients, source), whole, notes,
            attributes=attributes, empty=empty,
        )  # fmt: skip
    return SourceRows(
        "vector", len(features), features, patients, f"{detected}, {len(features):,} features", notes,
        _groups(config, data, features), attributes, empty,
    )  # fmt: skip


def _as_rows(
    source: _Source, found: Rows | pd.DataFrame | h5py.Dataset
) -> tuple[Rows, "pd.Series[str]", Indices]:
    """The matrix, the patients of its used rows, and which those are; of three dimensions made two."""
    if isinstance(found, pd.DataFrame):
        lacking = [str(n) for n, kind in found.dtypes.items() if not pd.api.types.is_numeric_dtype(kind)]
        if lacking:
            raise InputError(f"{source.config.matrix}: columns of text ({some(lacking)}); give numbers")
        return ArrayRows(found.to_numpy(dtype=np.float64, na_value=np.nan)), source.ids, source.rows
    if not isinstance(found, h5py.Dataset):
        return found, source.ids, source.rows
    parts = [real_rows(found[row]) for row in source.rows]
    ids = source.ids.repeat([len(part) for part in parts])
    return ArrayRows(np.concatenate(parts).astype(np.float64)), ids, np.arange(len(ids))


def _feature_names(
    config: AnnDataSource, data: Annotated, found: Rows | pd.DataFrame | h5py.Dataset
) -> list[str]:
    """The names of the columns: of `var`, of the table, else numbers after the matrix's name."""
    if isinstance(found, pd.DataFrame):
        names = [str(name) for name in found.columns]
        if len(set(names)) < len(names):
            raise InputError(f"{config.matrix}: two columns have one name")
        return names
    count = int(found.shape[-1])
    if config.obsm is None:
        names = data.var_names
        if len(names) != count:
            raise InputError(f"{config.matrix} has {count:,} columns, and there are {len(names):,} var_names")
        return names
    if isinstance(found, h5py.Dataset) and len(names := data.var_names) == count:
        return names
    return [f"{config.obsm}_{number}" for number in range(count)]


def _groups(config: AnnDataSource, data: Annotated, features: list[str]) -> NDArray[np.int64]:
    """The group of each feature, (d,): by a column of `var`, else `group_size` neighbours each."""
    if config.groups is None:
        return np.arange(len(features), dtype=np.int64) // config.group_size
    column = data.column("var", config.groups)
    group_of = dict(zip(data.var_names, column, strict=True))
    without = [name for name in features if name not in group_of or bool(pd.isna(group_of[name]))]
    if without:
        raise InputError(
            f"groups: {len(without):,} features have none in var/{cut(config.groups)} ({some(without)})"
        )
    codes, _ = pd.factorize(pd.Series([group_of[name] for name in features]))
    return codes.astype(np.int64)


def _sparse_by_patient(source: _Source, kept: Kept, average: bool) -> Stream:
    """Each patient's rows or their mean; the file is open while they are read."""
    config = source.config
    with annotated(source.path, source.where, config.modality) as data:
        matrix = data.matrix(config.matrix)
        assert isinstance(matrix, CsrRows | CscRows)
        yield from stream(matrix, kept, average)


def _padded_tokens(source: _Source) -> Stream:
    """Each patient's tokens in an array of three dimensions; the file is open while they are read."""
    config, lacking = source.config, 0
    codes, unique = pd.factorize(source.ids, sort=True)

    def tokens() -> Stream:
        nonlocal lacking
        with annotated(source.path, source.where, config.modality) as data:
            array = data.matrix(config.matrix)
            assert isinstance(array, h5py.Dataset)
            for code, patient in enumerate(unique):
                parts = [real_rows(array[row]) for row in source.rows[codes == code]]
                own = np.concatenate(parts)
                lacking += not len(own)
                if len(own):
                    yield str(patient), own

    yield from _thinned(tokens(), source)
    if lacking:
        source.notes.append(f"{lacking:,} patients have no token: counted as missing")


def _thinned(patients: Stream, source: _Source) -> Stream:
    thinning = Thinning(source.config.max_tokens)
    for patient, rows in patients:
        yield patient, thinning(rows)
    source.notes.extend(thinning.notes())

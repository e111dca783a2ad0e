"""From the output of an encoder to a source in the cohort file."""

from collections.abc import Collection
from pathlib import Path
from typing import Any

import h5py
import pandas as pd
import pyarrow.parquet as pq

from prime.cohort.readers.tokens import SUFFIXES
from prime.errors import InputError, first_line

TOKEN_SUFFIXES = {suffix: reader for reader, suffixes in SUFFIXES.items() for suffix in suffixes}
PATIENT_COLUMNS = ("patient_id", "identifier")
REPORT_COLUMNS = {"patient_filename", "text"}
OUTPUTS = {  # what `prime encode KIND` writes below its --out
    "slides": ("centroids_patient", "centroids_slide"),
    "rna": ("rna.parquet", "tokens"),
    "reports": ("features",),
}
TEXTS = "texts.csv"  # of reports that were cleaned but not encoded


def feature_path(kind: str, path: Path) -> Path:
    """The features below the --out of `prime encode KIND`; any other path is returned as it is.

    Raises InputError where the folder holds features of two sorts.
    """
    there = [path / name for name in OUTPUTS[kind] if (path / name).exists()]
    if len(there) > 1:
        names = " and ".join(item.name for item in there)
        raise InputError(f"--{kind} {path}: holds {names}; name one of them")
    if not there and kind == "reports" and (path / TEXTS).is_file():
        return path / TEXTS
    return there[0] if there else path


def source_settings(kind: str, path: Path, encoder: str) -> dict[str, Any]:
    """The settings of a source, without its path: a folder of token files, a table of features, or of texts.

    Args:
        kind: slides, rna or reports. For slides the reader's default limit of tokens holds; for the others
            it is raised to the longest file, so that all tokens are kept.
        path: see `feature_path`.
        encoder: the text encoder, where `path` is a table of texts.

    Raises:
        InputError: there is no such path, or it is none of these.
    """
    name = f"--{kind} {path}"
    if path.is_dir():
        reader, files = _token_files(path, name)
        limit = {} if kind == "slides" or reader != "h5" else {"max_tokens": _most_tokens(files)}
        return {"reader": reader, **limit}
    if not path.is_file():
        raise InputError(f"{name}: no such file or folder; encode first (prime encode {kind} ...)")
    head = _head(path, name)
    if set(head.columns) >= REPORT_COLUMNS:
        return {"reader": "report", "encoder": encoder}
    key = next((column for column in PATIENT_COLUMNS if column in head.columns), None)
    if key is None:
        found = ", ".join(map(repr, list(head.columns)[:8]))
        raise InputError(f"{name}: no column patient_id, nor patient_filename and text; found {found}")
    words = [
        str(column)
        for column in head.columns
        if column != key and not pd.api.types.is_numeric_dtype(head[column].dtype)
    ]
    return {"reader": "vector", "patient_id": key, **({"ignore": words} if words else {})}


def named_by_slide(path: Path, slides: Collection[str]) -> bool:
    """Whether the folder's files are named after slides rather than patients."""
    if not path.is_dir():
        return False
    return any(item.stem in slides for item in path.iterdir() if item.suffix.lower() in TOKEN_SUFFIXES)


def _token_files(path: Path, name: str) -> tuple[str, list[Path]]:
    """The reader that fits the files of a folder, and the files. Raises InputError for none, or two kinds."""
    files = sorted(item for item in path.iterdir() if item.suffix.lower() in TOKEN_SUFFIXES)
    readers = {TOKEN_SUFFIXES[item.suffix.lower()] for item in files}
    if len(readers) != 1:
        what = "both .h5 and .pt files" if readers else "no .h5 or .pt file"
        raise InputError(f"{name}: {what} there; name the folder that prime encode wrote")
    return readers.pop(), files


def _most_tokens(files: list[Path]) -> int:
    """The largest number of rows of `features`, 1 for a vector; unreadable files are left to the reader."""
    most = 1
    for path in files:
        try:
            with h5py.File(path, "r") as file:
                found = file.get("features")
                if isinstance(found, h5py.Dataset) and found.ndim > 1:
                    most = max(most, int(found.shape[-2]))
        except OSError:
            continue
    return most


def _head(path: Path, name: str) -> pd.DataFrame:
    """A table's columns with their types, from no row of a parquet file and the first 100 of a text table."""
    try:
        if path.suffix.lower() == ".parquet":
            return pq.read_schema(path).empty_table().to_pandas()
        if path.suffix.lower() in (".csv", ".tsv"):
            separator = "," if path.suffix.lower() == ".csv" else "\t"
            return pd.read_csv(path, sep=separator, encoding="utf-8-sig", nrows=100)
    except (OSError, ValueError) as error:  # pyarrow's and pandas' own are kinds of ValueError
        raise InputError(f"{name}: not a readable table ({first_line(error)[:150]})") from None
    raise InputError(f"{name}: expected a folder of .h5 files, or a .parquet, .csv or .tsv table")

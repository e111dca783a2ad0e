"""What an encoder wrote, as a source of the cohort file."""

from collections.abc import Collection
from pathlib import Path
from typing import Any

import h5py
import pandas as pd
import pyarrow.parquet as pq

from prime.errors import InputError, first_line

TOKEN_SUFFIXES = {".h5": "h5", ".hdf5": "h5", ".pt": "pt"}
PATIENT_COLUMNS = ("patient_id", "identifier")
REPORT_COLUMNS = {"patient_filename", "text"}
OUTPUTS = {  # what `prime encode` leaves in its --out; texts are for reports that were not encoded
    "slides": ("centroids_patient", "centroids_slide"),
    "rna": ("rna.parquet", "tokens"),
    "reports": ("features",),
}
TEXTS = "texts.csv"


def output_of(kind: str, path: Path) -> Path:
    """The features in an --out of `prime encode KIND`, or the path itself where it is none.

    Raises InputError where there are features of two sorts.
    """
    there = [path / name for name in OUTPUTS[kind] if (path / name).exists()]
    if len(there) > 1:
        names = " and ".join(item.name for item in there)
        raise InputError(f"--{kind} {path}: holds {names}; name one of them")
    if not there and kind == "reports" and (path / TEXTS).is_file():
        return path / TEXTS
    return there[0] if there else path


def source_of(kind: str, path: Path, encoder: str) -> dict[str, Any]:
    """The keys of a source without its path: a folder of token files, a table of features, or one of texts.

    Args:
        kind: slides, rna or reports. Of slides, the reader's own limit of tokens holds; of the others all
            tokens are kept.
        path: see `output_of`.
        encoder: of texts, for the reader `report`.

    Raises:
        InputError: there is no such path, or it is of none of these kinds.
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


def names_slides(path: Path, slides: Collection[str]) -> bool:
    """Whether the folder's files are named by slides, not by patients."""
    if not path.is_dir():
        return False
    return any(item.stem in slides for item in path.iterdir() if item.suffix.lower() in TOKEN_SUFFIXES)


def _token_files(path: Path, name: str) -> tuple[str, list[Path]]:
    """The reader of a folder's files, and the files. Raises InputError for no files, or of both kinds."""
    files = sorted(item for item in path.iterdir() if item.suffix.lower() in TOKEN_SUFFIXES)
    readers = {TOKEN_SUFFIXES[item.suffix.lower()] for item in files}
    if len(readers) != 1:
        what = "both .h5 and .pt files" if readers else "no .h5 or .pt file"
        raise InputError(f"{name}: {what} there; name the folder that prime encode wrote")
    return readers.pop(), files


def _most_tokens(files: list[Path]) -> int:
    """The largest number of rows of `features`; 1 for a vector. Unreadable files are left to the reader."""
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
    """A table's columns with their types; of a parquet file no row is read, of a text table a few."""
    try:
        if path.suffix.lower() == ".parquet":
            return pq.read_schema(path).empty_table().to_pandas()
        if path.suffix.lower() in (".csv", ".tsv"):
            separator = "," if path.suffix.lower() == ".csv" else "\t"
            return pd.read_csv(path, sep=separator, encoding="utf-8-sig", nrows=100)
    except (OSError, ValueError) as error:  # pyarrow's and pandas' own are kinds of ValueError
        raise InputError(f"{name}: not a readable table ({first_line(error)[:150]})") from None
    raise InputError(f"{name}: expected a folder of .h5 files, or a .parquet, .csv or .tsv table")

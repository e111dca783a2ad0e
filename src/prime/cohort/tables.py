"""Reading a user's table (parquet, csv, tsv, xlsx) with one clear error for each thing that can be wrong."""

import csv
from collections import Counter
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from prime.cohort.table_bounds import parquet_fault, sheet_fault, text_fault
from prime.errors import InputError, first_line

SEPARATORS = {".csv": ",", ".tsv": "\t", ".txt": "\t"}


def read_table(path: Path, where: str, *, text: bool = False, sheet: str | None = None) -> pd.DataFrame:
    """Read a table with its column names as they stand.

    Args:
        path: a `.parquet`, `.csv`, `.tsv`, `.txt` (tabs) or `.xlsx` file.
        where: what the table is for, named first in every error.
        text: read every cell of a csv, tsv or xlsx as text, an empty cell as empty text.
        sheet: the sheet of an xlsx; the first one where None.

    Raises:
        InputError: the file is missing, of another kind, not UTF-8, malformed, empty, or has a column twice.
    """
    if not path.is_file():
        raise InputError(f"{where}: {path}: no such file")
    suffix = path.suffix.lower()
    if suffix == ".parquet":
        frame = _read_parquet(path, where)
    elif suffix == ".xlsx":
        frame = _read_excel(path, where, sheet, text)
    elif suffix in SEPARATORS:
        frame = _read_separated(path, where, SEPARATORS[suffix], text)
    else:
        raise InputError(
            f"{where}: {path}: unknown kind of table {suffix!r}; use .parquet, .csv, .tsv or .xlsx"
        )
    if frame.empty:
        raise InputError(f"{where}: {path}: the table has no rows")
    return frame


def require_columns(frame: pd.DataFrame, names: list[str], path: Path, where: str) -> None:
    """Raise InputError where a column of `names` is not in the table, listing the columns found."""
    missing = [name for name in names if name not in frame.columns]
    if missing:
        found = [str(name) for name in frame.columns[:20]]
        more = ", ..." if len(frame.columns) > 20 else ""
        raise InputError(
            f"{where}: {path}: no column {', '.join(map(repr, missing))}; "
            f"found {', '.join(map(repr, found))}{more}"
        )


def patient_ids(column: "pd.Series[str]", path: Path, where: str) -> "pd.Series[str]":
    """The column as stripped text, whole numbers without decimals. Raises InputError on an empty cell."""
    if pd.api.types.is_float_dtype(column) and bool((column.dropna() % 1 == 0).all()):
        column = column.astype("Int64")  # pyright: ignore[reportAssignmentType]
    ids = column.astype("string").str.strip()
    empty = ids.isna() | (ids == "")
    if bool(empty.any()):
        row = int(empty.to_numpy().argmax())
        raise InputError(f"{where}: {path}: row {row + 1} has no {column.name}; give every row a patient id")
    return ids.astype(object)  # pyright: ignore[reportReturnType]


def refuse_duplicates(names: list[str], path: Path, where: str) -> None:
    """Raise InputError where a column name occurs twice."""
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise InputError(f"{where}: {path}: column {twice[0]!r} occurs twice; rename or remove one")


def _refuse(fault: str | None, path: Path, where: str) -> None:
    if fault is not None:
        raise InputError(f"{where}: {path}: {fault}")


def _read_parquet(path: Path, where: str) -> pd.DataFrame:
    try:
        file = pq.ParquetFile(path)
        refuse_duplicates(list(file.schema_arrow.names), path, where)
        _refuse(parquet_fault(file, path), path, where)
        return file.read().to_pandas()
    except InputError:
        raise
    except (pa.ArrowException, OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise InputError(f"{where}: {path}: not a readable parquet file ({first_line(error)})") from None


def _read_excel(path: Path, where: str, sheet: str | None, text: bool) -> pd.DataFrame:
    _refuse(sheet_fault(path), path, where)
    try:
        with pd.ExcelFile(path, engine="openpyxl") as book:
            names = [str(name) for name in book.sheet_names]
            if sheet is not None and sheet not in names:
                raise InputError(f"{where}: {path}: no sheet {sheet!r}; found {', '.join(map(repr, names))}")
            cells = pd.read_excel(
                book, sheet_name=sheet or names[0], header=None, dtype=object, na_filter=not text
            )
    except InputError:
        raise
    except Exception as error:  # openpyxl raises many kinds for a damaged file
        raise InputError(f"{where}: {path}: not a readable xlsx file ({first_line(error)})") from None
    if cells.empty:
        raise InputError(f"{where}: {path}: the sheet is empty")
    header = [str(name).strip() for name in cells.iloc[0]]
    named = [i for i, name in enumerate(header) if name not in ("", "nan", "None")]
    refuse_duplicates([header[i] for i in named], path, where)
    frame = cells.iloc[1:, named].reset_index(drop=True)
    frame.columns = pd.Index([header[i] for i in named])
    if text:
        return frame.astype(str)
    return frame.infer_objects()


def _read_separated(path: Path, where: str, separator: str, text: bool) -> pd.DataFrame:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            header = next(csv.reader(file, delimiter=separator), [])
        refuse_duplicates(header, path, where)
        _refuse(text_fault(path, len(header)), path, where)
        if text:
            frame = pd.read_csv(path, sep=separator, encoding="utf-8-sig", dtype=str, keep_default_na=False)
        else:
            frame = pd.read_csv(path, sep=separator, encoding="utf-8-sig", low_memory=False)
    except UnicodeDecodeError as error:
        raise InputError(
            f"{where}: {path}: not UTF-8 (byte {error.start}); save the table as UTF-8"
        ) from None
    except pd.errors.EmptyDataError:
        raise InputError(f"{where}: {path}: the file is empty") from None
    except (pd.errors.ParserError, csv.Error) as error:
        raise InputError(f"{where}: {path}: malformed table ({first_line(error)})") from None
    refuse_shifted(frame, f"{where}: {path}")
    return frame


def refuse_shifted(frame: pd.DataFrame, source: str) -> None:
    """Refuse a separated table whose rows are longer than its header: pandas would shift every column.

    Raises InputError that begins with `source`.
    """
    if not isinstance(frame.index, pd.RangeIndex):
        raise InputError(
            f"{source}: its rows have more fields than the header has names (first:"
            f" {str(frame.index[0])!r}); quote values that hold the separator, and end no line with it"
        )

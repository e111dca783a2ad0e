"""Reading a user's table (parquet, csv, tsv, xlsx) with one clear error for each thing that can be wrong."""

import csv
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from prime.arrays import Flags
from prime.cohort import barcode
from prime.cohort.cells import first_missing
from prime.cohort.patient_names import first_changed, refuse_changed
from prime.cohort.table_bounds import parquet_fault, sheet_fault, text_fault
from prime.errors import InputError, cut, first_line

ANNOTATED = (".h5ad", ".h5mu")
SEPARATORS = {".csv": ",", ".tsv": "\t", ".txt": "\t"}
NO_NAME = re.compile(r"(Unnamed: \d+.*|__index_level_\d+__|level_\d+)")
INDEX_NAME = re.compile(NO_NAME.pattern + "|index")
EXACT, XLSX_DIGITS = 2**53, 10**15
LAST = 2**20  # bytes at the end of a file, among which its last line is looked for
WHOLE_FLOAT = re.compile(r"\d+\.0+")
NOT_PARQUET = (pa.ArrowException, OSError, ValueError, LookupError, TypeError, AttributeError)


@dataclass(frozen=True)
class WideTable:
    """A table of which some columns are read at a time: of a parquet file, nothing else is held.

    Attributes:
        columns: the names of all.
        rows: how many there are.
        read: the columns of these names, as `read_table` gives them.
    """

    columns: list[str]
    rows: int
    read: Callable[[Sequence[str]], pd.DataFrame]


def read_table(
    path: Path,
    where: str,
    *,
    text: bool = False,
    ids: Sequence[str] = (),
    sheet: str | None = None,
    comments: bool = False,
) -> pd.DataFrame:
    """Read a table with its column names as they stand; the index that pandas keeps in a parquet is a column.

    Args:
        path: a `.parquet`, `.csv`, `.tsv`, `.txt` (tabs) or `.xlsx` file; of `.h5ad` and `.h5mu` it is `obs`.
        where: what the table is for, named first in every error.
        text: give every cell as text, an empty or null one as empty text, a whole number without decimals.
        ids: columns that are read as text in any case, so that `00012` stays what it is.
        sheet: the sheet of an xlsx; the first one where None.
        comments: leave out the lines at the head of a text file that begin with `#`.

    Raises:
        InputError: the file is missing, of another kind, not UTF-8, malformed, empty, or has a column twice.
    """
    if not path.is_file():
        raise InputError(f"{where}: {path}: no such file")
    suffix = path.suffix.lower()
    if suffix == ".parquet":
        file = _open_parquet(path, where)
        frame = _parquet_columns(file, path, where, list(file.schema_arrow.names))
    elif suffix == ".xlsx":
        frame = _read_excel(path, where, sheet, text)
    elif suffix in ANNOTATED:
        from prime.cohort.readers.annotated_files import read_obs

        frame = read_obs(path, where)
    elif suffix in SEPARATORS:
        frame = _read_separated(path, where, SEPARATORS[suffix], True if text else ids, comments)
    else:
        raise InputError(
            f"{where}: {path}: unknown kind of table {suffix!r}; use .parquet, .csv, .tsv or .xlsx"
        )
    if frame.empty:
        raise InputError(f"{where}: {path}: the table has no rows")
    return _as_text(frame, path) if text else frame


def open_table(path: Path, where: str, ids: Sequence[str]) -> WideTable:
    """A table as `read_table` reads it, a few columns at a time; raises as it does."""
    if path.suffix.lower() != ".parquet" or not path.is_file():
        frame = read_table(path, where, ids=ids)
        frame.columns = frame.columns.astype(str)
        return WideTable(list(frame.columns), len(frame), lambda names: frame[list(names)])
    file = _open_parquet(path, where)
    if file.metadata.num_rows == 0:
        raise InputError(f"{where}: {path}: the table has no rows")

    def read(names: Sequence[str]) -> pd.DataFrame:
        return _parquet_columns(file, path, where, list(names))

    return WideTable(list(file.schema_arrow.names), file.metadata.num_rows, read)


def _as_text(frame: pd.DataFrame, path: Path) -> pd.DataFrame:
    """Every cell as text: a null is empty, a whole number has no decimals."""
    return pd.DataFrame({name: _text_of(frame[name], path) for name in frame.columns}, index=frame.index)


def _text_of(column: "pd.Series[Any]", path: Path) -> "pd.Series[str]":
    """A column of the table at `path` as text. A number whose last digits the file can't hold is written with
    an exponent (`9.00719925474099E+15`), as two such ids may look alike: decimals are exact below 2**53, xlsx
    keeps 15 digits of any number.
    """
    if column.dtype == object and pd.api.types.infer_dtype(column, skipna=False) == "string":
        return column
    lost = pd.Series(False, index=column.index)
    kept = XLSX_DIGITS if path.suffix.lower() == ".xlsx" else EXACT
    if pd.api.types.is_float_dtype(column):
        lost = column.abs() >= kept
        if bool((column.dropna() % 1 == 0).all()) and not bool(lost.any()):
            column = column.astype("Int64")
    elif kept is XLSX_DIGITS:
        lost = pd.Series([_is_number(cell) and abs(cell) >= kept for cell in column], index=column.index)
    nulls = column.isna().to_numpy()
    return pd.Series(
        [
            "" if null else f"{float(cell):.14E}" if inexact else str(cell)
            for cell, null, inexact in zip(column, nulls, lost, strict=True)
        ],
        index=column.index, dtype=object,
    )  # fmt: skip


def _is_number(cell: object) -> bool:
    return isinstance(cell, int | float | np.number) and not isinstance(cell, bool)


def index_columns(table: pd.DataFrame) -> list[str]:
    """The columns that only number the rows, as pandas and R write a table's index: no name, or `index`."""
    found: list[str] = []
    for name in [str(name) for name in table.columns if INDEX_NAME.fullmatch(str(name))]:
        numbers = pd.to_numeric(table[name], errors="coerce")
        if bool(numbers.notna().all()) and bool((numbers % 1 == 0).all()) and numbers.is_unique:
            found.append(name)
    return found


def feature_columns(
    table: WideTable, labels: Sequence[str], kept: Flags, path: Path, where: str
) -> tuple[list[str], list[str]]:
    """The columns of a table that are features, and a note for each that only numbers the rows.

    Args:
        table: the table.
        labels: columns that are no features.
        kept: (rows,) which rows count.
        path, where: of the table, for errors.

    Raises InputError for another column without a name, and where no feature is left.
    """
    names = [name for name in table.columns if name not in set(labels)]
    doubtful = table.read([name for name in names if INDEX_NAME.fullmatch(name)]).loc[kept]
    numbering = index_columns(doubtful)
    for name in [name for name in map(str, doubtful) if NO_NAME.fullmatch(name) and name not in numbering]:
        if bool(doubtful[name].notna().any()):
            raise InputError(
                f"{where}: {path}: column {name!r} has no name in the file; name it, add it to ignore, or "
                f"write patient_id: {name!r} if it holds the patients"
            )
    names = [name for name in names if name not in set(numbering)]
    if not names:
        raise InputError(f"{where}: {path}: no feature column is left after patient_id and ignore")
    return names, [f"column {n!r} only numbers the rows (a table's index): left out" for n in numbering]


def require_columns(frame: pd.DataFrame | WideTable, names: list[str], path: Path, where: str) -> None:
    """Raise InputError where a column of `names` is not in the table, listing the columns found."""
    missing = [name for name in names if name not in frame.columns]
    if missing:
        found = [str(name) for name in frame.columns[:20]]
        more = ", ..." if len(frame.columns) > 20 else ""
        more += "".join(f", and as index {str(n)!r}" for n in frame.columns[20:] if NO_NAME.fullmatch(str(n)))
        raise InputError(
            f"{where}: {path}: no column {', '.join(map(repr, missing))}; "
            f"found {', '.join(map(repr, found))}{more}{_other_separator(found, path)}"
        )


def _other_separator(columns: Sequence[str], path: Path) -> str:
    """What to do about a header that another sign separates; nothing where none does."""
    wanted = SEPARATORS.get(path.suffix.lower())
    signs = [sign for sign in (";", "\t", ",", "|") if sign != wanted and sign in columns[0]]
    if wanted is None or not signs:
        return ""
    return f"; its fields are separated by {signs[0]!r}: write {wanted!r}, and decimals with a point"


def patient_ids(
    column: "pd.Series[Any]", path: Path, where: str, what: str = "a patient id"
) -> "pd.Series[str]":
    """The column as stripped text. Numbers have no decimals where all are whole; TCGA's barcodes are as TCGA
    writes them; other text stays as it is. `what` every row is to be given where one has none.

    Raises InputError on an empty cell, on one that says that something is missing (`NA`, `None`), on what a
    spreadsheet made of an id, a number that lost its last digits among them.
    """
    ids = [text.strip() for text in _text_of(column, path)]
    if all(WHOLE_FLOAT.fullmatch(text) for text in ids):  # a column of numbers that was written as text
        ids = [text.partition(".")[0] for text in ids]
    row = first_missing(ids)
    if row is not None:
        found = f" (found {ids[row]!r})" if ids[row] else ""
        raise InputError(f"{where}: {path}: row {row + 1} has no {column.name}{found}; give every row {what}")
    changed = first_changed(ids)
    if changed is not None:
        refuse_changed(ids[changed], f"{where}: {path}: row {changed + 1}: {column.name}")
    return pd.Series(barcode.all_spelt(ids), column.index, dtype=object, name=column.name)


def refuse_duplicates(names: list[str], path: Path, where: str) -> None:
    """Raise InputError where a column name occurs twice."""
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise InputError(f"{where}: {path}: column {twice[0]!r} occurs twice; rename or remove one")


def _refuse(fault: str | None, path: Path, where: str) -> None:
    if fault is not None:
        raise InputError(f"{where}: {path}: {fault}")


def _open_parquet(path: Path, where: str) -> pq.ParquetFile:
    try:
        file = pq.ParquetFile(path)
        refuse_duplicates(list(file.schema_arrow.names), path, where)
        _refuse(parquet_fault(file, path), path, where)
        return file
    except InputError:
        raise
    except NOT_PARQUET as error:
        raise InputError(f"{where}: {path}: not a readable parquet file ({first_line(error)})") from None


def _parquet_columns(file: pq.ParquetFile, path: Path, where: str, names: list[str]) -> pd.DataFrame:
    try:
        found = file.read(columns=names).to_pandas(ignore_metadata=True)
        return found[names]  # the file gives `a.b` too where `a` is asked for
    except NOT_PARQUET as error:
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
    header = ["" if name in ("nan", "None") else name for name in header]
    refuse_duplicates([name for name in header if name], path, where)
    there = (cells.iloc[1:].notna() & (cells.iloc[1:] != "")).any().to_numpy()
    kept = [i for i, name in enumerate(header) if name or there[i]]
    frame = cells.iloc[1:, kept].reset_index(drop=True)
    frame.columns = pd.Index([header[i] or f"Unnamed: {i}" for i in kept])
    return frame if text else frame.infer_objects()


def _read_separated(
    path: Path, where: str, separator: str, text: bool | Sequence[str], comments: bool
) -> pd.DataFrame:
    """`text`: True where all columns are text, else the names of those that are."""
    try:
        skipped = _comment_lines(path) if comments else 0
        with path.open(encoding="utf-8-sig", newline="") as file:
            for _ in range(skipped):
                next(file)
            header = next(csv.reader(file, delimiter=separator), [])
        if any("\0" in name for name in header):
            raise InputError(f"{where}: {path}: holds NUL signs, as UTF-16 does; save the table as UTF-8")
        refuse_duplicates(header, path, where)
        _refuse(text_fault(path, len(header)), path, where)
        options: dict[str, Any] = {"sep": separator, "encoding": "utf-8-sig", "skiprows": skipped}
        if text is True:
            frame = pd.read_csv(path, dtype=str, keep_default_na=False, **options)
        else:
            frame = pd.read_csv(path, dtype=dict.fromkeys(text or (), str), low_memory=False, **options)
    except UnicodeDecodeError as error:
        raise InputError(
            f"{where}: {path}: not UTF-8 (byte {error.start}); save the table as UTF-8"
        ) from None
    except pd.errors.EmptyDataError:
        raise InputError(f"{where}: {path}: the file is empty") from None
    except (pd.errors.ParserError, csv.Error) as error:
        raise InputError(f"{where}: {path}: malformed table ({first_line(error)})") from None
    _refuse_shifted_or_cut(frame, header, path, separator, where)
    return frame


def _refuse_shifted_or_cut(
    frame: pd.DataFrame, header: list[str], path: Path, separator: str, where: str
) -> None:
    """Raise InputError where rows are longer than the header, or the last one was cut off."""
    if not isinstance(frame.index, pd.RangeIndex):
        if hint := _other_separator([header[0]] if header else [""], path):
            raise InputError(f"{where}: {path}: found the header {cut(header[0])!r}{hint}")
        if header and header[0].lower().startswith(("#", "sep=")):
            raise InputError(
                f"{where}: {path}: its first line is {cut(header[0])!r}, not the header; remove that line"
            )
    refuse_shifted(frame, f"{where}: {path}")
    fields = _cut_off(path, separator)
    if fields and fields < len(header):
        raise InputError(
            f"{where}: {path}: its last line has {fields} of {len(header)} fields and no end: the file is cut"
            " off; get it again"
        )


def _cut_off(path: Path, separator: str) -> int:
    """The number of fields of a last line that no line feed ends; 0 of any other and of one with quotes."""
    with path.open("rb") as file:
        file.seek(0, 2)
        start = max(0, file.tell() - LAST)
        file.seek(start)
        *before, last = re.split(rb"[\r\n]", file.read())
    whole = bool(before) or start == 0
    return last.count(separator.encode()) + 1 if whole and last.strip() and b'"' not in last else 0


def _comment_lines(path: Path) -> int:
    """How many lines at the head of a text file begin with `#`."""
    with path.open(encoding="utf-8-sig") as file:
        return sum(1 for _ in takewhile(lambda line: line.startswith("#"), file))


def refuse_shifted(frame: pd.DataFrame, source: str) -> None:
    """Refuse a separated table whose rows are longer than its header: pandas would shift every column.

    Raises InputError that begins with `source`.
    """
    if not isinstance(frame.index, pd.RangeIndex):
        raise InputError(
            f"{source}: its rows have more fields than the header has names (first:"
            f" {str(frame.index[0])!r}); quote values that hold the separator, and end no line with it"
        )

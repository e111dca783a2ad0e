"""Whether a table declares far more cells than its file holds; looked at before anything is read."""

import re
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq

LARGE = 2**24  # cells; below, a table is read whatever its file's size
LARGE_PARQUET = 2**26  # cells
CELLS_PER_BYTE = 100  # of a parquet file, where repeated values take next to nothing
SPREAD = 50  # cells of a sheet from the first to the last, for each that is there
LARGEST_SHEET = 2**27  # bytes of a sheet as XML: some ten million cells
_PLACE = re.compile(rb'<(c|row)\b[^>]*?\br="([A-Z]*)(\d+)"')


def parquet_fault(file: pq.ParquetFile, path: Path) -> str | None:
    """Why a parquet file must not be read; None where it may be."""
    cells = file.metadata.num_rows * file.metadata.num_columns
    if cells > LARGE_PARQUET and cells > CELLS_PER_BYTE * path.stat().st_size:
        return f"declares {cells:,} cells in {path.stat().st_size:,} bytes"
    return None


def text_fault(path: Path, columns: int) -> str | None:
    """Why a separated text with so many columns in its header must not be read; None where it may be."""
    size = path.stat().st_size
    if columns * size <= LARGE:  # a line has a byte at least
        return None
    with path.open("rb") as file:
        lines = sum(block.count(b"\n") for block in iter(lambda: file.read(2**20), b""))
    if columns * (lines + 1) > max(LARGE, 2 * size):  # a cell has a separator at least
        return f"has {columns:,} columns and {lines:,} lines, most of which lack most columns"
    return None


def sheet_fault(path: Path) -> str | None:
    """Why an xlsx file must not be read; None where it may be, or where openpyxl says what is wrong."""
    try:
        with zipfile.ZipFile(path) as book:
            for item in book.infolist():
                if item.file_size > LARGEST_SHEET:
                    return f"unpacks to {item.file_size:,} bytes; save it as csv or parquet"
            for item in book.infolist():
                if item.filename.startswith("xl/worksheets/") and (fault := _spread(book.read(item))):
                    return fault
    except Exception:  # a damaged archive has many kinds, and openpyxl its own words for them
        return None
    return None


def _spread(sheet: bytes) -> str | None:
    """Whether few cells of a sheet stand far apart, as the rows and columns between would all be made."""
    cells = rows = columns = 0
    for is_cell, column, row in _places(sheet):
        cells += is_cell
        columns, rows = max(columns, column), max(rows, row)
    if rows * columns > max(LARGE, SPREAD * cells):
        return f"has {cells:,} cells in {rows:,} rows and {columns:,} columns; remove what is far off"
    return None


def _places(sheet: bytes) -> Iterator[tuple[bool, int, int]]:
    for match in _PLACE.finditer(sheet):
        kind, letters, digits = match.groups()
        column = 0
        for letter in letters[:4]:
            column = 26 * column + letter - 64
        yield kind == b"c", column, int(digits[:9])

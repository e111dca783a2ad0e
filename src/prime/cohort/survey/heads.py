"""The first rows of every table of a folder, and the folders of feature files."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from prime.cohort.cells import finite_number, is_missing, value_key
from prime.cohort.readers.tokens import SUFFIXES
from prime.cohort.tables import ANNOTATED, SEPARATORS, read_table
from prime.errors import InputError, first_line

ROWS = 500  # that are looked at
DEEPEST = 4  # folders below the first
TABLES = (*SEPARATORS, *ANNOTATED, ".parquet", ".xlsx")
WHERE = "init"


@dataclass(frozen=True)
class Head:
    """The first rows of a table as text.

    Attributes:
        path: relative to the folder.
        cells: up to ROWS rows; a null is empty text.
    """

    path: Path
    cells: pd.DataFrame

    @property
    def columns(self) -> list[str]:
        """Its column names."""
        return [str(name) for name in self.cells.columns]

    def known(self, column: str) -> list[str]:
        """The cells of a column that are not missing."""
        return [str(cell).strip() for cell in self.cells[column] if not is_missing(cell)]

    def values(self, column: str) -> list[str]:
        """The different values of a column, in the order in which they occur."""
        first: dict[str, str] = {}
        for cell in self.known(column):
            first.setdefault(value_key(cell), cell)
        return list(first.values())

    def numeric(self, column: str) -> bool:
        """Whether all known cells are numbers, and there is one."""
        cells = self.known(column)
        return bool(cells) and all(finite_number(cell) is not None for cell in cells)


def tables_in(folder: Path) -> Iterator[Path]:
    """Tables below the folder, sorted, hidden files left out."""
    yield from (path for path in _files(folder) if path.suffix.lower() in TABLES)


def token_folders(folder: Path) -> dict[Path, str]:
    """Folders below that hold feature files of slides, with the reader of each."""
    found: dict[Path, str] = {}
    for path in _files(folder):
        for reader, suffixes in SUFFIXES.items():
            if path.suffix.lower() in suffixes:
                found.setdefault(path.parent, reader)
    return found


def _files(folder: Path) -> list[Path]:
    inside = (path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    kept = (p for p in inside if len(p.parts) <= DEEPEST and not any(x.startswith(".") for x in p.parts))
    return sorted(kept)


def head_of(folder: Path, path: Path, comments: bool = False) -> Head:
    """The first rows of a table. Raises InputError where it is none."""
    whole, suffix = folder / path, path.suffix.lower()
    if suffix == ".xlsx" or suffix in ANNOTATED:
        return Head(path, read_table(whole, WHERE, text=True).head(ROWS))
    try:
        if suffix == ".parquet":
            batches = pq.ParquetFile(whole).iter_batches(batch_size=ROWS)
            frame = next(batches).to_pandas(ignore_metadata=True)
            nulls = frame.isna()
            return Head(path, frame.astype(object).where(~nulls, "").astype(str))
        frame = pd.read_csv(
            whole, sep=SEPARATORS[suffix], dtype=str, keep_default_na=False, nrows=ROWS, encoding="utf-8-sig",
            comment="#" if comments else None,
        )  # fmt: skip
    except (pa.ArrowException, OSError, ValueError, StopIteration) as error:
        raise InputError(f"{WHERE}: {whole}: not a readable table ({first_line(error)})") from None
    if frame.empty:
        raise InputError(f"{WHERE}: {whole}: the table has no rows")
    return Head(path, frame)

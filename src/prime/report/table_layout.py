"""A table as rows of headers and cells, with what spans several of them."""

import re
from dataclasses import dataclass
from itertools import groupby

from prime.render.tables import ABSENT
from prime.report.read import TableText

MANY = 7  # columns from which on a table is set closer

_NUMBER = re.compile(r"^[<>≤≥]?\s?[-+−]?\d")
_MARKED = re.compile(r"^(?:\*\*(?P<b>.*)\*\*|<u>(?P<u>.*)</u>)$", re.DOTALL)


@dataclass(frozen=True)
class Header:
    """A header cell: its text, what it is the header of (HTML's `scope`), its size, and its CSS class."""

    text: str
    scope: str
    columns: int = 1
    rows: int = 1
    look: str = ""


@dataclass(frozen=True)
class Cell:
    """A cell: its text, its mark (`b` for the best of its column, `u` for the second), and whether its column
    holds numbers."""

    text: str
    mark: str
    number: bool


@dataclass(frozen=True)
class Row:
    """The headers and the cells of a row."""

    heads: list[Header]
    cells: list[Cell]


@dataclass(frozen=True)
class TableLayout:
    """A table ready to be written.

    Attributes:
        heads: the rows of column headers, the outermost first.
        groups: rows in groups that share their first header, which the first row of each holds.
        marks: the marks that some cell has.
        many: whether there are so many columns that they are set closer.
    """

    heads: list[list[Header]]
    groups: list[list[Row]]
    marks: set[str]
    many: bool


def layout(table: TableText) -> TableLayout:
    """The layout of a table."""
    numeric = [_numeric([row[place] for row in table.rows]) for place in range(len(table.columns))]
    groups = _groups(table, numeric)
    marks = {cell.mark for group in groups for row in group for cell in row.cells} - {""}
    return TableLayout(_heads(table, numeric), groups, marks, len(table.columns) >= MANY)


def _heads(table: TableText, numeric: list[bool]) -> list[list[Header]]:
    """One row per level of the column headers; an outer header spans the columns that share it."""
    depth = len(table.columns[0]) if table.columns else 1
    rows: list[list[Header]] = []
    for level in range(depth):
        names = enumerate(table.index_names) if level == 0 else ()
        heads = [Header(name, "col", rows=depth, look=_lead(place)) for place, name in names]
        place = 0
        for key, run in groupby(table.columns, key=lambda column: tuple(column[: level + 1])):
            width = len(list(run))
            if level == depth - 1:
                heads += [Header(key[-1], "col", look="number" if numeric[place] else "")] * width
            else:
                heads.append(Header(key[-1], "colgroup", columns=width, look="over"))
            place += width
        rows.append(heads)
    return rows


def _groups(table: TableText, numeric: list[bool]) -> list[list[Row]]:
    """Runs of rows with the same first header; with one level of headers, each row alone."""
    together = len(table.index_names) > 1
    numbered = list(enumerate(zip(table.index, table.rows, strict=True)))
    groups: list[list[Row]] = []
    for _, run in groupby(numbered, key=lambda item: item[1][0][0] if together else item[0]):
        lines = [line for _, line in run]
        rows: list[Row] = []
        for place, (levels, texts) in enumerate(lines):
            heads = [Header(level, "row", look=_lead(column)) for column, level in enumerate(levels)]
            if together:
                first = [Header(levels[0], "rowgroup", rows=len(lines), look=_lead(0))]
                heads = (first if place == 0 else []) + heads[1:]
            rows.append(Row(heads, [_cell(*pair) for pair in zip(texts, numeric, strict=True)]))
        groups.append(rows)
    return groups


def _lead(column: int) -> str:
    """The class of the first column, which stays in sight while the others scroll."""
    return "lead" if column == 0 else ""


def _cell(text: str, number: bool) -> Cell:
    match = _MARKED.match(text)
    mark = (match.lastgroup or "") if match else ""
    return Cell(match[mark] if match else text, mark, number)


def _numeric(texts: list[str]) -> bool:
    """Whether every cell that is filled starts like a number."""
    filled = [text for text in (_cell(text, False).text for text in texts) if text not in ("", ABSENT)]
    return bool(filled) and all(_NUMBER.match(text) for text in filled)

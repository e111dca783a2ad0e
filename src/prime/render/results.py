"""The tables and figures of a result on disk, as the page reads them."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from prime.files import write_json
from prime.render.draw import write_figure
from prime.render.figure import Figure
from prime.render.tables import Table, header_levels, write_table


def write_results(tables: Iterable[Table], figures: Iterable[Figure], folder: Path) -> None:
    """Each table as csv, Markdown, LaTeX and JSON for the page; each figure as SVG, PDF and JSON."""
    for table in tables:
        write_table(table, folder / table.name)
        write_json(folder / f"{table.name}.json", _as_json(table))
    for figure in figures:
        write_figure(figure, folder / figure.name)


def _as_json(table: Table) -> dict[str, Any]:
    """The cells of a table as they are read."""
    display = table.display
    return {
        "name": table.name,
        "title": table.title,
        "caption": table.caption,
        "notes": table.notes,
        "index_names": [str(name or "") for name in display.index.names],
        "index": [list(header_levels(key)) for key in display.index],
        "columns": [list(header_levels(key)) for key in display.columns],
        "rows": [[str(value) for value in row] for row in display.itertuples(index=False, name=None)],
    }

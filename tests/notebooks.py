"""Running the notebooks of the documentation; `python -m tests.notebooks` renews their outputs."""

from os import environ
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import nbformat
from nbclient import NotebookClient
from nbformat import NotebookNode

FOLDER = Path(__file__).resolve().parents[1] / "docs" / "notebooks"
LONGEST_S = 600


def executed(path: Path) -> NotebookNode:
    """The notebook after a run of all its cells in a fresh kernel. Raises CellExecutionError for an error."""
    notebook = nbformat.read(path, as_version=4)
    client = NotebookClient(notebook, timeout=LONGEST_S, kernel_name="python3")
    with TemporaryDirectory() as cache:  # as on a new machine
        return client.execute(cwd=str(FOLDER), env={**environ, "PRIME_CACHE": cache})


def code_cells(notebook: NotebookNode) -> list[Any]:
    """The cells with code."""
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def renewed(path: Path) -> None:
    """Run a notebook and write it with its outputs, without times and the version of Python."""
    notebook = executed(path)
    for cell in code_cells(notebook):
        cell.metadata.pop("execution", None)
    notebook.metadata = {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}}
    nbformat.write(notebook, path)


if __name__ == "__main__":
    for found in sorted(FOLDER.glob("*.ipynb")):
        renewed(found)

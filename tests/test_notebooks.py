"""The notebooks of the documentation run, without a warning, and hold the outputs of a run."""

from pathlib import Path
from typing import Any

import nbformat
import pytest

from tests.notebooks import FOLDER, code_cells, executed

NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))


def kinds(cell: Any) -> list[tuple[str, list[str]]]:
    """What a cell gave: the kind of each output, and the formats in which it came."""
    return [(output.output_type, sorted(output.get("data", {}))) for output in cell.outputs]


def test_there_are_notebooks() -> None:
    assert {path.name for path in NOTEBOOKS} == {"demo_cohort.ipynb", "three_tables.ipynb"}
    page = (FOLDER.parent / "python.md").read_text(encoding="utf-8")
    assert all(f"(notebooks/{path.name})" in page for path in NOTEBOOKS)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs_and_its_outputs_are_those_of_a_run(path: Path) -> None:
    kept, found = nbformat.read(path, as_version=4), executed(path)
    for before, after in zip(code_cells(kept), code_cells(found), strict=True):
        assert not [output for output in after.outputs if output.output_type == "stream"], before.source
        assert kinds(before) == kinds(after), before.source
    numbers = [cell.execution_count for cell in code_cells(kept)]
    assert numbers == list(range(1, len(numbers) + 1))
    pictures = [o for cell in code_cells(kept) for o in cell.outputs if "image/svg+xml" in o.get("data", {})]
    assert pictures
    assert path.stat().st_size < 300_000
    assert str(Path.home()) not in path.read_text(encoding="utf-8")

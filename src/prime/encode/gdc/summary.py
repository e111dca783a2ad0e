"""What a query found, as a table for the screen."""

from collections.abc import Sequence
from typing import Any

from rich.filesize import decimal
from rich.table import Table

from prime.encode.gdc.cases import project_of
from prime.encode.gdc.kinds import KINDS
from prime.encode.gdc.manifest import GdcFile

TOTAL = "all"


def overview(files: Sequence[GdcFile], cases: Sequence[dict[str, Any]]) -> Table:
    """One row per project and one for all: files and patients of each kind, clinical cases, patients who
    have every kind of file that was found, and bytes.
    """
    kinds = [kind for kind in KINDS if any(file.data == kind for file in files)]
    table = Table(box=None, pad_edge=False)
    table.add_column("project")
    for heading in (*kinds, "clinical", "all kinds", "size"):
        table.add_column(heading, justify="right")
    projects = sorted({file.project for file in files} | {project_of(case) for case in cases})
    for project in [*projects, TOTAL] if len(projects) > 1 else projects:
        mine = [file for file in files if project in (file.project, TOTAL)]
        patients = [{file.patient for file in mine if file.data == kind} for kind in kinds]
        counts = [sum(file.data == kind for file in mine) for kind in kinds]
        table.add_row(
            project,
            *(f"{count:,} of {len(who):,}" for count, who in zip(counts, patients, strict=True)),
            f"{sum(project in (project_of(case), TOTAL) for case in cases):,}",
            f"{len(_in_all(patients)):,}",
            decimal(sum(file.size for file in mine)),
        )
    table.caption = "files of patients; clinical and all kinds count patients"
    return table


def _in_all(groups: list[set[str]]) -> set[str]:
    """Who is in every group."""
    return groups[0].intersection(*groups) if groups else set()

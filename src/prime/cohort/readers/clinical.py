"""Covariates of a clinical table as a source, so that clinical variables can be a modality."""

from pathlib import Path
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from prime.arrays import Flags
from prime.cohort.covariates import (
    ClinicalRows,
    Covariates,
    clinical_rows,
    covariate,
    covariate_columns,
    read_cells,
)
from prime.cohort.large_matrix import FLOAT32_MAX
from prime.cohort.readers.registry import reader
from prime.cohort.readers.vector import without_empty
from prime.cohort.source import SourceConfig, SourceRows
from prime.errors import InputError


class ClinicalSource(SourceConfig):
    """Covariates of a clinical table, which become a vector per patient."""

    sheet: str | None = None
    patient_id: str = "patient_id"
    covariates: Annotated[Covariates, Field(min_length=1)]


@reader("clinical", settings=ClinicalSource)
def read_clinical_source(config: ClinicalSource, root: Path, where: str) -> SourceRows:
    """Read covariates: one row per patient, one feature per covariate, each in a group of its own.

    An unknown covariate is NaN (a later step imputes it); a patient without any known one counts as missing
    and is noted, and so is a covariate that nobody has: it is no feature.

    Raises:
        InputError: a missing file or column, a patient twice or without an id, a cell that is neither missing
            nor a known value, a number beyond float32, or
            no covariate that is known for anybody.
    """
    path = root / config.path
    cells = read_cells(path, where, config.sheet)
    rows = clinical_rows(cells, config.patient_id, covariate_columns(config.covariates), path, where)
    names = [item.name for item in config.covariates]
    values = _float32(np.stack([covariate(item, rows) for item in config.covariates], axis=1), names, rows)
    there = ~np.isnan(values)
    held: Flags = np.asarray(there.any(axis=0))
    names, empty = without_empty(names, held, f"{where}: {path}", rows.notes)
    values, known = values[:, held], there.any(axis=1)  # (n, d), (n,)
    if not known.all():
        rows.notes.append(f"{int((~known).sum()):,} patients have no covariate: counted as missing")
    return SourceRows(
        kind="vector",
        dim=len(names),
        feature_names=names,
        patients=((rows.ids[row], values[row : row + 1]) for row in np.flatnonzero(known).tolist()),
        detected=f"{path.suffix[1:]} table: {len(rows.ids)} patients, {len(names)} covariates "
        f"by {config.patient_id}",
        notes=rows.notes,
        groups=np.arange(len(names), dtype=np.int64),
        empty=empty,
    )


def _float32(values: NDArray[np.float64], names: list[str], rows: ClinicalRows) -> NDArray[np.float32]:
    """The covariates (n, d) as float32. Raises InputError for a number that does not fit."""
    large = np.argwhere(np.abs(values) > FLOAT32_MAX)
    if len(large):
        row, column = large[0].tolist()
        raise InputError(
            f"{rows.at(row)}: covariate {names[column]} is {values[row, column]:g}; use a number that fits "
            f"float32, or leave it empty"
        )
    return values.astype(np.float32)

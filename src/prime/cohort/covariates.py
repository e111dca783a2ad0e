"""Covariates: columns of a clinical table, read as one number per patient."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import AfterValidator, BeforeValidator, Field, FiniteFloat, model_validator

from prime.cohort.cells import code_for_missing, finite_number, is_missing, value_key
from prime.cohort.tables import patient_ids, read_table, require_columns
from prime.errors import InputError
from prime.settings.strict import Strict

SHOWN_VALUES = 6


def listed(value: object) -> object:
    """A single text is a list of one."""
    return (value,) if isinstance(value, str) else value


Columns = Annotated[tuple[str, ...], BeforeValidator(listed), Field(min_length=1)]


class CovariateConfig(Strict):
    """A covariate: one number per patient from a clinical table. The name of a column is its short form.

    Of several columns the first with a known value counts. `values` gives the number for each text in the
    cells; without it the cells are numbers. A cell that is neither known nor missing is an error, unless
    `other` is `missing`.
    """

    name: str = Field(min_length=1)
    column: Columns
    values: Annotated[dict[str | int | float | bool, FiniteFloat], Field(min_length=1)] | None = None
    other: Literal["error", "missing"] = "error"

    @model_validator(mode="before")
    @classmethod
    def _short(cls, value: Any) -> Any:
        return {"name": value, "column": value} if isinstance(value, str) else value

    @model_validator(mode="after")
    def _different(self) -> "CovariateConfig":
        keys = [value_key(text) for text in self.values or {}]
        twice = [key for number, key in enumerate(keys) if key in keys[:number]]
        if twice:
            raise ValueError(f"covariate {self.name!r}: values holds {twice[0]!r} twice; case does not count")
        return self


def _unique_names(covariates: tuple[CovariateConfig, ...]) -> tuple[CovariateConfig, ...]:
    names = [item.name for item in covariates]
    twice = [name for number, name in enumerate(names) if name in names[:number]]
    if twice:
        raise ValueError(f"covariate {twice[0]!r} is named twice; give each its own name")
    return covariates


Covariates = Annotated[tuple[CovariateConfig, ...], AfterValidator(_unique_names)]


@dataclass
class ClinicalRows:
    """The cells of a clinical table, one row per patient, with what messages about them name.

    Attributes:
        cells: the columns by name, as text.
        ids: the n patients, all different.
        path: the table.
        where: what the table is for; every message begins with it.
        notes: what was missing or left out, one line each.
        warnings: what is likely a mistake.
    """

    cells: pd.DataFrame
    ids: list[str]
    path: Path
    where: str
    notes: list[str] = field(default_factory=list[str])
    warnings: list[str] = field(default_factory=list[str])

    def at(self, row: int) -> str:
        """The row as messages name it."""
        return f"{self.where}: {self.path}: row {row + 1} (patient {self.ids[row]})"


def read_cells(path: Path, where: str, sheet: str | None, comments: bool = False) -> pd.DataFrame:
    """Read a clinical table's cells as text. Raises InputError."""
    return read_table(path, where, text=True, sheet=sheet, comments=comments)


def clinical_rows(
    cells: pd.DataFrame, patient_id: str, columns: Iterable[str], path: Path, where: str
) -> ClinicalRows:
    """The table by patient. Raises InputError for a missing column, a row without id, or a patient twice."""
    require_columns(cells, list(dict.fromkeys([patient_id, *columns])), path, where)
    ids = [str(x) for x in patient_ids(cells[patient_id], path, where)]
    refuse_twice(ids, path, where)
    return ClinicalRows(cells, ids, path, where)


def refuse_twice(ids: list[str], path: Path, where: str) -> None:
    """Raise InputError where a patient has two rows."""
    if len(set(ids)) == len(ids):
        return
    seen: dict[str, int] = {}
    for row, patient in enumerate(ids):
        if patient in seen:
            raise InputError(
                f"{where}: {path}: patient {patient} occurs twice, in rows {seen[patient] + 1} and "
                f"{row + 1}; keep one row per patient"
            )
        seen[patient] = row


def covariate_columns(covariates: Iterable[CovariateConfig]) -> list[str]:
    """Every column that these covariates read."""
    return [column for item in covariates for column in item.column]


def covariate(config: CovariateConfig, rows: ClinicalRows) -> NDArray[np.float64]:
    """A covariate of every patient, (n,) float64: the first known value of its columns, NaN if there is none.

    Adds to `rows.notes` how many patients have it, and which cells `other: missing` counted as missing.

    Raises:
        InputError: a cell that is neither missing nor a known value (without `values`: a finite number).
    """
    meaning = None if config.values is None else {value_key(t): v for t, v in config.values.items()}
    result = np.full(len(rows.ids), np.nan)
    others: list[str] = []
    for column in config.column:
        cells = rows.cells[column].to_numpy(dtype=object)
        for row in np.flatnonzero(np.isnan(result)).tolist():
            number = _number(cells[row], meaning)
            if number is not None:
                result[row] = number
            elif config.other == "missing":
                others.append(str(cells[row]))
            else:
                raise InputError(f"{rows.at(row)}: {column} is {str(cells[row])!r}, {_advice(config)}")
    known = int(np.count_nonzero(~np.isnan(result)))
    rows.notes.append(f"covariate {config.name}: known for {known:,} of {len(result):,} patients")
    if meaning is None and (code := code_for_missing(result)) is not None:
        rows.warnings.append(
            f"covariate {config.name}: {int((result == code).sum()):,} patients have {code:g}, far beyond"
            f" all others: does it stand for missing? Leave such cells empty"
        )
    if others:
        rows.notes.append(
            f"covariate {config.name}: {len(others):,} cells are no known value (first {others[0]!r}): "
            f"counted as missing"
        )
    return result


def _number(cell: object, meaning: dict[str, float] | None) -> float | None:
    """The number of a cell, NaN if it is missing, None if it is neither; stated values are not missing."""
    found = finite_number(cell) if meaning is None else meaning.get(value_key(cell))
    return np.nan if found is None and is_missing(cell) else found


def _advice(config: CovariateConfig) -> str:
    if config.values is None:
        return (
            f"not a finite number; correct it, leave it empty, or state the values of covariate {config.name}"
        )
    stated = [repr(value) for value in config.values]
    more = ", ..." if len(stated) > SHOWN_VALUES else ""
    return (
        f"none of the values of covariate {config.name} ({', '.join(stated[:SHOWN_VALUES])}{more}); add it "
        f"to values, leave the cell empty, or write other: missing"
    )

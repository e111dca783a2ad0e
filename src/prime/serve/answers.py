"""Predictions as JSON: the columns of `prime predict`, null where a table has an empty cell."""

import math
from typing import Any

import pandas as pd

from prime.predict.predict import Predictions

Record = dict[str, Any]


def records(table: pd.DataFrame) -> list[Record]:
    """The rows of a table as plain values; a number that is none becomes None."""
    columns = {str(name): [_plain(value) for value in table[name].tolist()] for name in table.columns}
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def _plain(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value


def answer(found: Predictions, order: list[str] | None = None) -> Record:
    """What a service says of patients: a record each, with what missing tests could change, and reasons.

    `order`: the ids in the order of the answer; that of the table by default.
    """
    patients = {row["patient_id"]: row | {"tests": []} for row in records(found.patients)}
    _file(found.tests, "tests", patients)
    if found.reasons is not None:
        for row in patients.values():
            row["reasons"] = []
        _file(found.reasons, "reasons", patients)
    return {"patients": [patients[name] for name in (patients if order is None else order)]}


def _file(table: pd.DataFrame, key: str, patients: dict[str, Record]) -> None:
    """Move the rows of a table to their patients."""
    for row in records(table):
        patients[row.pop("patient_id")][key].append(row)

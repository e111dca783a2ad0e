"""Clinical tables with several rows per patient (diagnoses, treatments, slides), joined to one."""

from collections.abc import Collection

import pandas as pd

from prime.cohort.cells import finite_number, is_missing, value_key
from prime.errors import InputError


def join_rows(
    cells: pd.DataFrame, ids: list[str], latest: Collection[str], agreeing: Collection[str], where: str
) -> tuple[pd.DataFrame, list[str], list[str]]:
    """One row per patient, in the order of their first rows.

    Of several known cells the first counts; in a column of times the largest (the latest follow-up).

    Args:
        cells: as text, only the columns that are used.
        ids: the patient of each row.
        latest: columns of times.
        agreeing: columns in which a patient has one value.
        where: what messages begin with.

    Returns:
        The table, its patients, and what was joined.

    Raises:
        InputError: a patient with two values in a column of `agreeing`.
    """
    rows: dict[str, list[int]] = {}
    for row, patient in enumerate(ids):
        rows.setdefault(patient, []).append(row)
    if len(rows) == len(ids):
        return cells, ids, []
    joined: dict[str, list[str]] = {}
    notes = [f"{len(ids):,} rows of {len(rows):,} patients: joined, one row per patient"]
    for name in cells.columns:
        column = [str(cell) for cell in cells[name]]
        known = {p: [row for row in mine if not is_missing(column[row])] for p, mine in rows.items()}
        several = [p for p, mine in known.items() if len({value_key(column[row]) for row in mine}) > 1]
        if several and name in agreeing:
            first = known[several[0]]
            other = next(row for row in first if value_key(column[row]) != value_key(column[first[0]]))
            raise InputError(
                f"{where}: patient {several[0]} has {column[first[0]]!r} in {name} in row {first[0] + 1} and "
                f"{column[other]!r} in row {other + 1}; correct one"
            )
        if several:
            kept = "the latest time counts" if name in latest else "the first one counts"
            notes.append(
                f"{name}: {len(several):,} patients have rows that differ (first {several[0]}): {kept}"
            )
        choose = _latest if name in latest else _first
        joined[str(name)] = [choose(column, known[p]) or column[mine[0]] for p, mine in rows.items()]
    return pd.DataFrame(joined), list(rows), notes


def _first(column: list[str], known: list[int]) -> str:
    return column[known[0]] if known else ""


def _latest(column: list[str], known: list[int]) -> str:
    """The largest number; the first cell that is none, so that it is refused where it is read."""
    numbers = [finite_number(column[row]) for row in known]
    for row, number in zip(known, numbers, strict=True):
        if number is None:
            return column[row]
    return max((column[row] for row in known), key=lambda cell: finite_number(cell) or 0.0, default="")

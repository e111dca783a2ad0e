"""The list of patients that the user keeps out of pretraining."""

import csv
from collections.abc import Collection
from pathlib import Path

from prime.errors import InputError


def read_exclusions(path: Path, known: Collection[str]) -> frozenset[str]:
    """Patients to keep out: one id per line, or a csv with a column patient_id; `known` are the cohort's ids.

    Raises InputError for a missing or empty file, one that is not UTF-8, and a patient the cohort lacks.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such file; give a list of patient ids, one per line")
    try:
        lines = [line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines()]
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not a text file in UTF-8 ({error})") from None
    rows = [line for line in lines if line]
    if rows and "patient_id" in next(csv.reader(rows[:1])):
        rows = [(row["patient_id"] or "").strip() for row in csv.DictReader(rows)]
    found = list(dict.fromkeys(row for row in rows if row))
    if not found:
        raise InputError(f"{path}: no patient id; write one per line, or a csv with a column patient_id")
    listed = set(known)
    unknown = [patient for patient in found if patient not in listed]
    if unknown:
        raise InputError(
            f"{path}: {unknown[0]!r} is not a patient of the cohort ({len(unknown)} such ids);"
            " write ids as in the clinical table"
        )
    return frozenset(found)

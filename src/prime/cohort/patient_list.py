"""Lists of patients that the user names in a file."""

from collections.abc import Collection
from pathlib import Path

from prime.cohort.tables import patient_ids, read_table, require_columns
from prime.errors import InputError
from prime.files import read_text

TABLES = (".csv", ".tsv", ".parquet", ".xlsx")


def read_patient_list(path: Path, where: str) -> list[str]:
    """Ids of patients: a table with a column patient_id, or any other file with one id per line.

    Args:
        path: the file.
        where: the option that names it; every message begins with it.

    Returns:
        The ids, each once, in the order of the file.

    Raises:
        InputError: a missing, malformed or empty file, another encoding than UTF-8, or a table without that
            column.
    """
    if path.suffix.lower() in TABLES:
        table = read_table(path, where, text=True)
        require_columns(table, ["patient_id"], path, where)
        found = [str(patient) for patient in patient_ids(table["patient_id"], path, where)]
    else:
        found = [line.strip() for line in read_text(path, where).splitlines() if line.strip()]
    if not found:
        raise InputError(f"{where}: {path}: no patient id; write one per line")
    return list(dict.fromkeys(found))


def read_exclusions(path: Path, known: Collection[str]) -> frozenset[str]:
    """The patients to keep out of pretraining; `known` are the ids of the cohort.

    Raises InputError as `read_patient_list`, and for a patient who is not in the cohort.
    """
    found = read_patient_list(path, "--exclude")
    unknown = sorted(set(found) - set(known))
    if unknown:
        raise InputError(
            f"--exclude: {path}: {unknown[0]!r} is not a patient of the cohort ({len(unknown)} such ids);"
            " write ids as in the clinical table"
        )
    return frozenset(found)

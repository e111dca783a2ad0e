"""Finding the patient in the name of a file, a report or a sample."""

import re
from collections.abc import Iterable

from prime.cohort import barcode
from prime.errors import InputError

NUMBER = re.compile(r"([0-9]{1,40})(?:\.0+)?")
# a TCGA patient, with dots for dashes or in small letters too, else up to the first dot
PATIENT_FROM = r"^((?:TCGA|tcga)([-._])[A-Za-z0-9]{2}\2[A-Za-z0-9]{4})(?![A-Za-z0-9])|^([^.]+)"


def patient_in(name: str, where: str, pattern: str = PATIENT_FROM) -> str | None:
    """The first group of a regular expression that matched in the name (the whole match if it has no groups),
    without blanks at its ends, a barcode as TCGA writes it; None where that leaves nothing.

    Raises InputError, which begins with `where`, for a pattern that is no regular expression.
    """
    try:
        match = re.search(pattern, name)
    except re.error as error:
        raise InputError(f"{where}: patient_from {pattern!r} is not a regular expression ({error})") from None
    if match is None:
        return None
    groups = (group for group in (match.groups() or (match.group(),)) if group)
    return barcode.spelt(next(groups, "").strip()) or None


def spelt_twice(patients: Iterable[str]) -> list[list[str]]:
    """Ids that are one patient's: they differ in case, blanks, or (of numbers) zeros or decimals only."""
    first: dict[str, str] = {}
    several: dict[str, list[str]] = {}
    for patient in patients:
        key = patient.strip().lower()
        if key[:1].isdigit() and (match := NUMBER.fullmatch(key)):
            key = f"{int(match.group(1))}"
        if key in first:
            several.setdefault(key, [first[key]]).append(patient)
        else:
            first[key] = patient
    return [several[key] for key in first if key in several] if several else []

"""Finding the patient in the name of a file, a report or a sample."""

import re

from prime.errors import InputError

PATIENT_FROM = r"^(TCGA-[A-Za-z0-9]{2}-[A-Za-z0-9]{4})|^([^.]+)"  # a TCGA patient, else up to the first dot


def patient_in(name: str, where: str, pattern: str = PATIENT_FROM) -> str | None:
    """The first group of a regular expression that matched in the name (the whole match if it has no groups),
    without blanks at its ends; None where that leaves nothing.

    Raises InputError, which begins with `where`, for a pattern that is no regular expression.
    """
    try:
        match = re.search(pattern, name)
    except re.error as error:
        raise InputError(f"{where}: patient_from {pattern!r} is not a regular expression ({error})") from None
    if match is None:
        return None
    groups = (group for group in (match.groups() or (match.group(),)) if group)
    return next(groups, "").strip() or None

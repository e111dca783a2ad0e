"""Ids of patients as names of files: every patient's features are in a file named after the patient."""

import re
from collections.abc import Iterable

from prime.cohort.patient_names import spellings, spelt_twice
from prime.errors import InputError, cut, some

UNFIT = re.compile(r'[\x00-\x1f/\\:*?"<>|]')  # no file name may have these on every operating system
LONGEST = 200  # bytes; with a suffix and a hidden name beside it, most disks take 255


def refuse_unfit_id(patient: str, where: str) -> None:
    """Raise InputError where a patient's id cannot name a file of which it is the part before the dot."""
    if UNFIT.search(patient) or "." in patient or not 0 < len(patient.encode()) <= LONGEST:
        raise InputError(
            f"{where}: patient {cut(patient)!r} cannot name a file; no dots, slashes or signs in it, and at"
            f" most {LONGEST} letters"
        )


def refuse_equal_names(patients: Iterable[str]) -> None:
    """Raise InputError where an id has two spellings, which are one file name on some disks."""
    twice = [spellings(group) for group in spelt_twice(dict.fromkeys(patients))]
    if twice:
        raise InputError(f"patients in two spellings: {some(twice)}; rename the files of one of them")

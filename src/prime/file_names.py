"""Names that come from data (patients, cancer types, slides, cohorts) as names of files."""

import hashlib
import re

LONGEST = 80  # letters of a name that is kept as it is; whole file names may have 255 bytes
_KEPT = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9 ._+-]{0,78}[A-Za-z0-9_+-])?")
_RESERVED = re.compile(r"(?:con|prn|aux|nul|com\d|lpt\d)(?:\..*)?", re.IGNORECASE)


def is_file_name(name: str) -> bool:
    """Whether a name may be a file's as it is: ASCII letters and digits, and `_ . + -` or blanks within."""
    return _KEPT.fullmatch(name) is not None and _RESERVED.fullmatch(name) is None


def file_name(name: str) -> str:
    """A name that every operating system takes for a file in the folder where it is put, and nowhere else.

    A plain name stays as it is. Of another one what is unfit becomes `_`, the end is cut, and part of its
    SHA-256 is added, so that two names never become one.
    """
    if is_file_name(name):
        return name
    plain = re.sub(r"[^A-Za-z0-9_+-]+", "_", name)[:40].strip("_-+") or "name"
    digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()
    return f"{plain}-{digest[:12]}"

"""Finding the patient in the name of a file, a report or a sample."""

import re
import unicodedata
from collections.abc import Collection, Iterable, Sequence

from prime.cohort import barcode
from prime.errors import InputError, cut

NUMBER = re.compile(r"([0-9]{1,40})(?:\.0+)?")
# a TCGA patient, with dots for dashes or in small letters too, else up to the first dot
PATIENT_FROM = r"^((?:TCGA|tcga)([-._])[A-Za-z0-9]{2}\2[A-Za-z0-9]{4})(?![A-Za-z0-9])|^([^.]+)"
# Cyrillic and Greek letters that look like Latin ones, in small letters
LOOKALIKES = str.maketrans("авекмнорстухіјѕαβεζηικμνορτυχ", "abekmhopctyxijsabezhikmnoptyx")
_BETWEEN = re.compile(r"[\s_\-]+")
_WRAPPED = re.compile(r"""=?"(.*)"|'(.*)""", re.DOTALL)  # as spreadsheets write text that looks like a number
_MONTHS = "Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec"
_SPREADSHEET = {
    "a number without its last digits": re.compile(r"[+-]?\d(?:\.\d+)?E\+\d{2,3}"),
    "a date": re.compile(rf"\d{{1,2}}-(?:{_MONTHS})|(?:{_MONTHS})-\d{{2}}|\d{{4}}-\d\d-\d\d 00:00:00"),
    "an error of a formula": re.compile(r"#(?:REF|VALUE|NAME|NUM|NULL|DIV/0)[!?]"),
}

_ANY = re.compile("|".join(f"(?:{pattern.pattern})" for pattern in _SPREADSHEET.values()))
_ANY_LINE = re.compile(f"^(?:{_ANY.pattern})$", re.MULTILINE)
_NUMBER_LINE = re.compile(f"^(?:{NUMBER.pattern})$", re.MULTILINE)
# what two spellings of a name may differ in, beside case
_BETWEEN_OR_AROUND = {code: None for code in (*range(33), 127, *map(ord, "-_\"'=")) if code != ord("\n")}


def changed_by_spreadsheet(name: str) -> str | None:
    """What a spreadsheet made of a name: `2.02E+11`, `01-Mar`, `#REF!`; None where it changed nothing."""
    if _ANY.fullmatch(name) is None:
        return None
    found = (what for what, pattern in _SPREADSHEET.items() if pattern.fullmatch(name))
    return next(found, None)


def first_changed(names: Sequence[str]) -> int | None:
    """The place of the first name that a spreadsheet changed; all names are looked at together first."""
    if _ANY_LINE.search("\n".join(names)) is None:
        return None
    return next((place for place, name in enumerate(names) if changed_by_spreadsheet(name)), None)


def refuse_changed(name: str, where: str) -> None:
    """Raise InputError, which begins with `where`, for a name that a spreadsheet changed."""
    what = changed_by_spreadsheet(name)
    if what is not None:
        raise InputError(
            f"{where}: {cut(name)!r} is {what}, as spreadsheets make it of an id; export the table again with"
            " that column as text"
        )


def patient_in(name: str, where: str, pattern: str = PATIENT_FROM) -> str | None:
    """The first group of a regular expression that matched in the name (the whole match if it has no groups),
    without blanks at its ends, a barcode as TCGA writes it; None where that leaves nothing.

    Raises InputError, which begins with `where`, for a pattern that is no regular expression, and a name that
    a spreadsheet changed.
    """
    refuse_changed(name.strip(), where)
    try:
        match = re.search(pattern, name)
    except re.error as error:
        raise InputError(f"{where}: patient_from {pattern!r} is not a regular expression ({error})") from None
    if match is None:
        return None
    groups = (group for group in (match.groups() or (match.group(),)) if group)
    return barcode.spelt(next(groups, "").strip()) or None


def one_spelling(name: str) -> str:
    """The same text for names that are one name in two spellings.

    They differ in case, in blanks, dashes and underscores (of whatever kind, but not in where they stand), in
    signs that cannot be seen, in how letters with accents are composed, in letters of another alphabet that
    look alike, or in what a spreadsheet puts around text; numbers in zeros or decimals.
    """
    if name.isascii() and name.isalnum():
        text = name.lower()
    else:
        usual = name.isascii() and name.isprintable()
        plain = name if usual else "".join(map(_plain, unicodedata.normalize("NFKC", name)))
        plain = plain.strip()
        wrapped = _WRAPPED.fullmatch(plain)
        text = plain if wrapped is None else wrapped[1] or wrapped[2] or ""
        text = _BETWEEN.sub("-", text.strip()).casefold().translate(LOOKALIKES)
    return f"{int(match.group(1))}" if (match := NUMBER.fullmatch(text)) else text


def _plain(sign: str) -> str:
    """A sign; `-` for any dash, nothing for one that cannot be seen."""
    kind = unicodedata.category(sign)
    return "" if kind in ("Cf", "Cc") and not sign.isspace() else "-" if kind == "Pd" or sign == "−" else sign


def spelt_twice(names: Collection[str]) -> list[list[str]]:
    """Names in two spellings, see `one_spelling`: of ids, each group is one patient."""
    if _surely_different(names):
        return []
    first: dict[str, str] = {}
    several: dict[str, list[str]] = {}
    for name in names:
        key = one_spelling(name)
        if key in first:
            several.setdefault(key, [first[key]]).append(name)
        else:
            first[key] = name
    return [several[key] for key in first if key in several] if several else []


def _surely_different(names: Collection[str]) -> bool:
    """Whether no two names have one spelling, by a look at all of them together; False where it can't tell.

    Names that differ in more than case and what may stand between or around letters have different spellings,
    unless they are numbers or are not in ASCII.
    """
    text = "\n".join(names)
    if not text.isascii():
        return False
    letters = text.lower().translate(_BETWEEN_OR_AROUND)
    lines = letters.split("\n")
    return len(set(lines)) == len(lines) == len(names) and _NUMBER_LINE.search(letters) is None


def spellings(group: Iterable[str]) -> str:
    """A group of `spelt_twice` for a message; what cannot be told apart by eye is written as its code."""
    names = list(group)
    plain = all(name.isascii() and name.isprintable() for name in names)
    return " = ".join(names if plain else map(ascii, names))

"""Texts that are no plain text: what word processors, browsers and printers write."""

import re

from prime.errors import InputError

LOOKED_AT = 2_000  # signs at the beginning of a text
_BEGINNINGS = {
    "RTF": re.compile(r"\s*\{\\rtf\d"),
    "HTML": re.compile(
        r"\s*(?:<\?xml[^>]*>\s*)?(?:<!doctype html|<(?:html|head|body|table|div|p)[\s>])", re.IGNORECASE
    ),
    "XML": re.compile(r"\s*<\?xml\s", re.IGNORECASE),
    "a PDF": re.compile(r"\s*%PDF-\d"),
    "PostScript": re.compile(r"\s*%!PS"),
}


def markup_of(text: str) -> str | None:
    """What a text is if not plain (`RTF`, `HTML`, ...), by its beginning; None where it is plain."""
    start = text[:LOOKED_AT].removeprefix("\ufeff")
    return next((name for name, pattern in _BEGINNINGS.items() if pattern.match(start)), None)


def refuse_markup(text: str, where: str) -> None:
    """Raise InputError, which begins with `where`, for a text whose layout would be read as words."""
    if (found := markup_of(text)) is not None:
        raise InputError(f"{where}: is {found}, not plain text; save it as text")

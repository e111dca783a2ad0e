"""The text of a report made ready for rules: lower case, whole sentences, cut into clauses."""

import re
from dataclasses import dataclass

STATUS = (
    r"(?:not|absent|present|negative|positive|none|no|yes|identified|uninvolved|involved|free|indeterminate"
    r"|cannot|unifocal|multifocal|well|moderately|poorly|high|low|non)\b|(?:iv|i{1,3})\.?$"
)
_OPEN_END = (
    r"of|and|or|the|in|with|without|no|not|for|by|to|is|are|was|were|a|an|from|at|on|into|as|than|which|that"
)
_DASHES = re.compile("[\u2010-\u2015\u2212]")
_BROKEN_LINE = re.compile(r"\s?\.?\s?\n(?=[a-z(])|(?<=[\w,)%-])\s?\.\s(?=[a-z(])")
_BREAK = r"(?: ?\.\s| ?\n)"  # where blanks are single
_OPEN_LINE = re.compile(rf"(?i:(?<=[,:(&/-])|(?<=\s-)|(?<!: )(?<!:\. )\b({_OPEN_END})){_BREAK}")
_NEVER_FIRST = re.compile(
    rf"(?<=\w){_BREAK}(?=(?:INVASION|DIFFERENTIATED|DIMENSION|NODES?|EXTENSION|INVOLVEMENT)\b(?!:))"
)
_NUMBER_LINE = re.compile(rf"(?<=[a-z(]){_BREAK}(?=\d+(?:\.\d+)?\s?(?:x|cm|mm|%)\b)", re.IGNORECASE)
_CLAUSE_END = re.compile(r"(?<=[.!?])\s+|;\s*|\n+|\s(?=\[\s?x?\s?\]\s)")
_HEADING_WORDS = 7


@dataclass(frozen=True)
class Prose:
    """A report in lower case.

    Attributes:
        text: all of it, blanks and line ends as single blanks.
        clauses: its parts between full stops, semicolons and line ends, in order, none of them empty.
    """

    text: str
    clauses: tuple[str, ...]

    def about(self, *stems: str) -> tuple[str, ...]:
        """The clauses that hold one of the stems, in order."""
        if not any(stem in self.text for stem in stems):
            return ()
        return tuple(clause for clause in self.clauses if any(stem in clause for stem in stems))


def prose(text: str) -> Prose:
    """Prepare a report.

    A full stop or a line end before a lower-case letter is a break inside a sentence, as in the texts of
    TCGA-Reports, and counts as a blank; so does one after a comma, a colon, a hyphen or a word that
    ends no sentence. A short heading takes in the status that follows it ("PLEURAL INVASION. Absent").
    """
    mended = re.sub(r"\s*\n\s*", "\n", re.sub(r"[^\S\n]+", " ", text))
    mended = _DASHES.sub("-", mended).replace("\u00d7", "x").replace("\u2264", "<").replace("\u2265", ">")
    mended = _BROKEN_LINE.sub(" ", mended)
    mended = _OPEN_LINE.sub(lambda found: f"{found.group(1) or ''} ", mended)
    mended = _NEVER_FIRST.sub(" ", mended)
    mended = _NUMBER_LINE.sub(" ", mended)
    parts = [" ".join(part.split()).lower() for part in _CLAUSE_END.split(mended)]
    clauses = _with_status([part for part in parts if part])
    return Prose(" ".join(mended.lower().split()), tuple(clauses))


def _with_status(parts: list[str]) -> list[str]:
    """Join each short heading without a status of its own and the clause after it that begins with one."""
    joined: list[str] = []
    for part in parts:
        if (
            joined
            and re.match(STATUS, part)
            and len(joined[-1].split()) <= _HEADING_WORDS
            and not re.search(rf"\b{STATUS}", joined[-1])
        ):
            joined[-1] = f"{joined[-1].rstrip('.:')}: {part}"
        else:
            joined.append(part)
    return joined

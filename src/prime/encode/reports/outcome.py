"""Sentences of a report that state the patient's outcome, which is what a model is to predict.

They are found by the patterns below, each within one sentence, where line ends count as blanks. A pattern
needs a patient, a time or a record ("vital status"), so that general remarks ("worse survival of patients
with gliomas"), announcements ("follow-up report") and names ("recurrent laryngeal nerve", "cell death
ligand") do not count.
"""

import re
from dataclasses import dataclass

_WHO = r"\b(?:patient|pt\.?|he|she|who)"
_HELP = r"(?:(?:has|had|have|was|is|later|then|since|subsequently|unfortunately|eventually|now) ){0,3}"
_UNIT = r"(?:day|week|month|mo|year|yr)s?\b"
_NUMBER = r"(?:\d+(?:[.,]\d+)?|one|two|three|four|five|six|seven|eight|nine|ten|several|a few)"
_TIME = rf"{_NUMBER}[ -]{_UNIT}"
_SPREAD = r"(?:recurr\w+|relapse|metasta\w+)"
_EVENT = (
    r"\b(?:recurr(?:ed|ences?|ent disease)|relaps(?:e|ed|es)|metasta(?:sis|ses|sized|sised|tic disease)"
    r"|progress(?:ed|ion)|new primary)\b"
)
_NO_VISIT = r"(?! ?(?:report|stud|imaging|biops|exam|is (?:advised|recommended|indicated|suggested)))"
_LATER = (
    r"\b(?:"
    rf"(?:at|on|during|in|after|with|upon) (?:the |last |latest |{_TIME} (?:of )?)*follow[- ]?up\b{_NO_VISIT}"
    r"|follow[- ]?up (?:show|reveal|detect|confirm)(?:s|ed)"
    rf"|{_TIME} (?:later|after|post|following)"
    rf"|(?:after|within|at|in) {_TIME}"
    r"|subsequently|later (?:developed|found))"
)
_ALIVE_HOW = r"(?:and well|with (?:disease|recurren\w+|metasta\w+|no evidence)|without|at|after|on)"
_FREE_OF = r"(?:disease|recurrence|metasta\w+)"

PATTERNS: tuple[tuple[str, str], ...] = (
    ("death", r"\b(?:dead|died) (?:of|from|due to|because of|with|without|secondary to|on|in|at|after|\d)"),
    ("death", rf"{_WHO} {_HELP}(?:died|dead|deceased|expired|passed away|succumbed)\b"),
    ("death", r"\bexpired (?:of|from|due to|secondary to|with (?:disease|tumou?r))"),
    ("death", r"\b(?:date|cause|time|manner) of death\b|\bdeath (?:occurred|certificate|ensued)\b"),
    ("death", r"\bdeceased\b|(?-i:\bDOD\b)"),
    ("autopsy", r"\bautops(?:y|ies)\b|\bpost[- ]?mortem\b|\bnecropsy\b"),
    ("status", rf"\b(?:alive|living) {_ALIVE_HOW}\b"),
    ("status", rf"{_WHO} (?:is|was|remains|remained) (?:still )?alive\b"),
    ("status", r"\bvital status\b|\blost to follow[- ]?up\b"),
    (
        "status",
        rf"\b(?:A?NED|AWD|no evidence of {_FREE_OF})\b.{{0,40}}?(?:{_TIME}|follow[- ]?up\b{_NO_VISIT})",
    ),
    (
        "status",
        r"\b(?:remain(?:s|ed)|is|was) (?:disease|recurrence|tumou?r)[- ]free (?:at|for|after|since|\d)",
    ),
    ("recurrence", rf"{_EVENT}.{{0,80}}?{_LATER}|{_LATER}.{{0,80}}?{_EVENT}"),
    ("recurrence", rf"{_WHO} {_HELP}(?:recurred|relapsed|progressed|developed (?:\w+ ){{0,4}}{_SPREAD})\b"),
    ("survival time", rf"\bsurviv(?:ed|ing) (?:for |about |approximately |only |another )*{_TIME}"),
    ("survival time", rf"\bsurvival(?: time)?(?: (?:was|is|of)| ?[:=])? ?{_TIME}"),
    ("survival time", rf"\b(?:died|dead|death|alive)\b.{{0,40}}?\b{_TIME}"),
)
FOR_SURE = ("autopsy", "status")  # kinds that count even in a sentence about patients in general
GENERAL = (
    rf"\b{_NUMBER}[- ]year (?:(?:relative|overall|disease[- ]free) )?survival\b",
    r"\b(?:median|mean|average|patients (?:with|who)|of (?:patients|people)|et al)\b",
    r"\b(?:likelihood|rates?|chance|probability|risk) of\b",
)
_COMPILED = tuple((kind, re.compile(pattern, re.IGNORECASE)) for kind, pattern in PATTERNS)
_GENERAL = re.compile("|".join(GENERAL), re.IGNORECASE)
SENTENCE_END = re.compile(r"(?<=[.!?;])\s+|\n{2,}")


@dataclass(frozen=True)
class Statement:
    """A sentence that states the outcome, and the kind of the pattern that found it."""

    kind: str
    sentence: str


def sentences(text: str) -> list[tuple[int, int]]:
    """Start and end of each sentence of a text; the blanks between them belong to none.

    A sentence ends at `.`, `!`, `?` or `;` before a blank, or at an empty line.
    """
    ends = [(match.start(), match.end()) for match in SENTENCE_END.finditer(text)]
    starts = [0, *(end for _, end in ends)]
    stops = [*(start for start, _ in ends), len(text)]
    return [(start, stop) for start, stop in zip(starts, stops, strict=True) if stop > start]


def kind_of(sentence: str) -> str | None:
    """The kind of the first pattern found in a sentence, None where it states no outcome."""
    line = " ".join(sentence.split())
    general = _GENERAL.search(line) is not None
    for kind, pattern in _COMPILED:
        if (not general or kind in FOR_SURE) and pattern.search(line):
            return kind
    return None


def find_outcomes(text: str) -> list[Statement]:
    """The sentences of a text that state the outcome, in order, with blanks in place of line ends."""
    found = ((kind_of(text[start:stop]), text[start:stop]) for start, stop in sentences(text))
    return [Statement(kind, " ".join(sentence.split())) for kind, sentence in found if kind is not None]


def remove_outcomes(text: str) -> tuple[str, int]:
    """The text without the sentences that state the outcome, and how many were removed."""
    removed = 0
    while True:
        spans = sentences(text)
        bad = [kind_of(text[start:stop]) is not None for start, stop in spans]
        if not any(bad):
            return text, removed
        removed += sum(bad)
        pieces: list[str] = []
        last = 0
        for (start, stop), drop in zip(spans, bad, strict=True):
            pieces.append(text[last : start if drop else stop])
            last = stop
        text = re.sub(r" {2,}", " ", "".join([*pieces, text[last:]])).strip()

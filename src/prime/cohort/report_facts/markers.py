"""Receptors and other markers: positive or negative."""

import re
from collections.abc import Callable

from prime.cohort.report_facts.fact import ABSENT, Fact, highest
from prime.cohort.report_facts.prose import Prose

_ER = r"(?:o?estrogens?[ -]receptors?(?: protein)?(?: \(er\))?|(?<![\w'-])er\b(?! (?:visit|room)))"
_PR = r"(?:progest\w+[ -]receptors?(?: protein)?(?: \(p[gr]?r\))?|(?<![\w'-])p[g]?r\b)"
_HER2 = r"(?:\bher[- ]?2(?:[ /-]*neu)?|\bc-?erb-?\s?b-?2|\bhercept\w+)"
_IDH1 = r"\bidh[- ]?(?:1|i|l)?(?:/2)?(?: ?\(?r132h\)?)?"
_P53 = r"\bp-?53\b"
_NO = (
    r"negative\b|\bneg\b|non-?\s?reactive|not (?:detected|amplified|identified|seen|expressed|present"
    r"|overexpressed|mutated|deleted)"
    r"|no (?:expression|amplification|staining|mutation|evidence|deletion|loss|over-?expression"
    r"|reactivity)|unamplified"
    r"|non-?\s?amplified|absent|wild[- ]?type|intact|\(-\)|-(?=[\s,.;/)]|$)|\b0\+?(?=[\s,/);]|\.?$)|"
    r"(?<!\d)1\+|\b0%"
)
_YES = (
    r"positiv\w*|\bpos\b|(?<!non)(?<!non-)(?<!non )reactive|(?<!non)(?<!non-)(?<!not )amplified"
    r"|over-?expressed|over-?expression|expressed"
    r"|mutated|mutant|mutation(?!\s?:| (?:is |was )?(?:not|absent|negative))|co-?deleted|\(\+\)|"
    r"(?<!\d)3\+|(?<![\w])\+{1,3}(?=[\s,.;/)]|$)|(?<=er)\+|"
    r"(?<=pr)\+|(?<=2)\+"
)
_DOUBT = r"equivocal|indeterminate|pending|ordered|(?<!\d)2\+|will be|not performed|borderline|cannot"
_STATUS = re.compile(rf"(?P<doubt>{_DOUBT})|(?P<no>{_NO})|(?P<yes>{_YES})")
_BEFORE = re.compile(
    r"(?P<status>positive|negative|reactive|immunoreactive|positivity|expresse?s?|immunopositive"
    r"|immunonegative|non-?reactive|express)"
    r"(?: \w+){0,3}? (?:for|with|of)\b(?:(?!positive|negative|reactive)[^;:])*$"
)
_REACH = 45
_TERMS = {
    "er": re.compile(_ER), "pr": re.compile(_PR), "her2": re.compile(_HER2), "idh1": re.compile(_IDH1),
    "p53": re.compile(_P53),
}  # fmt: skip
_STEMS = {
    "er": ("estrogen", "er"), "pr": ("progest", "pr", "pgr"), "her2": ("her", "erb"), "idh1": ("idh",),
    "p53": ("p53", "p-53"),
}  # fmt: skip
_OTHER = re.compile(
    "|".join(
        (_ER, _PR, _HER2, _IDH1, _P53, r"\bki-?67", r"\bmib", r"\bck\d", r"\bttf", r"\bs-?100", r"\bgfap")
    )
)
_BOTH_ARMS = re.compile(
    r"\b1p(?:\s?(?:/|and|,)\s?(?:chromosome )?| ?-? ?(?:and )?)19q\b|\b1p\b[^.;]{0,40}\b19q\b"
)
_LOSS = re.compile(
    r"(?P<no>no (?:evidence of )?(?:\w+ )?(?:loss|deletion|co-?deletion)|(?:negative|absent|not "
    r"(?:detected|identified|present|deleted)|intact|without))"
    r"|(?P<yes>co-?delet\w+|loss|delet\w+|\bloh\b)"
)


def _marker(clause: str, start: int, end: int) -> float:
    """What a clause says of the marker at [start, end): 1 positive, 0 negative, NaN in doubt or not said."""
    before = _BEFORE.search(clause[:start])
    if before is not None:
        negative = before["status"] in ("negative", "nonreactive", "non-reactive", "immunonegative")
        return (
            0.0 if negative or re.search(r"\b(?:no|not|non)[ -](?:\w+ )?$", clause[: before.start()]) else 1.0
        )
    after = clause[end : end + _REACH]
    found = _STATUS.search(after)
    if found is None or found["doubt"]:
        return ABSENT
    other = _OTHER.search(after)
    listed = other is not None and re.fullmatch(
        r"[\s,/&+]*(?:and)?\s*(?:\([^)]*\))?[\s,/&]*", after[: other.start()]
    )
    if other is not None and other.start() < found.start() and not listed:
        return ABSENT
    return 0.0 if found["no"] else 1.0


def _rule(name: str) -> Callable[[Prose], float]:
    """The rule that tells whether a marker is positive."""

    def rule(report: Prose) -> float:
        values = [
            _marker(clause, found.start(), found.end())
            for clause in report.about(*_STEMS[name])
            for found in _TERMS[name].finditer(clause)
        ]
        return highest([value for value in values if value == value])

    return rule


def codeleted(report: Prose) -> float:
    """1 where 1p and 19q are lost, 0 where the report says that they are not."""
    values: list[float] = []
    for clause in report.about("19q"):
        found = _LOSS.search(clause) if _BOTH_ARMS.search(clause) else None
        if found is not None:
            values.append(0.0 if found["no"] else 1.0)
    return highest(values)


MARKERS = (
    Fact("er_positive", "1 oestrogen receptor positive, 0 negative", _rule("er")),
    Fact("pr_positive", "1 progesterone receptor positive, 0 negative", _rule("pr")),
    Fact("her2_positive", "1 HER2 positive (3+ or amplified), 0 negative", _rule("her2")),
    Fact("idh1_mutated", "1 IDH1 mutated, 0 not", _rule("idh1")),
    Fact("codeleted_1p_19q", "1 1p and 19q lost, 0 not", codeleted),
    Fact("p53_positive", "1 p53 positive, 0 negative", _rule("p53")),
)

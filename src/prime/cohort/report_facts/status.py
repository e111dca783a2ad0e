"""Whether a clause says that something is there: words of presence, absence and doubt around a term."""

import re

from prime.cohort.report_facts.fact import ABSENT, highest

_NEGATOR = (
    r"\b(?:no|without|not|non|(?<!presence/)(?<!presence or )absence of|negative for|free of|free from"
    r"|lacks?|lacking|nor|neither|never"
    r"|fails? to"
    r"|uninvolved by|does not|do not)\b"
)
_ENDS_NEGATION = (
    r"but|however|although|except|shows?|demonstrat\w+|is|are|was|were|present|identified|with|reveals?|seen"
)
NEGATED_BEFORE = re.compile(rf"{_NEGATOR}(?:(?!\b(?:{_ENDS_NEGATION})\b)[^:;]){{0,90}}$")
_DOUBT_BEFORE = re.compile(
    r"\b(?:probable|rule out|r/o|suspicious (?:for|of)|suspected?|suggest\w* (?:of )?|evaluat\w+ (?:for|of)"
    r"|cannot exclude"
    r"|possible|questionable|history of|h/o|versus|vs|if|consider|assess\w* (?:for|of)?|previous|prior"
    r"|concern\w* for|indeterminate for)\b[^,;:.]{0,50}$"
)
_FILLER = (
    r"(?:\s*\([^)]{0,40}\))?(?:\s|[:=,\-.*]|\b(?:is|are|was|were|has|have|been|by tumou?r|status"
    r"|both|also|features?|component|growth|of (?:the |lymph )*\w+)\b)*"
)
_DOUBT = (
    r"not (?:applicable|assess\w*|evaluat\w*|reported|determined|known|performed|stated|specified|done"
    r"|provided|able)"
    r"|cannot|can not|n/?a\b|indeterminate|unknown|suspicious|suspected|equivocal|possible|pending|see\b"
    r"|\(?pm"
    r"|difficult"
    r"|probable|undetermined|could not|may\b"
)
_NO = (
    r"not\b|absent|negative|none\b|no\b|nil\b|uninvolved|free\b|\(-\)|\[-\]|unidentified"
    r"|non[- ]?identified|lacking"
    r"|0\b(?!\.\d|/)|without"
)
_YES = (
    r"present|identified|seen|positive|yes\b|noted|found|extensive|focal|multifocal|marked|detected"
    r"|moderate|minimal"
    r"|observed|evident|apparent|prominent|\(\+\)|\+|involved|confirmed|abundant|rare|scant|mild|many|few\b"
    r"|massive|minor"
)
_AFTER = re.compile(rf"{_FILLER}(?:(?P<doubt>{_DOUBT})|(?P<no>{_NO})|(?P<yes>{_YES}))")
_LATER = re.compile(
    r"(?:(?!\bbut\b|\bhowever\b)[^:;,]){0,60}?(?:(?P<doubt>\b(?:cannot|can not|could not) be)"
    r"|(?P<no>\bnot (?:\w+ )?(?:identified|seen|present|detected|noted|found|observed|appreciated"
    r"|evident|apparent|recognized"
    r"|demonstrated)|\babsent\b))"
)
_EMPTY_LABEL = re.compile(r"(?:\s*\([^)]{0,40}\))?\s*:\s*(?:(?:\w+[ /-]){0,3}\w+\s*:|\d?\.?$|$)")


def mention(clause: str, start: int, end: int) -> float:
    """What a clause says of the term at [start, end): 1 there, 0 not there, NaN in doubt or not said."""
    before, after = clause[:start], clause[end:]
    found = _AFTER.match(after) or _LATER.match(after)
    if found is not None and found.group("doubt"):
        return ABSENT
    if found is not None and found.group("no"):
        return 0.0
    if NEGATED_BEFORE.search(before):
        return 0.0
    if _DOUBT_BEFORE.search(before) or _EMPTY_LABEL.match(after):
        return ABSENT
    return 1.0


def finding(clauses: tuple[str, ...], term: re.Pattern[str]) -> float:
    """1 where a clause says that the term is there, else 0 where one says that it is not, else NaN."""
    values = (
        mention(clause, found.start(), found.end()) for clause in clauses for found in term.finditer(clause)
    )
    return highest([value for value in values if value == value])

"""What a report says to be there or not: margins, invasion, necrosis, spread."""

import re
from collections.abc import Callable

from prime.cohort.report_facts.fact import ABSENT, Fact, highest
from prime.cohort.report_facts.prose import Prose
from prime.cohort.report_facts.status import finding, mention

_INVASION = (
    r"(?: space)?(?:/\w+)?(?:(?:, \w+)?,? (?:and|or|nor)(?: \w+){1,2}?| \w+)? ?(?:invasion|involvement"
    r"|invasi\w+|permeation|infiltration"
    r"|emboli|invaded)"
)
_LYMPHOVASCULAR = re.compile(
    r"\b(?:lympho?[- ]?vascular|angio[- ]?lymphatic|vascular(?:[ /-]+(?:or |and )?lymphatic)?|lymphatic"
    r"(?:[ /-]+(?:or |and )?vascular)?"
    r"|angio|(?:portal |large )?ven(?:ous|ular|n|in)?|(?:large |small |blood |lymphatic )+vessels?"
    r"|blood vessel and lymphatic"
    rf"|venous/lymphatic)(?: \([^)]{{0,40}}\))?{_INVASION}|\b(?:venous|vasc)/lymphatic\b|\blvi\b"
    rf"|\blvsi\b|\balvi\b|\bangioinvasion"
    rf"|\btumou?r (?:thrombus|emboli)"
)
_PERINEURAL = re.compile(rf"\b(?:peri|intra|endo)?-?neural{_INVASION}|\bpni\b|\bnerve{_INVASION}")
_PLEURAL = re.compile(
    rf"\bpleural?(?: surface| membrane)?{_INVASION}"
    r"|\b(?:inva\w+|involv\w+|infiltrat\w+|penetrat\w+|extend\w* (?:in)?to|through) (?:\w+ ){0,3}?"
    r"(?:visceral |parietal )?pleura\b"
)
_CAPSULAR = re.compile(
    rf"\b(?:extra[- ]?(?:thyroid(?:al)?|prostatic|capsular|renal)|peri(?:nephric|renal)|capsular|capsule"
    rf"|renal sinus)(?: \w+)?{_INVASION}"
    r"|\bextra[- ]?(?:thyroid(?:al)?|prostatic|capsular|renal|pancreatic|uterine)(?: \w+)? (?:extension"
    r"|spread|disease)"
    r"|\b(?:perinephric|perirenal|renal sinus|capsular|extra-?organ) (?:\w+ )?(?:extension|penetration"
    r"|infiltration|fat invasion)"
    r"|\b(?:inva\w+|penetrat\w+|extend\w* into|through|into) (?:\w+ ){0,2}?"
    r"(?:capsule|perinephric|perirenal|renal sinus|periprostatic|perithyroid\w*)"
)
_OF_NODE = re.compile(r"nod|metasta|level|\d/\d")
_BORDERS = ("caps", "extra", "peri", "renal sinus", "confined", "limited")
_CONFINED = re.compile(
    r"\b(?:confined|limited) (?:with)?(?:in|to) (?:the )?(?:\w+ )?(?:thyroid|prostate|kidney|capsule)"
    r"|\borgan[- ]confined"
)
_NECROSIS = re.compile(r"\bnecro(?:sis|tic)\b(?! score)")
_EXTENSIVE = re.compile(
    r"extensive|massive|marked|abundant|prominent|diffuse|large areas? of|[5-9]\d\s?%|100\s?%|severe"
)
_MULTIFOCAL = re.compile(
    r"\bmulti-?\s?(?:focal|centric|nodular(?! hyperplasia| goit))(?:ity)?\b|\bmultifocality"
    r"|\bsatellit\w+(?: (?:nodules?|lesions?|nests?|tumou?r nodules?|foci))?"
    r"|\bsynchronous (?:primary|tumou?rs?)|\b(?:two|three|four|several) (?:separate|distinct|discrete) "
    r"(?:\w+ )?(?:tumou?rs?|foci|nodules|masses)"
)
_UNIFOCAL = re.compile(
    r"\bunifocal|\bfocality\s?[:.]? ?(?:single|solitary|uni)|\bsingle (?:focus|tumou?r|nodule|mass)\b"
    r"|\bsolitary"
)
_METASTASIS = re.compile(
    r"\bmetasta(?:s[ie]s|tic|sized|tatic)(?: (?:carcinoma|adenocarcinoma|disease|tumou?r|melanoma"
    r"|malignancy|involvement|spread))?"
)
_IN_SITU = re.compile(
    r"\b(?:carcinoma|adenocarcinoma|melanoma|component)?(?:,)? ?in[- ]?situ\b(?! hybrid)(?: (?:component"
    r"|carcinoma))?"
    r"|\bdcis\b|\blcis\b|\bintraductal (?:carcinoma|component)"
)
_ULCER = re.compile(r"\bulcerat(?:ion|ed|ing|ive)\b")

_NOT_REACHED = (
    r"(?:tumou?r|carcinoma|malignan\w+|neoplas\w+|disease|involvement|dysplasia|invasive carcinoma)"
)
_MARGIN_FREE = re.compile(
    rf"\b(?:negative|uninvolved|not involved|un-?involved|clear|free|tumou?r[- ]free|unremarkable"
    rf"|not present|not identified|absent|none"
    rf"|no (?:\w+ ){{0,3}}?{_NOT_REACHED}|without (?:\w+ )?{_NOT_REACHED}|does not (?:\w+ )?(?:involve"
    rf"|extend|reach)|not (?:\w+ ){{0,4}}?(?:involv\w+|extend\w*|reach\w*|transected|seen|invaded)"
    r"|no evidence|benign)\b|(?:invasion|involved|involvement)\s?: ?no\b|\(-\)|: ?no(?=\s*(?:[.,(]|$))"
)
_MARGIN_TUMOUR = re.compile(
    r"\b(?:positive|involved|transected|compromised|infiltrated)\b|\b(?:tumou?r|carcinoma|adenocarcinoma"
    r"|neoplasm|disease) (?:\w+ ){0,2}?"
    r"(?:at|involves?|present at|extends? to|touch\w*|reach\w*|focally involves)(?: (?:\w+ ){0,4}?)"
    r"(?:margins?|resection|edges?)"
    r"|\b(?:involv\w+|extend\w* to|present at|reach\w*) (?:\w+ ){0,4}?margins?"
)
_MARGIN_DOUBT = re.compile(
    r"cannot|not applicable|indeterminate|frozen|\bif\b|immunostain|n/a|difficult|\btype of"
    r"|closest|not assess|not evaluat"
)


def _rule(term: re.Pattern[str], *stems: str) -> Callable[[Prose], float]:
    """The rule that tells whether a term, which holds one of the stems, is said to be there."""

    def rule(report: Prose) -> float:
        return finding(report.about(*stems), term)

    return rule


def margin(report: Prose) -> float:
    """1 where tumour reaches a margin, else 0 where margins are said to be free, else NaN."""
    values: list[float] = []
    for clause in report.about("margin", "resection line", "surgical edge"):
        rest, free = _MARGIN_FREE.subn(" - ", clause)
        if _MARGIN_TUMOUR.search(rest) and not _MARGIN_DOUBT.search(rest):
            values.append(1.0)
        elif free:
            values.append(0.0)
    return highest(values)


def capsular(report: Prose) -> float:
    """1 where tumour grows into or through the capsule or border of its organ, 0 where it does not."""
    clauses = tuple(clause for clause in report.about(*_BORDERS) if not _OF_NODE.search(clause))
    found = finding(clauses, _CAPSULAR)
    if found == found:
        return found
    return 0.0 if any(_CONFINED.search(clause) for clause in clauses) else ABSENT


def necrosis(report: Prose) -> float:
    """0 absent, 1 present, 2 extensive or half of the tumour or more; the highest that is stated."""
    values: list[float] = []
    for clause in report.about("necro"):
        for found in _NECROSIS.finditer(clause):
            value = mention(clause, found.start(), found.end())
            around = clause[max(0, found.start() - 30) : found.end() + 25]
            values.append(2.0 if value == 1 and _EXTENSIVE.search(around) else value)
    return highest([value for value in values if value == value])


def multifocal(report: Prose) -> float:
    """1 where there are several foci or satellites, 0 where they are denied or there is one focus."""
    found = finding(report.clauses, _MULTIFOCAL)
    if found == 1:
        return found
    return 0.0 if found == 0 or finding(report.clauses, _UNIFOCAL) == 1 else ABSENT


FINDINGS = (
    Fact("margin_positive", "1 tumour at a margin, 0 margins free", margin),
    Fact(
        "lymphovascular_invasion",
        "1 invasion of lymphatic or blood vessels, 0 none",
        _rule(_LYMPHOVASCULAR, "vas", "inv", "lvi", "lvsi", "emboli", "thromb", "infil", "perm"),
    ),
    Fact("perineural_invasion", "1 invasion of nerves, 0 none", _rule(_PERINEURAL, "neural", "pni", "nerve")),
    Fact("pleural_invasion", "1 invasion of the pleura, 0 none", _rule(_PLEURAL, "pleur")),
    Fact("capsular_extension", "1 growth into or beyond the organ's capsule or border, 0 none", capsular),
    Fact("necrosis", "0 absent, 1 present, 2 extensive or half of the tumour or more", necrosis),
    Fact("multifocal", "1 several foci or satellites, 0 one focus", multifocal),
    Fact("metastasis", "1 a metastasis (of nodes too), 0 none", _rule(_METASTASIS, "metast")),
    Fact("in_situ", "1 an in situ component, 0 none", _rule(_IN_SITU, "situ", "cis", "intraduct")),
    Fact("ulceration", "1 ulceration, 0 none", _rule(_ULCER, "ulcer")),
)

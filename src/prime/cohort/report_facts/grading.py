"""Grades, differentiation, scores, mitoses and proliferation."""

import re

from prime.cohort.report_facts.fact import ABSENT, Fact, highest
from prime.cohort.report_facts.numbers import ROMAN, decimal, grade_number
from prime.cohort.report_facts.prose import Prose
from prime.cohort.report_facts.status import finding, mention

_VALUE = rf"(?:{ROMAN}|[1-4])"
_SCALE = (
    r"(?:who|figo|fuhrman|furhman|nottingham|nuclear|histologic(?:al)?|architectural|overall|tumou?r"
    r"|combined|final"
    r"|modified|sbr|bloom|richardson|scarff|elston|ellis|edmondson|steiner|score|differentiation|is|the"
    r"|worst|highest"
    r"|system|and)"
)
_NOT_OF_TUMOUR = (
    r"gleason|in situ|dcis|fibrosis|hepatitis|steatosis|inflammation|dysplasia|intraepithelial"
    r"|varicocele|reflux"
    r"|necroinflammatory|activity|prognostic group"
)
_GRADES = (
    re.compile(rf"\b(?:worst|highest) differentiation\s?:?\s?(?P<low>{_VALUE})(?P<high>)\b"),
    re.compile(
        rf"\bgrad(?:e|ing)(?:\s|[:,=(\-\[\])/']|\b{_SCALE}\b)*g?\s?(?P<low>{_VALUE})"
        rf"(?:\s?(?:-|to|and)\s?g?(?P<high>{_VALUE}))?(?![\w%]|\.\d|\s?[+x]|\s?cm)"
    ),
    re.compile(
        rf"\b(?:who|fuhrman|furhman|nottingham)\s?[:(]?\s?(?P<low>{_VALUE})"
        rf"(?:\s?(?:-|to)\s?(?P<high>{_VALUE}))?(?![\w%]|\.\d|\s?[+x]|\s?cm)"
    ),
    re.compile(
        r"(?:carcinom\w+|differentiated|grad\w+|\bnos|keratini[sz]ing|keratodes|oma)\b[\s\w,:()\-]{0,40}?"
        r"(?<![\w\-])g\s?(?P<low>[1-4])(?:\s?(?:-|/)\s?g?\s?(?P<high>[1-4]))?(?![\w\-])"
    ),
    re.compile(
        r"(?<![\w\-])g\s?(?P<low>[1-4])(?P<high>)\b[\s:(,\-]*(?:poor|moderate|well|high|undiff|p?t[1-4])"
    ),
    re.compile(
        rf"\b(?P<low>{_VALUE})(?P<high>)\s?(?:/|of|out of)\s?(?:iii|iv|3|4)\b(?=[^.;]{{0,30}}\bgrade\b)"
    ),
)
_DIFFERENTIATION = {"well": 1.0, "moderate": 2.0, "intermediate": 2.0, "poor": 3.0, "un": 4.0}
_HOW = r"(?P<{}>well|moderate|intermediate|poor|un)(?:ly)?"
_DIFFERENTIATED = (
    re.compile(
        rf"\b(?:{_HOW.format('low')}(?:\s|-|/|\b(?:to|and|or|differentiated)\b)+)?{_HOW.format('high')}"
        r"(?:\s|-)?differentiat(?:ed|ion)"
    ),
    re.compile(r"\bdifferentiation\s?[:\-(]+\s?(?P<low>)(?P<high>well|moderate|intermediate|poor|un)"),
)
_PRECURSOR = (
    r"(?: |-)?(?:squamous |glandular |urothelial |prostatic )?(?:dysplasia|intraepithelial|pin\b|p\.i\.n"
    r"|ductal carcinoma in"
    r"|dcis|intraductal|prostatic)"
)
_HIGH = re.compile(
    rf"\bhigh(?: |-)+(?:nuclear |histologic(?:al)? )?grade\b(?!{_PRECURSOR})|\bgrade\s?[:(\-]+\s?high\b"
)
_LOW = re.compile(
    rf"\blow(?: |-)+(?:nuclear |histologic(?:al)? )?grade\b(?!{_PRECURSOR})|\bgrade\s?[:(\-]+\s?low\b"
)
_GLEASON_SUM = re.compile(
    r"\bgleason[^;]{0,50}?\b([1-5])\s?(?:\+|t|and)?\s?([1-5])(?=\s?[=(]|\b"
    r"(?!\s?[+/%.]?\d))\b"
)
_GLEASON = re.compile(
    r"\bgleason(?:'?s)?(?:\s|[:=(\-]|\b(?:combined|total|sum|score|grade|is|of)\b)*(10|[4-9])(?!\d|\.\d"
    r"|\s?\+)"
)
_OF_NINE = re.compile(r"\b([3-9])\s?(?:/|of|out of)\s?9\b")
_THREE_PARTS = re.compile(r"\b([1-3])\s?\+\s?([1-3])\s?\+\s?([1-3])\b")
_TOTAL = re.compile(
    r"\b(?:total|overall|combined|final|nottingham|sbr)(?: \w+)? score\s?[:=(\-of ]*\s?([3-9])\b(?![./]\d)"
)
_POINTS = (
    r"[\s:=(\-]*(?:(?:is|of|score|grade)\b[\s:=(\-]*)*([1-3])(?!\d|\.\d|[%x+]|\s?-\s?\d"
    r"|\s?/\s?(?!3\b)|\s?(?:x|mm|cm|per|mitos|hpf))"
)
_PARTS = (
    re.compile(
        rf"\b(?:tubul\w+|gland(?:ular)?|architect\w+)(?: and gland\w*)?(?: formation| differentiation"
        rf"| grade)?"
        rf"(?: score)?{_POINTS}"
    ),
    re.compile(rf"\bnuclear (?:grade|pleomorphism|score|atypia|features)(?: score)?{_POINTS}"),
    re.compile(
        rf"\b(?:mitotic|mitos[ei]s) ?(?:rate|count|index|activity|figures?|grade)?(?: score)?{_POINTS}"
    ),
)
_SCORED = ("nottingham", "bloom", "sbr", "scarff", "elston", "architect", "tubul", "/9", "/ 9")
_FIELD = r"(?:hpf|hpfs|high(?: |-)+powere?d?(?: microscopic)?(?: fields?)?|h\.p\.f)"
_MITOSES = re.compile(
    rf"(?P<low>{{d}})(?:\s?(?:-|to)\s?(?P<high>{{d}}))?\s?(?:\w+ ){{{{0,3}}}}?(?:per|/|in|out of|for)\s?"
    rf"(?P<fields>10|20|50|ten|fifty|)\s?"
    rf"(?:\w+ )?{_FIELD}".format(d=r"(?<![\d.])\d{1,3}(?:\.\d)?")
)
_MITOTIC = re.compile(r"mitos[ei]s|mitotic|\bmf\b")
_NO_MITOSES = re.compile(r"\bmitos[ei]s|\bmitotic (?:figures?|activity)")
_FIELDS = {"10": 10, "20": 20, "50": 50, "ten": 10, "fifty": 50, "": 1}
_KI67 = r"(?:\bki\s?[- ]?\s?67|\bmib\s?-?\s?[1li]\b)"
_PERCENT = r"(?P<low>\d{1,3}(?:\.\d{1,2})?)\s?%?(?:\s?(?:-|to)\s?(?P<high>\d{1,3}(?:\.\d)?))?\s?(?:%|percent)"
_KI67_RULES = (
    re.compile(rf"{_KI67}[^.;%]{{0,80}}?(?<![\d.]){_PERCENT}"),
    re.compile(rf"(?<![\d.]){_PERCENT}[^.;%,]{{0,40}}?{_KI67}"),
)


def _middle(match: re.Match[str]) -> float:
    """The middle of a range, or its only number."""
    low = decimal(match["low"])
    return (low + decimal(match["high"])) / 2 if match["high"] else low


def grade(report: Prose) -> float:
    """The grade, 1 to 4, the middle of a range; the highest that is stated of an invasive tumour."""
    values: list[float] = []
    for clause in report.about(
        "grad", "who", "fu", "nottingham", "g1", "g2", "g3", "g4", "g 1", "g 2", "g 3"
    ):
        for rule in _GRADES:
            for match in rule.finditer(clause):
                if re.search(_NOT_OF_TUMOUR, clause[max(0, match.start() - 40) : match.end() + 15]):
                    continue
                low = grade_number(match["low"])
                values.append((low + grade_number(match["high"])) / 2 if match["high"] else low)
    return highest([value for value in values if 1 <= value <= 4])


def differentiation(report: Prose) -> float:
    """1 well, 2 moderately, 3 poorly, 4 undifferentiated, the middle of a range; the highest stated."""
    values: list[float] = []
    for clause in report.about("differentiat"):
        for rule in _DIFFERENTIATED:
            for match in rule.finditer(clause):
                if mention(clause, match.start(), match.end()) == 1:
                    high = _DIFFERENTIATION[match["high"]]
                    values.append((_DIFFERENTIATION[match["low"]] + high) / 2 if match["low"] else high)
    return highest(values)


def high_grade(report: Prose) -> float:
    """1 where a tumour is called high grade, else 0 where it is called low grade or not high grade."""
    clauses = report.about("grade")
    high, low = finding(clauses, _HIGH), finding(clauses, _LOW)
    return high if high == high else (0.0 if low == 1 else ABSENT)


def gleason(report: Prose) -> float:
    """The sum of the Gleason patterns, 2 to 10; the highest that is stated."""
    if "gleason" not in report.text:
        return ABSENT
    sums = [float(a) + float(b) for a, b in _GLEASON_SUM.findall(report.text)]
    return highest(sums or [float(score) for score in _GLEASON.findall(report.text)])


def nottingham(report: Prose) -> float:
    """The sum of the three Nottingham scores, 3 to 9; the highest that is stated, else that of the parts.

    Only in a report that names that grading, or tubules, or a total of 9.
    """
    if not any(stem in report.text for stem in _SCORED):
        return ABSENT
    totals = [float(total) for total in _OF_NINE.findall(report.text)]
    totals += [float(sum(map(int, parts))) for parts in _THREE_PARTS.findall(report.text)]
    totals = totals or [float(total) for total in _TOTAL.findall(report.text)]
    parts = [highest([float(points) for points in part.findall(report.text)]) for part in _PARTS]
    return highest(totals) if totals else sum(parts)


def mitoses(report: Prose) -> float:
    """Mitoses per ten high-power fields, the middle of a range; 0 where there are said to be none."""
    values: list[float] = []
    absent = False
    for clause in report.about("mito", "mf"):
        if not _MITOTIC.search(clause):
            continue
        values += [_middle(match) * 10 / _FIELDS[match["fields"]] for match in _MITOSES.finditer(clause)]
        absent |= finding((clause,), _NO_MITOSES) == 0
    return highest(values or ([0.0] if absent else []))


def ki67(report: Prose) -> float:
    """The share of cells with Ki-67 (MIB-1) in percent, the middle of a range; the highest that is stated."""
    if "67" not in report.text and "mib" not in report.text:
        return ABSENT
    found = [_middle(match) for rule in _KI67_RULES for match in rule.finditer(report.text)]
    return highest([value for value in found if value <= 100])


GRADING = (
    Fact("grade", "grade 1 to 4, of whatever scale (nuclear, FIGO, WHO, Fuhrman, Nottingham)", grade),
    Fact(
        "differentiation",
        "1 well, 2 moderately, 3 poorly differentiated, 4 undifferentiated",
        differentiation,
    ),
    Fact("high_grade", "1 high grade, 0 low grade, in words", high_grade),
    Fact("gleason_score", "sum of the Gleason patterns, 2 to 10", gleason),
    Fact(
        "nottingham_score", "sum of the Nottingham scores of tubules, nuclei and mitoses, 3 to 9", nottingham
    ),
    Fact("mitoses_per_10_hpf", "mitoses in ten high-power fields", mitoses),
    Fact("ki67_percent", "cells with Ki-67 or MIB-1, percent", ki67),
)

"""TNM and stage, as a report states them."""

import re

from prime.cohort.report_facts.fact import Fact, highest
from prime.cohort.report_facts.numbers import ROMAN, grade_number
from prime.cohort.report_facts.prose import Prose

THIRDS = {"": 0.0, "a": 0.0, "b": 1 / 3, "c": 2 / 3, "d": 2 / 3}
_FIGURE_OF = {"is": 0.0, "a": 0.0, "o": 0.0, "i": 1.0, "l": 1.0}  # O and l stand for 0 and 1 after OCR

_NOTE = r"(?:\s?\([^)]{0,12}\))?"  # as in pN1(sn)
_T_VALUE = rf"(?:mi)?(?P<letter>[a-d]?)\d?{_NOTE}"
_T = rf"t\s?(?P<t>is|[0-4oil]|a){_T_VALUE}"
_BARE_T = rf"t(?<![\w-]t)\s?(?P<t>is|[0-4l]){_T_VALUE}"  # without its p: not the words "to" and "ta"
_N = rf"n\s?(?P<n>[0-3oil])(?:mi|[a-d])?{_NOTE}"
_M = r"m\s?(?P<m>[01ol])[a-c]?"
_ANY_T = (
    rf"t(?:(?<![\w-]t)\s?(?:is|[0-4lx])|(?:(?<=\bpt)|(?<=\bypt))\s?(?:is|[0-4oilxa]))"
    rf"(?:mi)?[a-d]?\d?{_NOTE}"
)
_ANY_N = rf"n\s?[0-3oilx](?:mi|[a-d])?{_NOTE}"
_P = r"p(?:(?<!\wp)|(?<=\byp))\s?"  # of pT2 and ypT2
_END = r"(?![a-z0-9])"
_BETWEEN = r"[\s,.;:/\-]*(?:y?\s?p\s?)?"
_KIND = r"(?:stage|category|classification)"
T_RULES = (
    re.compile(rf"{_P}{_T}(?:{_END}|(?=p?n\s?[0-3oilx]))"),
    re.compile(rf"{_BARE_T}{_BETWEEN}{_ANY_N}(?:{_END}|(?=m))"),
    re.compile(
        rf"\b(?:primary tumou?r|t {_KIND}|(?:tnm|pathologic(?:al)?) stage|staging|extent of invasion"
        rf"|definition"
        rf"|pathological t\b)[^;]{{0,12}}?{_BARE_T}{_END}"
    ),
)
N_RULES = (
    re.compile(rf"{_P}{_N}(?:{_END}|(?=p?m\s?[01olx]))"),
    re.compile(rf"{_ANY_T}{_BETWEEN}{_N}(?:{_END}|(?=m))"),
    re.compile(
        rf"\b(?:lymph nodes|n {_KIND}|pathological n|lymph node (?:stage|involvement)(?: \([^)]*\))?)\b"
        rf"[^;\w]{{0,12}}n\s?(?P<n>[0-3])[a-d]?{_END}(?! (?:lymph|node|positive|station|site))"
    ),
)
M_RULES = (
    re.compile(rf"p(?:(?<!\wp)|(?<=\byp))(?<!\d p)\s?{_M}{_END}"),
    re.compile(rf"{_ANY_T}{_BETWEEN}{_ANY_N}[\s,.;:/\-]*(?:[pc]\s?)?{_M}{_END}"),
    re.compile(
        rf"\b(?:distant metastas[ie]s|m {_KIND}|clinical m\b)[^;]{{0,12}}?(?<![\w-])[pc]?m\s?"
        rf"(?P<m>[01]){_END}"
    ),
)

_NOT_OF_TUMOUR = (
    r"fibrosis|hepatitis|steatosis|inflammat|cirrhosis|metavir|ishak|batts|scheuer|pressure|renal disease"
)
_STAGE_VALUE = rf"(?P<stage>{ROMAN}|[0-4])\s?(?P<letter>[abc]?)\d?(?![\w/]|-\d)"
STAGE_RULES = (
    re.compile(
        r"sta(?<!no sta)(?<!\bt sta)(?<!\bn sta)(?<!\bm sta)(?<!\wsta)g(?:e|ing)(?: group(?:ing)?"
        r"| classification)?"
        r"(?:\s|[:,=\-]|\b(?:is|of|at least|ajcc|figo|uicc|tnm|pathologic(?:al)?|clinical|summary"
        r"|according to)\b"
        r"|\([^)]{0,30}\)|(?:7|6|5)th (?:edition|ed\.?))*"
        rf"{_STAGE_VALUE}(?! status)"
    ),
    re.compile(rf"\b(?:figo|ajcc|uicc)\s?[:\-]?\s?(?P<stage>{ROMAN})\s?(?P<letter>[abc])\d?(?![\w/])"),
)


def _figure(code: str) -> float:
    return _FIGURE_OF[code] if code in _FIGURE_OF else float(code)


def t_stage(report: Prose) -> float:
    """T of TNM: 0 (T0, Tis and Ta) to 4, b a third and c two thirds more; the highest that is stated."""
    found = (match for rule in T_RULES for match in rule.finditer(report.text))
    return highest([_figure(match["t"]) + THIRDS[match["letter"]] for match in found])


def n_stage(report: Prose) -> float:
    """N of TNM, 0 to 3 without its letter; the highest that is stated."""
    found = (match for rule in N_RULES for match in rule.finditer(report.text))
    return highest([_figure(match["n"]) for match in found])


def m_stage(report: Prose) -> float:
    """M of TNM, 0 or 1; the highest that is stated."""
    found = (match for rule in M_RULES for match in rule.finditer(report.text))
    return highest([_figure(match["m"]) for match in found])


def stage(report: Prose) -> float:
    """The stage, 0 to 4, b a third and c two thirds more; the highest that is stated."""
    values: list[float] = []
    for rule in STAGE_RULES:
        for match in rule.finditer(report.text):
            around = report.text[max(0, match.start() - 60) : match.end() + 40]
            if not re.search(_NOT_OF_TUMOUR, around):
                values.append(grade_number(match["stage"]) + THIRDS[match["letter"]])
    return highest(values)


STAGING = (
    Fact("t_stage", "T of TNM, 0 (T0, Tis, Ta) to 4; b adds a third, c two thirds", t_stage),
    Fact("n_stage", "N of TNM, 0 to 3", n_stage),
    Fact("m_stage", "M of TNM, 0 or 1", m_stage),
    Fact("stage", "stage (AJCC, FIGO and others), 0 to 4; B adds a third, C two thirds", stage),
)

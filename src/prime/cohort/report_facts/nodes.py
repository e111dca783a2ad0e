"""Lymph nodes: how many were examined and how many hold tumour."""

import re
from collections.abc import Iterator
from functools import lru_cache

from prime.cohort.report_facts.fact import ABSENT, Fact, highest
from prime.cohort.report_facts.numbers import COUNT, count
from prime.cohort.report_facts.prose import Prose
from prime.cohort.report_facts.status import finding

SMALL = 3  # nodes; the same fraction of more of them twice in a clause is one statement
MOST = 150  # nodes; more is a misread number
_NODE = re.compile(r"\bnod(?:es?|al|i)\b|\blymphadenectomy|\bsentinel|\bln\b")
_NOT_NODES = re.compile(
    r"grade|score|tubul|mitos|mitotic|quadrant|\bblocks?\b|hpf|gleason|\d{1,2}/\d{1,2}/\d{2,4}|core"
)
_FRACTION = re.compile(
    rf"(?<![\w./])(?P<positive>{COUNT})\s?(?:/|\b(?:out of|of|among|from)\b(?: the| a total of)?)\s?"
    rf"(?P<examined>{COUNT})(?![\w/%]|\.\d|\s?(?:cm|mm|x)\b)"
)
_BRACKETED = re.compile(r"[(\[]\s?(?P<positive>\d{1,2})\s?/\s?(?P<examined>\d{1,3})\s?[)\]]")
_EXAMINED = re.compile(
    rf"\bnod(?:es|e)\s?(?:examined|sampled|identified|found|evaluated|submitted|removed"
    rf"|received)?[^;:]{{0,25}}?"
    rf"\b(?:examined|sampled|evaluated|total)(?: \w+)?\s?[:=\-(]+\s?(?P<count>{COUNT})\b(?!/)"
    rf"|\b(?:total )?number (?:of )?(?:regional |lymph |nodes? )*(?:examined|sampled"
    rf"|evaluated)?\s?[:=]\s?(?P<total>{COUNT})\b(?!/)"
    rf"|\btotal (?:lymph )?nodes?(?: examined)?\s?[:=]\s?(?P<all>{COUNT})\b"
)
_INVOLVED = re.compile(
    rf"\b(?:nodes?|number) (?:\w+ ){{0,2}}?(?:involved|positive|with metastas[ei]s|with tumou?r"
    rf"|containing \w+)(?: \w+)?\s?[:=\-(]+\s?(?P<count>{COUNT})\b(?!/)"
    rf"|\b(?:number|total)(?: of)? (?:positive|involved|metastatic) (?:regional "
    rf"|lymph )*nodes?\s?[:=\-]\s?(?P<total>{COUNT})\b(?!/)"
)
_COUNTED = re.compile(
    rf"(?:(?<![\w./\-#])(?P<count>{COUNT})(?:\s?\(\d{{1,2}}\))?|\((?P<bracketed>\d{{1,2}})\))"
    rf" (?:\w+[, ]+){{0,4}}?(?:lymph )?nodes?\b"
)
_NEGATIVE = re.compile(
    r"negative|benign|uninvolved|no (?:evidence of )?(?:\w+ )?(?:malignan\w+|metasta\w+|tumou?r"
    r"|carcinoma|neoplas\w+)|free of"
    r"|without (?:\w+ )?(?:metasta\w+|tumou?r|evidence)|reactive|not involved|tumou?r[- ]free|hyperplas"
)
_POSITIVE = re.compile(r"metasta|positive|involved|carcinoma")
_NEAR_NODE = re.compile(r"nod(?:e|al)|metasta|level")
_OTHER_ORGAN = re.compile(r"thyroid|prostat|kidney|confined")
_EXTRANODAL = re.compile(
    r"(?:extra|peri)[- ]?nodal(?: \w+)? ?(?:extension|invasion|spread|involvement|infiltration|tumou?r"
    r"|soft tissue)?"
    r"|(?:extra)[- ]?capsular(?: \w+)? (?:extension|invasion|spread)"
)


def _of_nodes(clauses: tuple[str, ...]) -> Iterator[tuple[str, bool]]:
    """Clauses that are about nodes, each text once; and those right after one, marked False."""
    seen: set[str] = set()
    before = False
    for clause in clauses:
        here = _NODE.search(clause) is not None
        if (here or before) and clause not in seen and not _NOT_NODES.search(clause):
            seen.add(clause)
            yield clause, here
        before = here or (before and _BRACKETED.search(clause) is not None)


def _fractions(clause: str, named: bool) -> list[tuple[int, int]]:
    """Pairs of positive and examined nodes; in a clause that does not name nodes only those in brackets."""
    rule = _FRACTION if named else _BRACKETED
    pairs = [(count(match["positive"]), count(match["examined"])) for match in rule.finditer(clause)]
    pairs = [pair for place, pair in enumerate(pairs) if pair[1] <= SMALL or pair not in pairs[:place]]
    return [pair for pair in pairs if pair[0] <= pair[1] and 0 < pair[1] <= MOST]


def _summed(pairs: list[tuple[int, int]]) -> tuple[float, float]:
    """The sum of the parts; a pair that is the sum of all the others is the total, and counts alone."""
    with_tumour, of = sum(a for a, _ in pairs), sum(b for _, b in pairs)
    for a, b in pairs:
        if len(pairs) > 2 and (2 * a, 2 * b) == (with_tumour, of):
            return float(a), float(b)
    return float(with_tumour), float(of)


def _added(clauses: tuple[str, ...]) -> tuple[float, float]:
    """Nodes with tumour and nodes examined from fractions, and without any from counts of negative nodes."""
    pairs: list[tuple[int, int]] = []
    free = 0
    negative = metastatic = False
    for clause, named in _of_nodes(clauses):
        found = _fractions(clause, named)
        pairs += found
        if found or not named:
            continue
        if _NEGATIVE.search(clause):
            negative = True
            counted = _COUNTED.search(clause)
            free += 0 if counted is None else count(counted["count"] or counted["bracketed"])
        else:
            metastatic |= _POSITIVE.search(clause) is not None
    if pairs:
        return _summed(pairs)
    if metastatic or not negative:
        return ABSENT, ABSENT
    return 0.0, float(free) if 0 < free <= MOST else ABSENT


def _labelled(rule: re.Pattern[str], clauses: tuple[str, ...]) -> float:
    """The highest number under a label, NaN without any."""
    groups = (found.groups() for clause in clauses for found in rule.finditer(clause))
    values = [count(next(group for group in found if group is not None)) for found in groups]
    return highest([float(value) for value in values if value <= MOST])


@lru_cache(maxsize=1)  # three facts ask for it in turn
def counted(report: Prose) -> tuple[float, float]:
    """Nodes with tumour and nodes examined, NaN where not stated.

    Numbers under labels ("number of nodes examined: 13") come first. Else fractions ("2/11", "two of eleven")
    are added over the report's clauses, each wording once; a fraction that is the sum of all others is the
    total. Without fractions, counts of negative nodes ("three benign lymph nodes") are added, and nodes that
    are only negative give 0 positive ones.
    """
    clauses = report.about("nod", "sentinel", "ln", "lymphadenectomy", "number")
    of, with_tumour = _labelled(_EXAMINED, clauses), _labelled(_INVOLVED, clauses)
    added = _added(report.clauses) if clauses else (ABSENT, ABSENT)
    if of == of:
        choice = with_tumour if with_tumour == with_tumour else added[0]
        return (choice if choice <= of else ABSENT), of
    if with_tumour == with_tumour:
        return with_tumour, added[1] if added[1] >= with_tumour else ABSENT
    return added


def positive(report: Prose) -> float:
    """Lymph nodes with tumour, as counted says."""
    return counted(report)[0]


def examined(report: Prose) -> float:
    """Lymph nodes examined, as counted says."""
    return counted(report)[1]


def share(report: Prose) -> float:
    """Lymph nodes with tumour over those examined."""
    with_tumour, of = counted(report)
    return with_tumour / of if of > 0 else ABSENT


def extranodal(report: Prose) -> float:
    """Whether tumour grows out of a lymph node: 1, 0 where the report says that it does not."""
    if not any(stem in report.text for stem in ("nodal", "capsular")):
        return ABSENT
    near = [
        clause for before, clause in zip(("", *report.clauses), report.clauses, strict=False)
        if _NEAR_NODE.search(clause) or (_NODE.search(before) and not _OTHER_ORGAN.search(clause))
    ]  # fmt: skip
    return finding(tuple(near), _EXTRANODAL)


NODES = (
    Fact("nodes_positive", "lymph nodes with tumour", positive),
    Fact("nodes_examined", "lymph nodes examined", examined),
    Fact("nodes_positive_share", "nodes with tumour over nodes examined, 0 to 1", share),
    Fact("extranodal_extension", "1 tumour grows out of a lymph node, 0 it does not", extranodal),
)

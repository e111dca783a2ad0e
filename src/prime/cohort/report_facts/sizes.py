"""Size of the tumour, how deep it grows, how far margins are."""

import re

from prime.cohort.report_facts.fact import ABSENT, Fact, highest
from prime.cohort.report_facts.numbers import DECIMAL, LENGTH, centimetres, decimal
from prime.cohort.report_facts.prose import Prose

_UNITS = ("cm", "mm", "centimet", "millimet")
LARGEST = 40.0  # cm; more is a misread number
_TUMOUR = (
    r"(?:tumou?r|mass|neoplasm|lesion|carcinoma|adenocarcinoma|sarcoma|liposarcoma|leiomyosarcoma"
    r"|melanoma|glioma"
    r"|seminoma|mesothelioma|thymoma|malignancy|cancer|nodule|pheochromocytoma)"
)
_NOT_TUMOUR = (
    r"node|metasta|deposit|polyp\b|leiomyoma|cyst\b|specimen|margin|thick|depth|from|distance|fragment"
    r"|slice|biopsy"
    r"|in situ|adenoma\b|myoma|ellipse|aggregate|hematoma|cavity|skin|uninvolved|core|label|consist"
    r"|portion|tissue|implant|(?:more|greater|less) than|[<>]"
)
_IN_DEFINITION = r"(?:more|greater|less) than|[<>]|specimen|node|polyp\b|implant|from"  # of a T
_STATED = (
    re.compile(
        rf"(?:\b{_TUMOUR} (?:sizes?|diameters?)|\bsizes? of (?:the )?(?:\w+ ){{0,2}}?{_TUMOUR}|\b"
        rf"(?:greatest|maximum"
        rf"|maximal|largest)"
        rf" (?:{_TUMOUR} )?(?:dimension|diameter)(?: of (?:the )?(?:\w+ ){{0,2}}?{_TUMOUR})?|^size)"
        rf"(?:(?!{_NOT_TUMOUR})[^;]){{0,60}}?(?P<length>{LENGTH})"
    ),
    re.compile(
        rf"\b{_TUMOUR}(?:(?!{_IN_DEFINITION})[^:;]){{0,60}}?(?P<length>{LENGTH})[\s,(]{{0,2}}(?:in )?"
        rf"(?:its )?(?:greatest"
        rf"|maximum|maximal|largest)"
    ),
)
_NEARBY = (
    re.compile(
        rf"\b{_TUMOUR}\b(?:(?!{_NOT_TUMOUR})[^:;]){{0,60}}?(?:measur\w+|is|was|\(|,)(?:"
        rf"(?!{_NOT_TUMOUR})[^:;]){{0,25}}?"
        rf"(?P<length>{LENGTH})"
    ),
    re.compile(rf"(?P<length>{LENGTH})(?:(?!{_NOT_TUMOUR})[^:;.]){{0,50}}?\b{_TUMOUR}\b(?!\s?:)"),
)
_DISTANCE_AFTER = re.compile(
    r"[\s)]*(?:\w+ ){0,2}?(?:from|to the|to within|away|deep|thick|above|below|of the)\b"
)
_DEPTH = (
    re.compile(
        rf"(?:depth of (?:\w+ )?(?:invasion|infiltration)|invasion depth|(?:tumou?r|breslow'?s?) "
        rf"(?:thickness|depth)"
        rf"|thickness of (?:\w+ )?invasion|\bdepth of|breslow)[^;]{{0,40}}?(?P<length>{LENGTH})"
    ),
    re.compile(
        rf"\b(?:inva|infiltrat|penetrat|extend)\w+ (?:\w+ ){{0,4}}?(?P<length>{LENGTH}) (?:into|in depth"
        rf"|deep)"
    ),
    re.compile(
        rf"\b(?:invasion|invades|infiltrates|invading) (?:\w+ )?(?:to|into)? ?(?:a )?(?:\w+ )?depth of "
        rf"(?:\w+ )?(?P<length>{LENGTH})"
    ),
)
_PERCENT = re.compile(rf"(?<![\d.])({DECIMAL})(?:\s?-\s?({DECIMAL}))?\s?(?:%|percent)")
_LESS = re.compile(
    r"(?:<|less than|inner|superficial|under|up to)(?: (?:the|or equal to))?\s?(?:one[ -]?half|1/2|half|50)"
    r"|inner (?:half|1/2)"
)
_MORE = re.compile(
    r"(?:>|greater than|more than|outer|over|exceed\w+)(?: the)?\s?(?:one[ -]?half|1/2|half|50)|outer "
    r"(?:half|1/2)"
)
_THIRD = re.compile(
    r"inner (?:one[ -])?(?:third|1/3)|middle (?:one[ -])?(?:third|1/3)|outer (?:one[ -])?(?:third|1/3)"
)
_OF_WALL = re.compile(
    rf"(?<![\d.])(?P<depth>{DECIMAL})\s?(?P<unit>mm|cm)?[^;%]{{0,70}}?(?:\bof (?:a )?(?:total )?|/"
    rf"|total (?:myometrial )?thickness,?"
    rf"|where the (?:\w+ ){{0,3}}is|thickness (?:of|is)?|in (?:a )?|into (?:a |the )?)[\s:=]*"
    rf"(?P<wall>{DECIMAL})\s?"
    rf"(?P<wall_unit>mm|cm)"
)
_WALL_LAST = re.compile(
    rf"\bdepth (?:of|is|:) ?(?P<depth>{DECIMAL})\s?(?P<unit>mm|cm)\s?\((?P<wall>{DECIMAL})\s?"
    rf"(?P<wall_unit>mm|cm) total"
)
_NO_MYOMETRIUM = re.compile(
    r"no (?:\w+ )?(?:myometrial )?invasion|(?:confined|limited) to (?:the )?endometrium|invasion\s?:? ?"
    r"(?:none|absent|not identified)"
    r"|without (?:\w+ )?invasion|not inva"
)
_HALVES = {"inner": 100 / 6, "middle": 50.0, "outer": 500 / 6}
_MARGIN_DISTANCE = (
    re.compile(
        rf"(?P<length>{LENGTH})[\s)]*(?:\(?\w+\)? ){{0,2}}?(?:from|to|of"
        rf"|away from)\b[^;:]{{0,50}}?\bmargins?\b"
    ),
    re.compile(
        r"\b(?:margins?|distance)\b(?:(?!\bnode|\btumou?r size|specimen)[^;]){0,60}?"
        rf"(?:\b(?:by|is|at|within|of|approximately|clearance)|:|=|\()\s?(?:approximately |<"
        rf"|at least )?(?P<length>{LENGTH})"
    ),
)


def _lengths(rules: tuple[re.Pattern[str], ...], clauses: tuple[str, ...]) -> list[float]:
    """Lengths in cm that the rules find and that are no distance to something."""
    found = (
        match for clause in clauses for rule in rules for match in rule.finditer(clause)
        if not _DISTANCE_AFTER.match(clause[match.end("length") :])
    )  # fmt: skip
    values = [centimetres(match["length"]) for match in found]
    return [value for value in values if 0 < value <= LARGEST]


def size(report: Prose) -> float:
    """The largest dimension of the tumour in cm.

    The largest that is stated as its size or greatest dimension; without any, the largest length that
    stands beside a word for tumour and not beside one for a specimen, a node or a distance.
    """
    clauses = report.about(*_UNITS)
    return highest(_lengths(_STATED, clauses) or _lengths(_NEARBY, clauses))


def depth(report: Prose) -> float:
    """The depth of invasion or thickness of the tumour in cm; the largest that is stated."""
    found = (
        match
        for clause in report.about("dept", "thick", "breslow", "inva", "infil", "penetr", "exten")
        for rule in _DEPTH
        for match in rule.finditer(clause)
    )
    values = [centimetres(match["length"]) for match in found]
    return highest([value for value in values if value <= 10])


def _of_wall(clause: str) -> float:
    """Depth over thickness in percent, NaN where they are not both stated."""
    match = _WALL_LAST.search(clause) or _OF_WALL.search(clause)
    if match is None:
        return ABSENT
    depth, wall = decimal(match["depth"]), decimal(match["wall"])
    wall *= 10 if (match["wall_unit"], match["unit"]) == ("cm", "mm") else 1
    depth *= 10 if (match["wall_unit"], match["unit"]) == ("mm", "cm") else 1
    return 100 * depth / wall if 0 < depth <= wall else ABSENT


def _myometrium(clause: str) -> float:
    percents = [decimal(high or low) for low, high in _PERCENT.findall(clause)]
    if _MORE.search(clause):
        return 75.0
    if _LESS.search(clause):
        return 25.0
    if percents and max(percents) <= 100:
        return max(percents)
    third = _THIRD.search(clause)
    if third is not None:
        return _HALVES[third[0].split()[0]]
    return 0.0 if _NO_MYOMETRIUM.search(clause) else _of_wall(clause)


def myometrium(report: Prose) -> float:
    """How much of the myometrium the tumour invades, in percent; the most that is stated.

    25 and 75 for less and more than half, the middle of an inner, middle or outer third, 0 for no invasion.
    """
    values = [_myometrium(clause) for clause in report.about("myometri", "myoinva")]
    return highest([value for value in values if value == value])


def margin_distance(report: Prose) -> float:
    """The distance from the tumour to the closest margin in cm; the least that is stated."""
    found = (
        match
        for clause in report.about("margin", "distance")
        for rule in _MARGIN_DISTANCE
        for match in rule.finditer(clause)
        if "x" not in match["length"]
    )
    return min((centimetres(match["length"]) for match in found), default=ABSENT)


SIZES = (
    Fact("size_cm", "largest dimension of the tumour", size),
    Fact("invasion_depth_cm", "depth of invasion, or thickness of the tumour", depth),
    Fact(
        "myometrium_percent",
        "share of the myometrium invaded; 25 and 75 for less and more than half",
        myometrium,
    ),
    Fact("margin_distance_cm", "distance to the closest margin", margin_distance),
)

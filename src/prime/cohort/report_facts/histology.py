"""Words of the tumour's type that carry grade: 1 where a report uses them, 0 where it only denies them."""

import re
from collections.abc import Callable

from prime.cohort.report_facts.fact import Fact
from prime.cohort.report_facts.prose import Prose
from prime.cohort.report_facts.status import finding

_GLIOMA = r"|\boligoastro\w+|\bmixed (?:oligo\S+ )?glioma"
_SARCOMATOID = (
    r"\bsarcomatoid|\bcarcinosarcoma|\bspindled?[- ]?cells?\b|\brhabdoid|\bmmmt\b"
    r"|\bmalignant mixed m\w+ tumou?r"
)
_SQUAMOUS = r"\badenosquamous|\bsquamous(?: cell)? (?:carcinoma|differentiation|features|component|morules)"
_MUCINOUS = r"\bmucinous\b|\bsignet[- ]?ring|\bcolloid (?:carcinoma|type|adenocarcinoma)"
_POOR_GROWTH = (
    r"\bmicro-?papillary"
    r"|\bsolid(?: growth)?(?: (?:and|with) \w+)?"
    r" (?:pattern|component|subtype|predominant|architecture|growth|variant)"
)
_BETTER_GROWTH = r"\blepidic|\bbronch\w*[- ]?alveolar\b(?! lavage)|\bacinar\b"
_DENIED = re.compile(r"\bnon-? ?keratini[sz]\w+")
_KERATINIZING = re.compile(r"\bkeratini[sz](?:ing|ation|ed)")


def _word(name: str, words: str, pattern: str, *stems: str) -> Fact:
    """The fact that a word of the pattern, which holds one of the stems, is used."""
    term = re.compile(pattern)

    def rule(report: Prose) -> float:
        return finding(report.about(*stems), term)

    return _named(name, words, rule)


def _named(name: str, words: str, rule: Callable[[Prose], float]) -> Fact:
    return Fact(name, f"1 the report names {words}, 0 it only denies it", rule)


def keratinizing(report: Prose) -> float:
    """1 keratinizing, 0 where it is denied or called non-keratinizing."""
    plain = tuple(_DENIED.sub("no keratinizing", clause) for clause in report.about("kerati"))
    return finding(plain, _KERATINIZING)


HISTOLOGY = (
    _word("oligodendroglioma", "oligodendroglioma", r"\boligodendrogli\w+" + _GLIOMA, "oligo", "glioma"),
    _word("astrocytoma", "astrocytoma", r"\bastrocyt(?:oma|ic)\w*" + _GLIOMA, "astro", "glioma"),
    _word(
        "anaplastic_or_glioblastoma", "anaplasia or glioblastoma",
        r"\banaplas(?:tic|ia)\b|\bglioblastoma|\bgbm\b",
        "anaplas", "gliobl", "gbm",
    ),
    _word(
        "serous", "serous carcinoma",
        r"\bserous\b(?! (?:fluid|cyst|fill|material|content|atrophy))", "serous",
    ),
    _word("endometrioid", "endometrioid carcinoma", r"\bendometrioid\b", "endometrioid"),
    _word("clear_cell", "clear cells", r"\bclear[- ]?cells?\b", "clear"),
    _word(
        "sarcomatoid", "sarcomatoid, spindle or rhabdoid cells, or carcinosarcoma", _SARCOMATOID,
        "sarcom", "spindle", "rhabdoid", "mmmt", "malignant mixed",
    ),
    _word("squamous", "squamous carcinoma or differentiation", _SQUAMOUS, "squamous"),
    _named("keratinizing", "keratinization", keratinizing),
    _word("lobular", "lobular carcinoma", r"\blobular(?: \w+)? (?:carcinoma|ca\b|features|type)", "lobular"),
    _word("mucinous", "mucinous, signet-ring or colloid type", _MUCINOUS, "mucinous", "signet", "colloid"),
    _word("papillary", "papillary growth", r"\bpapillary\b(?! (?:dermis|muscle|mesothelial))", "papillary"),
    _word("micropapillary_or_solid", "micropapillary or solid growth", _POOR_GROWTH, "papillary", "solid"),
    _word(
        "lepidic_or_acinar", "lepidic (bronchioloalveolar) or acinar growth", _BETTER_GROWTH,
        "lepidic", "alveolar", "acinar",
    ),
)  # fmt: skip

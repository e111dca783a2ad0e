"""Cleaning of a report's text. Every step is a pure function that returns the text and how much it changed.

Pages are separated by a form feed, lines by a line feed. Every step leaves its own output unchanged.
"""

import re
import unicodedata
from collections import Counter
from dataclasses import dataclass

from prime.encode.reports.garbage import garbage_ratio
from prime.encode.reports.hyphens import join_hyphens

EDGE_LINES = 5  # of a page's top and of its bottom are searched for headers and footers
LINE_BREAKS = re.compile(r"\r\n|[\r\x0b\x1c-\x1e\x85\u2028\u2029]")
CUT = re.compile("\xad *\n|[\x02\ufffe]\n?")  # a soft hyphen at a line's end; PDFium's mark of a cut word
PLAIN = str.maketrans(
    {"ﬀ": "ff", "ﬁ": "fi", "ﬂ": "fl", "ﬃ": "ffi", "ﬄ": "ffl", "ﬅ": "st", "ﬆ": "st"}
    | dict.fromkeys("\u2010\u2011", "-")
    | dict.fromkeys("‘’", "'")
    | dict.fromkeys("“”", '"')
)
CHECKED = re.compile(r"[☑☒✓✔✗✘⊠]|\[[xX]\]")
UNCHECKED = re.compile(r"[☐□▢◻⬜]|\[ *\]|\( *\)")
RULES = re.compile(r"_+|([=~*#·•\-–—])\1{2,}|\.{4,}|(?:\. ){3,}\.?|[■▪●•◦▸►]")
LONE = re.compile(r"(?<!\S)[|~^`´¦\\{}*]+(?!\S)")
PAGE_NUMBER = re.compile(
    r"[-–—( ]*(?:page|pg\.?)[: ]*\d+(?: *(?:of|/) *\d+)?[-–—). ]*|[-–—] *\d+ *[-–—]|\d+ of \d+", re.I
)
INNER_PAGE_NUMBER = re.compile(r"\b(?:page|pg\.?)[: ]*\d+(?: *(?:of|/) *\d+)?", re.IGNORECASE)
LOST_LINE_END = re.compile(r"(?<=[\w)])-\. (?=[a-z])")
DOT_AT_LINE_END = re.compile(r"(?<=[,;:])\. (?=\S)")


@dataclass(frozen=True)
class Cleaned:
    """A cleaned text.

    Attributes:
        text: without form feeds, and without blanks at its ends.
        changes: by step, how often it changed something.
        garbage: share of the cleaned text's tokens that do not look like words, see garbage_ratio.
    """

    text: str
    changes: dict[str, int]
    garbage: float


def clean(text: str) -> Cleaned:
    """Apply all steps until nothing changes, so that cleaning a clean text changes nothing.

    Args:
        text: pages separated by form feeds.
    """
    changes: Counter[str] = Counter(dict.fromkeys(("header_lines_dropped", *(name for name, _ in STEPS)), 0))
    text, changes["characters_replaced"] = plain_characters(text)
    text, changes["header_lines_dropped"] = drop_repeated_lines(text)
    text = text.replace("\f", "\n")
    before = None
    while text != before:
        before = text
        for name, step in STEPS:
            text, count = step(text)
            changes[name] += count
    return Cleaned(text, dict(changes), garbage_ratio(text))


def plain_characters(text: str) -> tuple[str, int]:
    """Use one kind of line end, blank, hyphen and quote, split ligatures, and drop control characters.

    Returns the text and the number of characters replaced or removed, blanks and line ends not counted.
    """
    text = LINE_BREAKS.sub("\n", text)
    text, cuts = CUT.subn("-\n", text)
    result: list[str] = []
    replaced = cuts
    for old in text:
        new = old if old.isascii() and old.isprintable() else _plain(old)
        replaced += new != old and new != " "
        result.append(new)
    return _tidy("".join(result)), replaced


def _plain(character: str) -> str:
    if character in "\n\f":
        return character
    if character == "\t" or unicodedata.category(character) == "Zs":
        return " "
    if unicodedata.category(character)[0] == "C":
        return ""
    return character.translate(PLAIN)


def _tidy(text: str) -> str:
    """One blank between words, none at the ends of lines, at most one empty line between lines."""
    pages = [re.sub(r" *\n *", "\n", re.sub(r" {2,}", " ", page)) for page in text.split("\f")]
    return "\f".join(re.sub(r"\n{3,}", "\n\n", page).strip(" \n") for page in pages)


def drop_repeated_lines(text: str) -> tuple[str, int]:
    """Drop headers and footers: lines among the first or last five of a page that are there on at least half
    of the pages, and on two. Their first occurrence stays, so that no content is lost.

    Lines are compared without regard to case, blanks and the number after "page". Returns the text and the
    number of lines dropped.
    """
    pages = [page.split("\n") for page in text.split("\f")]
    dropped = 0
    while True:
        repeated = _repeated([_edge_keys(lines) for lines in pages])
        if not repeated:
            return "\f".join("\n".join(lines) for lines in pages), dropped
        seen: set[str] = set()
        for number, lines in enumerate(pages):
            here = set(_edge_positions(lines))
            kept: list[str] = []
            for position, line in enumerate(lines):
                key = _line_key(line)
                if position in here and key in repeated and key in seen:
                    dropped += 1
                    continue
                if position in here:
                    seen.add(key)
                kept.append(line)
            pages[number] = kept


def _edge_positions(lines: list[str]) -> list[int]:
    """The positions of the first and last lines of a page that hold a letter or a digit."""
    full = [position for position, line in enumerate(lines) if _line_key(line)]
    return sorted({*full[:EDGE_LINES], *full[-EDGE_LINES:]})


def _edge_keys(lines: list[str]) -> Counter[str]:
    return Counter(_line_key(lines[position]) for position in _edge_positions(lines))


def _line_key(line: str) -> str:
    """What two lines must share to count as the same header; empty for a line without letters and digits."""
    if not any(character.isalnum() for character in line):
        return ""
    return "".join(INNER_PAGE_NUMBER.sub("page", line).casefold().split())


def _repeated(pages: list[Counter[str]]) -> set[str]:
    """Keys of the lines at the edges of at least half of the pages, and of two."""
    on_pages = Counter(key for page in pages for key in page)
    least = max(2, (len(pages) + 1) // 2)
    return {key for key, count in on_pages.items() if count >= least}


def drop_noise_lines(text: str) -> tuple[str, int]:
    """Drop lines without a letter or digit (rules, boxes, lone punctuation) and page numbers."""
    lines = text.split("\n")
    kept = [line for line in lines if not line.strip() or not _is_noise(line.strip())]
    return _tidy("\n".join(kept)), len(lines) - len(kept)


def _is_noise(line: str) -> bool:
    if CHECKED.search(line):
        return False
    return not any(character.isalnum() for character in line) or PAGE_NUMBER.fullmatch(line) is not None


def drop_marks(text: str) -> tuple[str, int]:
    """Drop the marks of forms inside lines: underscores, rules, leader dots, empty boxes, lone `|` or `~`
    and the like. A ticked box becomes `[x]`, because it carries information.
    """
    count, before = 0, ""
    while text != before:  # what is left of one mark can make another
        before = text
        for pattern in (UNCHECKED, RULES, LONE):
            text, number = pattern.subn(" ", text)
            count += number
        count += sum(match.group() != "[x]" for match in CHECKED.finditer(text))
        text = _tidy(CHECKED.sub("[x]", text))
    return text, count


def mend_line_ends(text: str) -> tuple[str, int]:
    """Undo the full stops that TCGA-Reports has at line ends: `yellow-. tan`, `lung,. the`."""
    text, cuts = LOST_LINE_END.subn("-\n", text)
    text, dots = DOT_AT_LINE_END.subn(" ", text)
    return text, cuts + dots


STEPS = (
    ("characters_replaced", plain_characters),
    ("noise_lines_dropped", drop_noise_lines),
    ("marks_dropped", drop_marks),
    ("line_ends_mended", mend_line_ends),
    ("hyphens_joined", join_hyphens),
)

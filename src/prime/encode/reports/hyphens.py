"""Joining words that were cut at the end of a line, while the hyphens of compounds are kept."""

import re

LINE_END = re.compile(r"(?P<first>\w+(?:-\w+)*)-[ \n]*\n *(?P<second>[^\W\d_]+)")
PARTS = re.compile(r"[^\W\d_]+")

# Words that begin a compound in reports ("tan-brown", "well-differentiated"). Prefixes such as peri- are not
# among them: "perinuclear" says the same, and "peri-" may well be the start of a cut word.
FIRST_WORDS = """
    anterior beta black blue bluish bright brown brownish clear color cross dark eight fat fibrous fifty
    five follow forty four full gray grayish green grey half hemorrhagic high ill inferior irregularly
    large lateral left light low lymph maroon medial mid middle moderately mucin multi nine ninety non off
    one orange paraffin partly pink pinkish plum poorly posterior purple red reddish right self seven
    seventy short single six sixty soft step superior tan tanish tannish thick thin thirty three tumor
    tumour twenty two undesignated upper vaguely well white whitish wild year yellow yellowish
"""
# ... and words that end one ("tumor-free", "HER2-positive").
SECOND_WORDS = """
    and appearing assisted associated based bearing black blue brown colored coloured containing
    differentiated dimensional embedded encased filled fixed free gray green grey hodgkin inked involved
    like lined looking lying marked mediated negative of old op or orange pink positive purple reactive
    red related rich sectioned shaped sided sized specific stained tan tinged type up walled which white
    with year yellow
"""
FIRST = frozenset(FIRST_WORDS.split())
SECOND = frozenset(SECOND_WORDS.split())


def join_hyphens(text: str) -> tuple[str, int]:
    """Join words cut by a hyphen at a line's end; returns the text and how many hyphens were removed.

    A hyphen is kept (only the line end goes) where the rest of the text has the compound with it or both
    parts as words, where a part is among those that pathologists join by a hyphen, beside a digit or a single
    letter, and where capitals and small letters meet. Where the rest of the text has the word in one piece,
    it is removed.
    """
    known = {word.casefold() for line in text.split("\n") for word in _inner_words(line)}
    removed = 0

    def join(match: re.Match[str]) -> str:
        nonlocal removed
        first, second = match["first"], match["second"]
        if _is_compound(first, second, known):
            return f"{first}-{second}"
        removed += 1
        return first + second

    return LINE_END.sub(join, text), removed


def _inner_words(line: str) -> list[str]:
    """A line's words with their inner hyphens; a word cut at the line's end is none."""
    return re.findall(r"\w+(?:-\w+)*(?![\w-])", line)


def _is_compound(first: str, second: str, known: set[str]) -> bool:
    whole, hyphenated = (first + second).casefold(), f"{first}-{second}".casefold()
    if whole in known or hyphenated in known:
        return whole not in known
    if min(len(first), len(second)) > 2 and first.casefold() in known and second.casefold() in known:
        return True
    last = first.rsplit("-", 1)[-1]
    if PARTS.fullmatch(last) is None or len(last) == 1 or len(second) == 1 or "-" in first:
        return True
    if not (second.islower() or (second.isupper() and last.isupper())):
        return True
    if last.isupper() and second.islower():
        return True
    return last.casefold() in FIRST or second.casefold() in SECOND

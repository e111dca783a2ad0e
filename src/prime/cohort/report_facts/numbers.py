"""Numbers in words, roman numerals, lengths in centimetres."""

import re

_UNITS = re.findall(
    r"\w+",
    "one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen"
    " seventeen eighteen nineteen",
)
_TENS = ["twenty", "thirty", "forty", "fifty", "sixty"]
_NUMBER_OF = {
    "no": 0, "zero": 0, "none": 0, **{word: value for value, word in enumerate(_UNITS, start=1)},
    **{word: 10 * value for value, word in enumerate(_TENS, start=2)},
    **{
        f"{ten}-{unit}": 10 * value + least
        for value, ten in enumerate(_TENS, start=2) for least, unit in enumerate(_UNITS[:9], start=1)
    },
}  # fmt: skip
COUNT = r"(?:\d{1,3}|" + "|".join(sorted(_NUMBER_OF, key=len, reverse=True)) + r")"

DECIMAL = r"\d{1,3}(?:[.,]\d{1,2})?|\.\d{1,2}"
_UNIT = r"(?:cm|mm|centimet(?:er|re)s?|millimet(?:er|re)s?)"
LENGTH = rf"(?<![\d.])(?:(?:{DECIMAL})(?:\s?{_UNIT})?\s?(?:x|by|-|to)\s?){{0,3}}(?:{DECIMAL})\s?{_UNIT}\b"
_ANY_DECIMAL = re.compile(DECIMAL)
ROMAN = r"(?:iv|lv|[il]{1,3})"


def count(word: str) -> int:
    """A whole number that COUNT matches, in figures or words."""
    return int(word) if word.isdigit() else _NUMBER_OF[word]


def decimal(figures: str) -> float:
    """A number that DECIMAL matches."""
    return float(figures.replace(",", "."))


def centimetres(length: str) -> float:
    """The largest number of what LENGTH matches ("3.2 x 2 cm"), in cm."""
    largest = max(decimal(figures) for figures in _ANY_DECIMAL.findall(length))
    return largest / 10 if "mm" in length or "milli" in length else largest


def grade_number(word: str) -> float:
    """A figure, or a roman numeral in lower case in which l may stand for i."""
    if word.isdigit():
        return float(word)
    return 4.0 if word.endswith("v") else float(len(word))

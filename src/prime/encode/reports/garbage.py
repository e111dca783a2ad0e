"""The share of a text that does not look like words: a measure of bad OCR that needs no dictionary."""

import re
import unicodedata
from functools import cache

EDGES = "\"'`.,;:!?()[]{}<>*+=#%&/\\-–—_®™°"
SEPARATORS = re.compile(r"[-/.,:;+&'’×()\[\]=<>#%~\"]|(?<=\d)[xX](?=\d)")
LONE = frozenset([*"-–—&+=<>/#%:°×", "+/-", "<=", ">=", "(+)", "(-)", "(s)"])
SMALL = frozenset("aioxgIXV")
CODE = re.compile(r"[A-Za-z]{0,6}\d{1,8}[A-Za-z]{0,6}|\d{0,3}(?:[A-Za-z]{1,2}\d{1,4}){2,4}[A-Za-z]{0,2}")
VOWEL = re.compile(r"[aeiouyàáâäãåæèéêëìíîïòóôöõøùúûüý]", re.IGNORECASE)
CONSONANTS = re.compile(r"[bcdfghjklmnpqrstvwxz]{6}", re.IGNORECASE)
THRICE = re.compile(r"([a-hj-z])\1\1")
CASES = re.compile(r"[^\W\d_]?[a-zß-ÿ]+|[^a-zß-ÿ]+|(?:Mc|Mac|De|Di|La|Le|Van)[A-Z][a-z]+")
STRANGE = re.compile(r"[?@$^~]{2}")
ACCENTED = 0.7  # share of a word's letters beyond ASCII; more are another script whose encoding was lost
PLAIN = str.maketrans({"ł": "l", "Ł": "L", "đ": "d", "Đ": "D", "ı": "i", "ø": "o", "Ø": "O"})
TOGETHER = ("CJK", "HIRAGANA", "KATAKANA", "KATAKANA-HIRAGANA", "IDEOGRAPHIC", "BOPOMOFO", "HANGUL")
SHARED = ("COMBINING", "MODIFIER", "FEMININE", "MASCULINE", "MICRO")
ACRONYM = 5  # letters; shorter words may have any case, and in capitals no vowel


def garbage_ratio(text: str) -> float:
    """The share (0 to 1) of a text's tokens, cut at white space, that do not look like words.

    Words have a vowel, one kind of case, no letter three times in a row and no six consonants in a row; in
    other scripts than the Latin they are letters of one script, which Chinese and Japanese share. Numbers,
    short codes (`pT2`, `M-8140/3`), acronyms, single capitals (labels), and signs such as `<` count as words.
    A text without tokens has 0.
    """
    tokens = text.split()
    if not tokens:
        return 0.0
    return sum(not looks_like_a_word(token) for token in tokens) / len(tokens)


def looks_like_a_word(token: str) -> bool:
    """Whether a token could be a word, a number or a code, see garbage_ratio."""
    if token in LONE or token.rstrip(".,:;") in LONE:
        return True
    core = token.strip(EDGES)
    if not core or STRANGE.search(token):
        return False
    if not all(letter == "LATIN" for letter in map(_script, core) if letter):
        return _of_other_script(core)
    parts = [part for part in SEPARATORS.split(core) if part]
    return bool(parts) and all(_part(part, len(parts) == 1) for part in parts)


@cache
def _script(character: str) -> str:
    """The script of a letter or of a mark on one, empty for anything else and for signs that many share."""
    if character.isascii():
        return "LATIN" if character.isalpha() else ""
    if unicodedata.category(character)[0] not in "LM":
        return ""
    name = unicodedata.name(character, "UNNAMED").split(" ", 1)[0]
    if name in TOGETHER:
        return "CJK"
    return "LATIN" if name == "FULLWIDTH" else "" if name in SHARED else name


def _of_other_script(token: str) -> bool:
    """Whether each run of letters in a token is of one script; those in Latin letters are judged as words."""
    runs = "".join(character if _script(character) else " " for character in token).split()
    for run in runs:
        scripts = {_script(character) for character in run}
        if len(scripts) > 1 and "CJK" not in scripts:
            return False
        if scripts == {"LATIN"} and not _part(run, len(runs) == 1):
            return False
    return bool(runs)


def _part(part: str, alone: bool) -> bool:
    if len(part) == 1:
        return not alone or part in SMALL or part.isdigit() or part.isupper()
    if CODE.fullmatch(part):
        return True
    if THRICE.search(part) or (
        len(part) > 3 and sum(not letter.isascii() for letter in part) > ACCENTED * len(part)
    ):
        return False
    part = _without_accents(part)
    if not part.isalpha() or CONSONANTS.search(part):
        return False
    if len(part) <= ACRONYM and (part.isupper() or len(part) < 4):
        return True
    if len(part) <= ACRONYM and sum(letter.isupper() for letter in part) >= 2:
        return True
    return VOWEL.search(part) is not None and CASES.fullmatch(part) is not None


def _without_accents(part: str) -> str:
    letters = unicodedata.normalize("NFD", part.translate(PLAIN))
    return "".join(letter for letter in letters if unicodedata.category(letter) != "Mn")

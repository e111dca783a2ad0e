"""Cells of a clinical table: which count as missing, and which spellings are the same value."""

import math
import re
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from prime.arrays import Floats

_WORDS = ("not available", "not applicable", "not reported", "not evaluated", "unknown", "discrepancy")
MISSING = frozenset(
    {"", "#n/a", "n/a", "na", "nan", "none", "null", "<na>", "nat", "'--", "--", *_WORDS}
    | {f"[{word}]" for word in _WORDS}
)
_CODED = re.compile(r"([01])\s*:.+")  # as cBioPortal writes a status: 0:LIVING, 1:DECEASED

NINES = tuple(sign * (10.0**digits - 1) for digits in (3, 4, 5, 6) for sign in (-1, 1))  # codes for missing
BEYOND = 2.0  # times the size of all other numbers


def is_missing(value: object) -> bool:
    """Whether a cell is empty or one of the spellings of missing (`#N/A`, `[Not Available]`, `'--`, ...)."""
    return str(value).strip().lower() in MISSING


def first_missing(cells: Sequence[str]) -> int | None:
    """The first of the cells, without blanks at their ends, that is missing; None where none is."""
    if MISSING.isdisjoint(map(str.lower, cells)):  # nearly always; a call for each takes several times longer
        return None
    return next(number for number, cell in enumerate(cells) if is_missing(cell))


def distinct(cells: NDArray[np.object_]) -> tuple[NDArray[np.int64], list[object], NDArray[np.int64]]:
    """Of n cells: the number of each one's value (n,), the values as they appear, each one's first cell.

    What is asked of every value once need not be asked of a million cells.
    """
    codes, values = pd.factorize(cells, use_na_sentinel=False)
    return codes.astype(np.int64), list(values), np.unique(codes, return_index=True)[1]


@lru_cache(maxsize=2**12, typed=True)
def value_key(value: object) -> str:
    """One spelling for equal values: 1, 1.0, "1", true and "1:DECEASED" are the same; text ignores case."""
    text = str(value).strip().lower()
    text = match.group(1) if (match := _CODED.fullmatch(text)) else text
    text = {"true": "1", "false": "0"}.get(text, text)
    found = number(text)
    return text if found is None else repr(found)


def number(value: object) -> float | None:
    """A cell as a number, which may be infinite or NaN; None where it is none.

    `1_000` is none, though Python reads it.
    """
    text = str(value)
    try:
        return None if "_" in text else float(text)
    except ValueError:
        return None


def finite_number(value: object) -> float | None:
    """A cell as a finite number; None where it is none."""
    found = number(value)
    return found if found is not None and math.isfinite(found) else None


def code_for_missing(values: Floats) -> float | None:
    """A number of three nines or more (999, -9999) that stands for missing among values (n,), NaN left out.

    It occurs twice or more and is twice as large as any other; None where there is none.
    """
    known = values[~np.isnan(values)]
    for code in NINES:
        others = known[known != code]
        if len(known) - len(others) >= 2 and len(others) and np.abs(others).max() * BEYOND < abs(code):
            return code
    return None

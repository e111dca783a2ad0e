"""Cells of a clinical table: which count as missing, and which spellings are the same value."""

import math

MISSING = frozenset(
    {"", "#n/a", "n/a", "na", "nan", "none", "null", "<na>"}
    | {f"[{name}]" for name in ("not available", "not applicable", "unknown", "not evaluated", "discrepancy")}
)


def is_missing(value: object) -> bool:
    """Whether a cell is empty or one of the spellings of missing (`#N/A`, `[Not Available]`, ...)."""
    return str(value).strip().lower() in MISSING


def value_key(value: object) -> str:
    """One spelling for equal values: 1, 1.0, "1", "1.0" and true are the same; text ignores case."""
    text = str(value).strip().lower()
    text = {"true": "1", "false": "0"}.get(text, text)
    try:
        return repr(float(text))
    except ValueError:
        return text


def finite_number(value: object) -> float | None:
    """A cell as a finite number; None where it is none."""
    try:
        number = float(str(value))
    except ValueError:
        return None
    return number if math.isfinite(number) else None

"""The unit of a matrix of expression: finding it, checking it, and converting to TPM.

What tells the unit: counts are whole; TPM of a nearly complete list of genes (TELLING_GENES) sum to most of
a million for a patient, where FPKM sum to less; logarithms are below HIGHEST_LOG, and their base is the one
with which they turn back into TPM; log(TPM + 0.001) has negative values down to log(0.001). What these don't
tell must be declared.
"""

import math
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from prime.encode.rna.star import HIGHEST_SUM, LOWEST_SUM, TELLING_GENES
from prime.errors import InputError

LOGARITHMS: dict[str, tuple[float, float]] = {  # base, and what is added to TPM
    "log2-tpm": (2.0, 1.0),
    "ln-tpm": (math.e, 1.0),
    "log10-tpm": (10.0, 1.0),
    "log2-tpm-0.001": (2.0, 0.001),  # as UCSC Xena has it
}
UNITS = ("tpm", "counts", *LOGARITHMS)
HIGHEST_LOG = 25.0  # log2(1 + 1e6) is 19.9; TPM and counts have far larger values
LOWEST_ROW = 3e5  # of a patient's TPM over the genes of a nearly complete list, where others have more
ROUNDING = 1e-3  # of logarithms
NEAR_LEAST = 0.05  # of the least logarithm there is; with another offset there is another
MANY_GENES = 20  # do not have the same value in a patient who expresses any

Values = NDArray[np.float64]


def _back(values: Values, unit: str) -> Values:
    """TPM of log(offset + TPM)."""
    base, offset = LOGARITHMS[unit]
    result: Values = np.maximum(offset * np.expm1(values * math.log(base) - math.log(offset)), 0.0)
    return result


def _lowest(unit: str) -> float:
    """The value of a gene without expression."""
    base, offset = LOGARITHMS.get(unit, (2.0, 1.0))
    return math.log(offset) / math.log(base)


def _sums(values: Values, unit: str = "tpm") -> Values:
    """Sums of rows (n,) after conversion to TPM; infinite where a wrong base overflows."""
    with np.errstate(over="ignore"):
        wide = values if unit not in LOGARITHMS else _back(values, unit)
        result: Values = wide.sum(axis=1)
    return result


def _span(sums: Values) -> str:
    return f"{sums.min():,.0f} to {sums.max():,.0f}"


def _fits(sums: Values) -> bool:
    """Whether the patients in the middle sum to what TPM sum to."""
    return LOWEST_SUM <= float(np.median(sums)) <= HIGHEST_SUM


def refuse_missing(values: Values, patients: Sequence[str], genes: Sequence[str], source: str) -> None:
    """Raise InputError naming patient and gene of the first number that is missing or infinite."""
    _refuse(~np.isfinite(values), values, patients, genes, source)


def refuse_negative(
    values: Values, unit: str, patients: Sequence[str], genes: Sequence[str], source: str
) -> None:
    """Raise InputError naming patient and gene of the first number that is below the least of the unit."""
    _refuse(values < _lowest(unit) - ROUNDING, values, patients, genes, source)


def _refuse(
    wrong: NDArray[np.bool_], values: Values, patients: Sequence[str], genes: Sequence[str], source: str
) -> None:
    bad = np.argwhere(wrong)
    if len(bad):
        row, column = bad[0]
        raise InputError(
            f"{source}: patient {patients[row]}, gene {genes[column]}: {values[row, column]:g} ({len(bad):,}"
            " such values); expression is a number from 0. z-scores cannot be turned back: give TPM, counts,"
            " log(1 + TPM), or log2(TPM + 0.001) with --unit log2-tpm-0.001; a gene without expression has"
            " 0 TPM"
        )


def silent_rows(values: Values) -> dict[int, str]:
    """Rows (g,) without any expression, and why: every gene has the same value, of few genes 0."""
    least = values.min(axis=1)
    same = (least == values.max(axis=1)) & ((least == 0) | (values.shape[1] >= MANY_GENES))
    found = np.flatnonzero(same)
    return {int(row): f"no gene is expressed, each has the value {least[row]:g}" for row in found}


def detect_unit(values: Values, source: str) -> tuple[str, str]:
    """The unit of expression (n, g), and the reason. Raises InputError where the numbers do not show it."""
    lowest, highest = float(values.min()), float(values.max())
    if lowest < 0:
        return _detect_negative(values, lowest, source)
    if bool((values == np.round(values)).all()):
        return "counts", f"all values are whole numbers, the largest {highest:,.0f}"
    if highest < HIGHEST_LOG:
        return _detect_base(values, highest, source)
    sums, genes = _sums(values), values.shape[1]
    if genes >= TELLING_GENES and _fits(sums):
        return (
            "tpm",
            f"the largest value is {highest:,.0f} and patients sum to {_span(sums)}, at most 1,000,000",
        )
    what = "; TPM sum to most of a million, FPKM to less" if genes >= TELLING_GENES else ""
    too_few = "" if genes >= TELLING_GENES else f"; {genes:,} genes do not tell TPM from FPKM"
    raise InputError(
        f"{source}: unit unknown: values up to {highest:,.0f} that are not whole, sums {_span(sums)}; declare"
        f" --unit (RSEM's expected counts: --unit counts with --lengths){what}{too_few}"
    )


def _detect_negative(values: Values, lowest: float, source: str) -> tuple[str, str]:
    """log(offset + TPM) with an offset below 1."""
    for unit, (_, offset) in LOGARITHMS.items():
        # of so many genes one is not expressed, and has the least value there is
        near = -ROUNDING <= lowest - _lowest(unit) <= NEAR_LEAST
        if offset < 1 and near and values.shape[1] >= TELLING_GENES:
            sums = _sums(values, unit)
            if _fits(sums):
                reason = f"the least value is {lowest:.2f}, and turned back patients sum to {_span(sums)}"
                return unit, f"{reason}, at most 1,000,000"
    raise InputError(
        f"{source}: unit unknown: negative values, down to {lowest:.2f}; z-scores cannot be turned back: give"
        f" TPM, counts or log(1 + TPM); if it is log2(TPM + 0.001), as Xena has it, whose least value is"
        f" {_lowest('log2-tpm-0.001'):.2f}, declare --unit log2-tpm-0.001"
    )


def _detect_base(values: Values, highest: float, source: str) -> tuple[str, str]:
    genes = values.shape[1]
    plain = [unit for unit, (_, offset) in LOGARITHMS.items() if offset == 1]
    for unit in reversed(plain) if genes >= TELLING_GENES else ():  # from base 10 down
        sums = _sums(values, unit)
        if _fits(sums):
            reason = f"the largest value is {highest:.1f}, below {HIGHEST_LOG:g}, and turned back they sum"
            return unit, f"{reason} to {_span(sums)}, at most 1,000,000"
    raise InputError(
        f"{source}: unit unknown: the largest value is {highest:.2f}, so these are logarithms, but {genes:,}"
        f" genes do not tell the base; declare --unit {', '.join(plain)}"
    )


def check_unit(values: Values, unit: str, patients: Sequence[str], source: str) -> None:
    """Raise InputError, naming the patient, where expression (n, g) cannot be in that unit."""
    highest = values.max(axis=1)

    def refuse(bad: NDArray[np.bool_], what: Callable[[int], str]) -> None:
        if bool(bad.any()):
            row = int(bad.argmax())
            raise InputError(
                f"{source}: unit {unit}, but patient {patients[row]} {what(row)}; correct --unit"
            )

    if unit in LOGARITHMS:
        refuse(highest >= HIGHEST_LOG, lambda row: f"has a value of {highest[row]:,.0f}: no logarithm of TPM")
    sums = _sums(values, unit)
    if unit != "counts":
        over = (
            "sums to {:,.0f}, beyond 1,000,000"
            if unit == "tpm"
            else "turned back sums to {:,.0f}, over 1,000,000"
        )
        refuse(sums > HIGHEST_SUM, lambda row: over.format(sums[row]))
    if values.shape[1] < TELLING_GENES:
        return
    whole = (values == np.round(values)).all(axis=1)
    if unit in LOGARITHMS:
        refuse(sums < LOWEST_ROW, lambda row: f"turned back sums to {sums[row]:,.0f} only: another base")
    else:
        refuse(
            ~whole & (highest < HIGHEST_LOG),
            lambda row: f"has no value over {highest[row]:.2f}: these are logarithms",
        )
    if unit == "tpm":
        refuse(sums < LOWEST_ROW, lambda row: f"sums to {sums[row]:,.0f} only, TPM to most of a million")
    if unit == "counts":
        refuse(~whole & (sums <= HIGHEST_SUM), lambda row: f"has fractions that sum to {sums[row]:,.0f}: TPM")


def to_tpm(values: Values, unit: str, lengths: NDArray[np.float64] | None = None) -> Values:
    """Expression (n, g) as TPM, float64. `lengths` (g,) in base pairs are needed for counts.

    TPM_g = 1e6 (c_g / l_g) / sum_h (c_h / l_h), over all genes of the matrix (Li & Dewey, BMC Bioinf. 2011).
    A row without any count stays 0.
    """
    if unit == "tpm":
        return values
    if unit in LOGARITHMS:
        return _back(values, unit)
    if lengths is None:
        raise ValueError("counts need the lengths of genes")
    rate = values / lengths
    total = rate.sum(axis=1, keepdims=True)
    result: Values = 1e6 * rate / np.where(total > 0, total, 1.0)
    return result

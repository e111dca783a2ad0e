"""The unit of a matrix of expression: finding it, checking it, and converting to TPM."""

import math
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from prime.encode.rna.star import HIGHEST_SUM
from prime.errors import InputError

LOGARITHMS: dict[str, float] = {"log2-tpm": 2.0, "ln-tpm": math.e, "log10-tpm": 10.0}
UNITS = ("tpm", "counts", *LOGARITHMS)
HIGHEST_LOG = 25.0  # log2(1 + 1e6) is 19.9; TPM and counts have far larger values
LOWEST_SUM = 2e5  # of TPM over the genes of a nearly complete list
TELLING_GENES = 10_000  # the sum over fewer genes says nothing about the unit

Values = NDArray[np.float64]


def _back(values: Values, unit: str) -> Values:
    """TPM of log(1 + TPM)."""
    result: Values = np.expm1(values * math.log(LOGARITHMS[unit]))
    return result


def _sums(values: Values, unit: str = "tpm") -> Values:
    """Sums of rows (n,) after conversion to TPM; infinite where a wrong base overflows."""
    with np.errstate(over="ignore"):
        wide = values if unit not in LOGARITHMS else _back(values, unit)
        result: Values = wide.sum(axis=1)
    return result


def _span(sums: Values) -> str:
    return f"{sums.min():,.0f} to {sums.max():,.0f}"


def refuse_bad_numbers(values: Values, patients: Sequence[str], genes: Sequence[str], source: str) -> None:
    """Raise InputError naming patient and gene of the first number that is missing, infinite or negative."""
    bad = np.argwhere(~(np.isfinite(values) & (values >= 0)))
    if len(bad):
        row, column = bad[0]
        raise InputError(
            f"{source}: patient {patients[row]}, gene {genes[column]}: {values[row, column]:g} ({len(bad):,}"
            " such values); expression is a number from 0. z-scores cannot be turned back: give TPM, counts"
            " or log(1 + TPM), with 0 for a gene that is not expressed"
        )


def detect_unit(values: Values, source: str) -> tuple[str, str]:
    """The unit of expression (n, g), and the reason. Raises InputError where the numbers do not show it."""
    highest = float(values.max())
    if highest < HIGHEST_LOG:
        return _detect_base(values, highest, source)
    if bool((values == np.round(values)).all()):
        return "counts", f"all values are whole numbers, the largest {highest:,.0f}"
    sums = _sums(values)
    if float(sums.max()) <= HIGHEST_SUM:
        return (
            "tpm",
            f"the largest value is {highest:,.0f} and patients sum to {_span(sums)}, at most 1,000,000",
        )
    raise InputError(
        f"{source}: unit unknown: values up to {highest:,.0f} that are not whole, sums {_span(sums)}; declare"
        " --unit (RSEM's expected counts: --unit counts with --lengths)"
    )


def _detect_base(values: Values, highest: float, source: str) -> tuple[str, str]:
    genes = values.shape[1]
    if genes >= TELLING_GENES:
        for unit in reversed(LOGARITHMS):  # from base 10 down: the first that stays below a million
            sums = _sums(values, unit)
            if float(np.median(sums)) >= LOWEST_SUM and float(sums.max()) <= HIGHEST_SUM:
                reason = (
                    f"the largest value is {highest:.1f}, below {HIGHEST_LOG:g}, and turned back they sum"
                )
                return unit, f"{reason} to {_span(sums)}, at most 1,000,000"
    raise InputError(
        f"{source}: unit unknown: the largest value is {highest:.2f}, so these are logarithms, but {genes:,}"
        f" genes do not tell the base; declare --unit {', '.join(LOGARITHMS)}"
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
    if unit in LOGARITHMS:
        refuse(sums < LOWEST_SUM, lambda row: f"turned back sums to {sums[row]:,.0f} only: another base")
    else:
        refuse(
            highest < HIGHEST_LOG, lambda row: f"has no value over {highest[row]:.2f}: these are logarithms"
        )
    if unit == "counts":
        whole = (values == np.round(values)).all(axis=1)
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

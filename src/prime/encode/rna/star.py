"""Reading the GDC's STAR-Counts files: TSV, plain or gzipped, one sample per file, GENCODE v36."""

import gzip
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from prime.encode.rna.genes import GeneList, align, base_id, refuse_twice
from prime.errors import InputError

NEEDED = ("gene_id", "gene_name", "tpm_unstranded")
GZIP = b"\x1f\x8b"
HEAD = 10_000  # bytes, enough for the comment and the header
HIGHEST_SUM = 1.05e6  # of TPM over genes, with a margin for rounding
LOWEST_SUM = 5e5  # of TPM over the genes of a nearly complete list; those of FPKM are lower
TELLING_GENES = 10_000  # the sum over fewer genes says nothing about the unit


@dataclass(frozen=True)
class StarFile:
    """One sample: Ensembl ids without version, their symbols, and TPM (n,) float64."""

    ids: list[str]
    symbols: list[str]
    tpm: NDArray[np.float64]


def is_star(path: Path) -> bool:
    """Whether the file begins like a STAR-Counts file. False where it cannot be read."""
    try:
        with path.open("rb") as file:
            raw = file.read(HEAD)
        start = _unpacked(path) if raw[:2] == GZIP else raw
    except (OSError, EOFError, zlib.error):
        return False
    lines = start.decode("utf-8", errors="replace").splitlines()
    header = next((line for line in lines if not line.startswith("#")), "")
    return {"gene_id", "tpm_unstranded"} <= set(header.split("\t"))


def read_star(path: Path) -> StarFile:
    """Read one file, without the N_ rows, the _PAR_Y copies, and the versions of ids.

    Raises InputError where the file is empty, damaged or cut off within a row, lacks a column, has a gene
    twice or a TPM that is negative or no number, no gene is expressed, or its TPM sum to more than a million,
    or over 10,000 genes to less than half of it.
    """
    lines = [(n, line) for n, line in enumerate(_lines(path), 1) if line and not line.startswith("#")]
    if not lines:
        raise InputError(f"{path}: no line but comments; download it again")
    columns = lines[0][1].split("\t")
    absent = [name for name in NEEDED if name not in columns]
    if absent:
        raise InputError(
            f"{path}: no column {', '.join(absent)}; found {', '.join(columns[:9])}; expected a STAR-Counts"
            " file of the GDC (workflow STAR - Counts), or pass a matrix as one file"
        )
    gene, name, tpm = (columns.index(column) for column in NEEDED)
    ids: list[str] = []
    symbols: list[str] = []
    values: list[float] = []
    for number, line in lines[1:]:
        fields = line.split("\t")
        if fields[0].startswith("N_"):
            continue
        if len(fields) != len(columns):
            raise InputError(
                f"{path}: line {number} has {len(fields)} fields, the header {len(columns)}: the file is cut"
                " off or damaged; download it again"
            )
        base = base_id(fields[gene])
        if base is None or not fields[name]:
            continue
        ids.append(base)
        symbols.append(fields[name])
        values.append(_number(fields[tpm], path, number))
    refuse_twice(ids, str(path))
    total = sum(values)
    if total > HIGHEST_SUM:
        raise InputError(f"{path}: tpm_unstranded sums to {total:,.0f}, over 1,000,000: not TPM")
    if total == 0:
        raise InputError(f"{path}: no gene is expressed, every tpm_unstranded is 0; leave the file out")
    if len(ids) >= TELLING_GENES and total < LOWEST_SUM:
        raise InputError(
            f"{path}: tpm_unstranded sums to {total:,.0f} only over {len(ids):,} genes, where TPM sum to a"
            " million: the file is cut off or holds another unit; download it again"
        )
    return StarFile(ids, symbols, np.array(values))


def line_count(path: Path) -> int:
    """Lines of a file, packed or not; 0 where it cannot be read."""
    try:
        data = path.read_bytes()
        return (gzip.decompress(data) if data[:2] == GZIP else data).count(b"\n")
    except (OSError, EOFError, zlib.error):
        return 0


def star_profile(path: Path, genes: GeneList) -> NDArray[np.float64]:
    """TPM of the listed genes, (G,) float64, NaN where missing; the ids of a symbol are summed.

    Raises InputError as `read_star` and `align` do.
    """
    star = read_star(path)
    if not genes.has_symbols:
        return align(star.ids, star.tpm, genes, str(path))
    sums: dict[str, float] = {}
    for symbol, value in zip(star.symbols, star.tpm.tolist(), strict=True):
        sums[symbol] = sums.get(symbol, 0.0) + value
    return align(list(sums), np.array(list(sums.values())), genes, str(path))


def _unpacked(path: Path) -> bytes:
    with gzip.open(path) as file:
        return file.read(HEAD)


def _number(text: str, path: Path, number: int) -> float:
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not 0 <= value < float("inf"):
        raise InputError(f"{path}: line {number}: tpm_unstranded is {text!r}; expected a number from 0")
    return value


def _lines(path: Path) -> list[str]:
    try:
        data = path.read_bytes()
        raw = gzip.decompress(data) if data[:2] == GZIP else data
        return raw.decode("utf-8-sig").splitlines()
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise InputError(f"{path}: not a whole gzip file ({error}); download it again") from None
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not a text file in UTF-8 ({error}); download it again") from None

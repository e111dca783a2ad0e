"""Lists of genes, Ensembl ids without versions, and bringing expression into the order of a list."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from prime.cohort.patient_names import changed_by_spreadsheet
from prime.errors import InputError, some
from prime.files import read_text, sha256_text

# BulkRNABert's list, common_gene_id.txt, recognised by its hash: its licence forbids commercial use, so it is
# not part of this package.
PUBLISHED_SHA256 = "ce44c2b58a3577878f43aa00fa4d940a090d678bd007f1dbd27ecb58c63d7ec5"
PUBLISHED_GENES = 19_062
PUBLISHED_MINIMUM = 18_000

_ENSEMBL = re.compile(r"ENS[A-Z]*G\d{11}")


@dataclass(frozen=True)
class GeneList:
    """Genes in the order of the output.

    Attributes:
        names: Ensembl ids without version, or symbols, all different.
        sha256: of the names, one per line, each ended by a line feed.
        source: the name of the file from which they were read.
    """

    names: tuple[str, ...]
    sha256: str
    source: str

    @property
    def minimum(self) -> int:
        """The fewest genes a patient must have: 18,000 of the published 19,062, or that share of the list."""
        return -(-len(self.names) * PUBLISHED_MINIMUM // PUBLISHED_GENES)

    @property
    def is_published(self) -> bool:
        """Whether it is BulkRNABert's list, in its order."""
        return self.sha256 == PUBLISHED_SHA256

    @property
    def has_symbols(self) -> bool:
        """Whether most names are symbols rather than Ensembl ids."""
        return mostly_symbols(self.names)


def mostly_symbols(names: Sequence[str]) -> bool:
    """Whether most of the names are not Ensembl gene ids."""
    return 2 * sum(_ENSEMBL.match(name) is not None for name in names) < len(names)


def gene_list(names: Sequence[str], source: str) -> GeneList:
    """The list of these names, without versions. Raises InputError where it is empty or has a gene twice."""
    plain = [base_id(name) or name for name in names]
    if not plain:
        raise InputError(f"{source}: no gene; write one id per line")
    refuse_twice(plain, source)
    return GeneList(tuple(plain), sha256_text("".join(f"{name}\n" for name in plain)), source)


def read_gene_list(path: Path) -> GeneList:
    """Read a list: one id per line; or, of a .csv, its header without `identifier` and `patient_id`.

    Raises InputError for a missing or empty file, another encoding than UTF-8, a gene twice, and the
    published ids in another order, with which each gene would get another gene's embedding.
    """
    text = read_text(path, "--genes")
    cells = text.split()
    if path.suffix.lower() == ".csv":
        header = (cell.strip().strip('"') for cell in text.partition("\n")[0].split(","))
        cells = [cell for cell in header if cell not in ("identifier", "patient_id")]
    found = gene_list(cells, path.name)
    if not found.is_published and gene_list(sorted(found.names), path.name).is_published:
        raise InputError(f"{path}: BulkRNABert's {len(found.names):,} genes in another order; sort the ids")
    return found


def base_id(raw: str) -> str | None:
    """An Ensembl id without its version; a symbol unchanged.

    None for an id such as `ENSG00000182378.15_PAR_Y`, which is the copy of a gene on the Y chromosome.
    """
    name = raw.strip()
    if _ENSEMBL.match(name) is None:
        return name
    base, dot, version = name.partition(".")
    return None if (dot and not version.isdigit()) or base.endswith("_PAR_Y") else base


def refuse_twice(names: Sequence[str], source: str) -> None:
    """Raise InputError where a gene is there twice, versions aside."""
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise InputError(f"{source}: gene {name!r} occurs twice; keep one (versions do not count)")
        seen.add(name)


def refuse_no_genes(names: Sequence[str], source: str) -> None:
    """Raise InputError for names that are no genes: symbols that a spreadsheet changed (`1-Mar`), and
    columns of a matrix such as an age or an outcome among Ensembl ids.
    """
    changed = [name for name in names if changed_by_spreadsheet(name)]
    if changed:
        raise InputError(
            f"{source}: {len(changed):,} genes are called {some(changed)}: a spreadsheet changed symbols such"
            " as MARCH1 and SEPT2; restore them, or leave these genes out"
        )
    others = [n for n in names if not n.upper().startswith(("ENS", "ERCC", "N_", "__"))]
    if others and 10 * len(others) < len(names) and not mostly_symbols(names):
        raise InputError(
            f"{source}: {some(others)} are no Ensembl ids as the other {len(names) - len(others):,} are; "
            "leave them out (of a patient, nothing but expression belongs in the matrix)"
        )


def align(
    names: Sequence[str], values: NDArray[np.float64], genes: GeneList, source: str
) -> NDArray[np.float64]:
    """Values (..., g) of the named genes in the list's order, (..., G); NaN where a gene is missing.

    Raises InputError where fewer than `genes.minimum` are found: the ids are then of another kind, or the
    file is incomplete.
    """
    place = {name: i for i, name in enumerate(names)}
    found = [(i, place[name]) for i, name in enumerate(genes.names) if name in place]
    if len(found) < genes.minimum:
        example = names[0] if names else "none"
        raise InputError(
            f"{source}: has {len(found):,} of the {len(genes.names):,} genes of {genes.source}, at least"
            f" {genes.minimum:,} are needed; the first one there is {example!r}, in the list"
            f" {genes.names[0]!r}: the file is incomplete, or has other ids (see --symbols)"
        )
    result = np.full((*values.shape[:-1], len(genes.names)), np.nan)
    to, of = (np.array(part, dtype=np.int64) for part in zip(*found, strict=True))
    result[..., to] = values[..., of]
    return result

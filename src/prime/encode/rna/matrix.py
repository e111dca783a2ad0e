"""Reading a matrix of expression, patients by genes or genes by patients, and bringing it to TPM."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from prime.cohort.cells import number
from prime.cohort.tables import index_columns, patient_ids, read_table, require_columns
from prime.encode.rna.genes import GeneList, align, base_id, mostly_symbols, refuse_no_genes, refuse_twice
from prime.encode.rna.options import MatrixOptions
from prime.encode.rna.symbols import read_symbols
from prime.encode.rna.units import (
    check_unit,
    detect_unit,
    refuse_missing,
    refuse_negative,
    silent_rows,
    to_tpm,
)
from prime.errors import InputError

ID_COLUMNS = ("patient_id", "identifier", "gene_id")
OF_GENES = (  # columns that describe the genes in the rows, and are no samples; in lower case
    "gene_id", "gene_name", "gene_type", "gene_symbol", "hugo_symbol", "entrez_gene_id", "entrez_id",
    "entrezid", "ensembl_id", "description", "cytoband", "chromosome", "start", "end", "length",
    "gene_length",
)  # fmt: skip
# reads that belong to no gene, as STAR and HTSeq count them
COUNTED_OTHERWISE = re.compile(r"N_(?:unmapped|multimapping|noFeature|ambiguous)|__\w+")


@dataclass(frozen=True)
class Matrix:
    """Expression (n, g) float64 of n samples and g genes, in an unknown unit."""

    samples: list[str]
    genes: list[str]
    values: NDArray[np.float64]

    def rows(self, places: Sequence[int]) -> "Matrix":
        """The samples at these places."""
        return Matrix([self.samples[place] for place in places], self.genes, self.values[list(places)])


@dataclass(frozen=True)
class TpmMatrix:
    """TPM (n, G) float64 by a list of genes, NaN where one is missing; the unit found, and why.

    `silent`: of each sample without any expression, what it has instead.
    """

    samples: list[str]
    tpm: NDArray[np.float64]
    unit: str
    reason: str
    silent: dict[str, str]


def matrix_genes(path: Path, options: MatrixOptions) -> list[str]:
    """The genes of a matrix in its order, without versions. Raises InputError as `read_matrix` does."""
    return read_matrix(path, options, None).genes


def read_tpm(path: Path, options: MatrixOptions, genes: GeneList) -> TpmMatrix:
    """Read a matrix and convert it to TPM of the listed genes. Raises InputError, see both steps."""
    return tpm_of(read_matrix(path, options, genes), options, genes, str(path))


def tpm_of(matrix: Matrix, options: MatrixOptions, genes: GeneList, source: str) -> TpmMatrix:
    """Find or check the unit of a matrix, and convert it to TPM of the listed genes.

    The unit is found, and counts are normalised, over all genes of the matrix; samples without any expression
    have no say in it.
    Raises InputError for a missing or negative number, a unit that is unknown or contradicts the numbers,
    counts without lengths, symbols without --symbols, too few genes, or no sample with expression.
    """
    refuse_missing(matrix.values, matrix.samples, matrix.genes, source)
    silent = silent_rows(matrix.values)
    heard = matrix.rows([row for row in range(len(matrix.samples)) if row not in silent])
    if not heard.samples:
        raise InputError(f"{source}: no sample has any expression ({silent[0]})")
    if options.unit is None:
        unit, reason = detect_unit(heard.values, source)
    else:
        unit, reason = options.unit, "declared"
    refuse_negative(heard.values, unit, heard.samples, matrix.genes, source)
    check_unit(heard.values, unit, heard.samples, source)
    names, values = matrix.genes, matrix.values
    if unit == "counts":
        if options.lengths is None:
            raise InputError(
                f"{source}: counts ({reason}) need --lengths, a table gene_id,length in base pairs"
            )
        names, values, lengths = _with_lengths(matrix, options.lengths)
        values = to_tpm(values, unit, lengths)
    else:
        values = to_tpm(values, unit)
    names = _as_listed(names, options, genes, source)
    silent = silent_rows(values) | silent
    what = {matrix.samples[row]: f"{source}: {why}" for row, why in silent.items()}
    return TpmMatrix(matrix.samples, align(names, values, genes, source), unit, reason, what)


def read_matrix(path: Path, options: MatrixOptions, genes: GeneList | None) -> Matrix:
    """Read the table, transposed if samples are columns.

    Raises InputError for a malformed table, an id twice, text, or if it is not clear where the genes are.
    """
    named = ID_COLUMNS if options.id_column is None else (options.id_column,)
    table = read_table(path, "expression matrix", ids=named)
    table = table.drop(columns=[name for name in index_columns(table) if name not in named])
    id_column = _id_column(table, options, path)
    labels = _labels(table, id_column, path)
    rest = table.drop(columns=[id_column])
    text = [c for c, kind in rest.dtypes.items() if not pd.api.types.is_numeric_dtype(kind)]
    about = [c for c in rest.columns if str(c).lower() in OF_GENES]
    columns = [str(c) for c in rest.columns if c not in text and c not in about]
    rows = [str(label) for label in labels]
    in_rows = options.genes_in == "rows" if options.genes_in else _genes_in_rows(rows, columns, genes, path)
    unknown = [c for c in text if not (in_rows and c in about)]
    if unknown:
        cell = next((c for c in rest[unknown[0]] if not pd.isna(c) and number(c) is None), "")
        raise InputError(
            f"{path}: column {unknown[0]!r} holds {str(cell)!r:.40}, not a number; remove it, or write "
            "decimals with a point"
        )
    numbers = rest.drop(columns=list(dict.fromkeys([*text, *about])))
    values = numbers.to_numpy(dtype=np.float64, na_value=np.nan)
    samples, raw = (columns, rows) if in_rows else (rows, columns)
    kept = [
        (i, base)
        for i, name in enumerate(raw)
        if (base := base_id(name)) is not None and not COUNTED_OTHERWISE.fullmatch(name)
    ]
    names = [base for _, base in kept]
    refuse_no_genes(raw, str(path))
    refuse_twice(names, str(path))
    turned = values.T if in_rows else values
    return Matrix(samples, names, np.ascontiguousarray(turned[:, [i for i, _ in kept]]))


def _labels(table: pd.DataFrame, id_column: str, path: Path) -> "pd.Series[str]":
    """The names of the rows, of patients or genes. Raises InputError for an empty one."""
    what = "the name of its patient or gene, or leave it out"
    return patient_ids(table[id_column], path, "expression matrix", what)


def _id_column(table: pd.DataFrame, options: MatrixOptions, path: Path) -> str:
    if options.id_column is not None:
        require_columns(table, [options.id_column], path, "--id-column")
        return options.id_column
    known = [name for name in ID_COLUMNS if name in table.columns]
    if known:
        return known[0]
    if pd.api.types.is_numeric_dtype(table.dtypes.iloc[0]):
        raise InputError(f"{path}: which column holds the ids? Name it with --id-column")
    return str(table.columns[0])


def _genes_in_rows(rows: list[str], columns: list[str], genes: GeneList | None, path: Path) -> bool:
    """Whether the genes are in the rows: there are more of the list, or only there are Ensembl ids."""
    if genes is not None:
        listed = set(genes.names)
        in_rows, in_columns = (len(listed & {base_id(n) for n in names}) for names in (rows, columns))
        if in_rows != in_columns:
            return in_rows > in_columns
    if mostly_symbols(rows) != mostly_symbols(columns):
        return mostly_symbols(columns)
    raise InputError(f"{path}: are the genes in the columns or in the rows? Say --genes-in columns or rows")


def _with_lengths(matrix: Matrix, path: Path) -> tuple[list[str], NDArray[np.float64], NDArray[np.float64]]:
    """The genes whose length is known, their counts (n, g) and lengths (g,) in base pairs."""
    table = read_table(path, "--lengths")
    require_columns(table, ["gene_id", "length"], path, "--lengths")
    ids = [base_id(str(name)) for name in table["gene_id"]]
    refuse_twice([name for name in ids if name is not None], str(path))
    length = pd.to_numeric(table["length"], errors="coerce").to_numpy(dtype=np.float64)
    if not bool((length > 0).all()):
        row = int((~(length > 0)).argmax())
        raise InputError(f"--lengths: {path}: gene {ids[row]}: the length is not a number above 0")
    length_of = {name: float(value) for name, value in zip(ids, length, strict=True) if name is not None}
    kept = [i for i, name in enumerate(matrix.genes) if name in length_of]
    if 2 * len(kept) < len(matrix.genes):
        raise InputError(
            f"--lengths: {path}: has a length for {len(kept):,} of the {len(matrix.genes):,} genes of the"
            " matrix; use the same ids in both"
        )
    names = [matrix.genes[i] for i in kept]
    return names, matrix.values[:, kept], np.array([length_of[name] for name in names])


def _as_listed(names: Sequence[str], options: MatrixOptions, genes: GeneList, source: str) -> list[str]:
    """The names of genes as in the list: symbols are replaced by Ensembl ids, by the table of --symbols."""
    if not mostly_symbols(names) or genes.has_symbols:
        return list(names)
    if options.symbols is None:
        raise InputError(
            f"{source}: the genes are symbols ({names[0]!r}), {genes.source} has Ensembl ids; give --symbols,"
            " a table with gene_id and gene_name (any STAR-Counts file is one)"
        )
    id_of = read_symbols(options.symbols, genes)
    return [id_of.get(name, name) for name in names]

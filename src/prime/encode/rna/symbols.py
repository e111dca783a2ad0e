"""From gene symbols to the Ensembl ids of a list."""

from pathlib import Path

from prime.cohort.tables import read_table, require_columns
from prime.encode.rna.genes import GeneList, base_id
from prime.encode.rna.star import is_star, read_star
from prime.errors import InputError


def read_symbols(path: Path, genes: GeneList) -> dict[str, str]:
    """The listed Ensembl id of each symbol, from a table with the columns gene_id and gene_name.

    A symbol of several listed ids is left out. A STAR-Counts file is such a table too.
    Raises InputError where the columns are missing or no id is in the list.
    """
    if path.is_file() and is_star(path):
        star = read_star(path)
        pairs = list(zip(star.ids, star.symbols, strict=True))
    else:
        table = read_table(path, "--symbols", text=True)
        require_columns(table, ["gene_id", "gene_name"], path, "--symbols")
        ids = [base_id(str(name)) or "" for name in table["gene_id"]]
        pairs = list(zip(ids, (str(name).strip() for name in table["gene_name"]), strict=True))
    listed = set(genes.names)
    ids_of: dict[str, set[str]] = {}
    for gene, symbol in pairs:
        if gene in listed and symbol:
            ids_of.setdefault(symbol, set()).add(gene)
    if not ids_of:
        raise InputError(f"--symbols: {path}: none of its gene_id is in {genes.source}")
    return {symbol: next(iter(found)) for symbol, found in ids_of.items() if len(found) == 1}

"""`prime encode rna`. Nothing heavy is imported before it runs; its options are in `options`."""

from pathlib import Path
from typing import Annotated

from prime.arguments import about
from prime.encode.rna.options import RnaOptions
from prime.job_pool import JobPool


def rna(
    source: Annotated[Path, about("Folder of STAR-Counts TSV files, or one matrix.")],
    /,
    *,
    options: RnaOptions,
    pool: JobPool = JobPool(),
) -> int:
    """RNA-seq (STAR-Counts files or a matrix) to gene tokens of BulkRNABert or a table of log TPM."""
    from rich.console import Console

    from prime.encode.rna.pipeline import encode_rna

    return encode_rna(source, options, pool, Console())

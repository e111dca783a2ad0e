"""The arguments of `prime encode rna`, and what it runs. Nothing heavy is imported before it runs."""

import argparse
from pathlib import Path

from prime.errors import InputError

ABOUT = "RNA-seq (STAR-Counts files or a matrix) to gene tokens of BulkRNABert or a table of log TPM"
UNITS = ("tpm", "counts", "log2-tpm", "ln-tpm", "log10-tpm")
SLICES = {
    "bulkrnabert": ("first", "random", "variance_topk", "all_mean"),
    "log-tpm": ("all", "variance_topk"),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments."""
    parser.add_argument(
        "source", type=Path, metavar="FOLDER|MATRIX", help="folder of STAR-Counts TSV files, or one matrix"
    )
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="the features; taken up again")
    parser.add_argument("--encoder", choices=tuple(SLICES), default="bulkrnabert", help="(bulkrnabert)")
    _add_network(parser)
    _add_genes(parser)
    _add_input(parser)
    parser.add_argument(
        "--jobs", type=_whole, metavar="N", help="patients at once (1; on a cluster all processors)"
    )
    parser.add_argument("--cluster", choices=("ray",), help="run on a Ray cluster")
    parser.add_argument(
        "--threads", type=_whole, default=1, metavar="N", help="processor threads of each (1)"
    )


def _add_network(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--weights", metavar="FOLDER|NAME",
        help="bulkrnabert: folder with model.safetensors, config.json; or InstaDeepAI/BulkRNABert",
    )  # fmt: skip
    parser.add_argument("--normalisation", type=float, metavar="X", help="instead of the weights' own")
    parser.add_argument(
        "--key-map", type=Path, metavar="FILE.json", help="names of tensors, where they differ"
    )
    parser.add_argument("--precision", choices=("float32", "bfloat16"), default="float32", help="(float32)")
    parser.add_argument(
        "--device", default="cpu", metavar="NAME", help="where the network runs: cpu, cuda (cpu)"
    )
    parser.add_argument("--licence", metavar="TEXT", help="of the weights, for the record (the publisher's)")
    parser.add_argument(
        "--trained-on", metavar="TEXT", help="what the weights were trained on, for the record"
    )


def _add_genes(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--genes", type=Path, metavar="FILE",
        help="genes, one id a line (bulkrnabert: beside the weights; log-tpm: all of the first file)",
    )  # fmt: skip
    modes = sorted({mode for modes in SLICES.values() for mode in modes})
    parser.add_argument(
        "--slice", choices=modes, help="which genes are kept (bulkrnabert: first; log-tpm: all)"
    )
    parser.add_argument("--tokens", type=_whole, default=2048, metavar="N", help="how many of them (2048)")
    parser.add_argument("--seed", type=int, default=0, metavar="S", help="draws them, for --slice random (0)")
    parser.add_argument(
        "--train",
        type=Path,
        metavar="FILE",
        help="training patients, for --slice variance_topk: one id a line",
    )
    parser.add_argument("--log", type=int, choices=(2, 10), default=10, help="log-tpm: base (10)")


def _add_input(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--mapping",
        type=Path,
        metavar="FILE.csv",
        help="patient_id,path (from the folder): which file is whose",
    )
    parser.add_argument("--patient-from", metavar="REGEX", help="the patient in a file's or sample's name")
    parser.add_argument("--unit", choices=UNITS, help="of the matrix (found out)")
    parser.add_argument(
        "--lengths", type=Path, metavar="FILE", help="gene_id,length in base pairs, for counts"
    )
    parser.add_argument(
        "--symbols", type=Path, metavar="FILE", help="gene_id,gene_name, for a matrix of symbols"
    )
    parser.add_argument("--id-column", metavar="NAME", help="of the matrix: column of the ids")
    parser.add_argument("--genes-in", choices=("columns", "rows"), help="of the matrix (found out)")


def run(arguments: argparse.Namespace) -> int:
    """Encode. Returns the exit status, 1 where a patient failed. Raises InputError for a user's mistake."""
    from rich.console import Console

    from prime.cohort.patient_names import PATIENT_FROM
    from prime.encode.rna.matrix import MatrixOptions
    from prime.encode.rna.pipeline import RnaOptions, encode_rna
    from prime.machines import Machines

    allowed = SLICES[arguments.encoder]
    mode = arguments.slice or allowed[0]
    if mode not in allowed:
        raise InputError(
            f"--slice {mode}: with --encoder {arguments.encoder} it is one of {', '.join(allowed)}"
        )
    matrix = MatrixOptions(
        arguments.unit, arguments.lengths, arguments.symbols, arguments.id_column, arguments.genes_in
    )
    options = RnaOptions(
        source=arguments.source,
        out=arguments.out,
        encoder=arguments.encoder,
        mode=mode,
        matrix=matrix,
        patient_from=arguments.patient_from or PATIENT_FROM,
        weights=arguments.weights,
        genes=arguments.genes,
        mapping=arguments.mapping,
        tokens=arguments.tokens,
        seed=arguments.seed,
        train=arguments.train,
        log_base=arguments.log,
        normalisation=arguments.normalisation,
        key_map=arguments.key_map,
        precision=arguments.precision,
        device=arguments.device,
        licence=arguments.licence,
        trained_on=arguments.trained_on,
    )
    return encode_rna(options, Machines(arguments.jobs, arguments.threads, arguments.cluster), Console())


def _whole(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number from 1")
    return number

"""The options of `prime encode rna`, each in one place: its name, kind, words of help and default."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from prime.arguments import Count, File, Folder, Licence, PatientFrom, TrainedOn, Whole, about
from prime.encode.tissue_options import TissueOptions
from prime.errors import InputError

SLICES = {
    "bulkrnabert": ("first", "random", "variance_topk", "all_mean"),
    "log-tpm": ("all", "variance_topk"),
}


@Parameter("*")
@dataclass(frozen=True)
class MatrixOptions:
    """The user's description of a matrix; None: it is found out."""

    unit: Annotated[
        Literal["tpm", "counts", "log2-tpm", "ln-tpm", "log10-tpm", "log2-tpm-0.001"] | None,
        about("Unit of the matrix (found out)."),
    ] = None
    lengths: Annotated[File | None, about("gene_id,length in base pairs, for counts.")] = None
    symbols: Annotated[File | None, about("gene_id,gene_name, for a matrix of symbols.")] = None
    id_column: Annotated[str | None, about("Column of ids in the matrix.", "NAME")] = None
    genes_in: Annotated[
        Literal["columns", "rows"] | None, about("Where the matrix has its genes (found out).")
    ] = None


@Parameter("*")
@dataclass(frozen=True)
class RnaOptions:
    """The options of `prime encode rna`; None stands for a default, or for what is found out."""

    out: Annotated[Folder, about("Folder of the features; finished patients are kept.")]
    encoder: Annotated[
        Literal["bulkrnabert", "log-tpm"], about("Tokens of a network, or a table of log TPM.")
    ] = "bulkrnabert"
    weights: Annotated[
        str | None,
        about("Folder with model.safetensors and config.json, or InstaDeepAI/BulkRNABert.", "FOLDER|NAME"),
    ] = None
    normalisation: Annotated[float | None, about("Replaces that of the weights.", "X")] = None
    key_map: Annotated[Path | None, about("Names of the file's tensors, where they differ.", "FILE.json")] = (
        None
    )
    precision: Annotated[Literal["float32", "bfloat16"], about("Arithmetic of the network.")] = "float32"
    device: Annotated[str, about("Where the network runs: cpu, cuda, auto.", "NAME")] = "cpu"
    licence: Licence = None
    trained_on: TrainedOn = None
    genes: Annotated[
        File | None, about("Genes, one id per line (beside the weights; log-tpm: all of a file).")
    ] = None
    slice: Annotated[
        Literal["all", "all_mean", "first", "random", "variance_topk"] | None,
        about("Which genes are kept (bulkrnabert: first; log-tpm: all)."),
    ] = None
    tokens: Annotated[Count, about("How many of them.")] = 2048
    seed: Annotated[Whole, about("Seed of --slice random.")] = 0
    train: Annotated[File | None, about("Training patients, for --slice variance_topk: one id per line.")] = (
        None
    )
    log: Annotated[Literal[2, 10], about("Base of the logarithm, for log-tpm.")] = 10
    mapping: Annotated[
        Path | None, about("Patient of each file: patient_id,path (from the folder).", "FILE.csv")
    ] = None
    patient_from: PatientFrom = None
    tissue: TissueOptions = TissueOptions()
    matrix: MatrixOptions = MatrixOptions()

    @property
    def mode(self) -> str:
        """How genes are chosen, see `gene_selection`. Raises InputError for one that the encoder has not."""
        allowed = SLICES[self.encoder]
        mode = self.slice or allowed[0]
        if mode not in allowed:
            raise InputError(
                f"--slice {mode}: with --encoder {self.encoder} it is one of {', '.join(allowed)}"
            )
        return mode

"""First step: every patient's file, or row of a matrix, becomes the TPM of the listed genes, kept on disk."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prime.cohort.tissue import TUMOUR, TissueRule
from prime.encode.rna.genes import GeneList, gene_list, read_gene_list
from prime.encode.rna.matrix import MatrixOptions, matrix_genes, read_matrix, tpm_of
from prime.encode.rna.samples import one_each, owners_of, star_files
from prime.encode.rna.star import is_star, line_count, read_star, star_profile
from prime.encode.work import Piece, run_pieces
from prime.errors import InputError
from prime.files import write_npy
from prime.job_pool import JobPool

FOLDER = "profiles"
VERSION = 2  # raise it when a file gives another profile, or is judged otherwise
LOOKED_AT = 50  # files whose lines are counted
STAR_UNIT = ("tpm", "column tpm_unstranded of STAR-Counts files")


@dataclass(frozen=True)
class Source:
    """Where expression comes from: STAR-Counts files by patient, or a matrix; `notes` count their samples."""

    files: dict[str, Path] | None
    matrix: Path | None
    options: MatrixOptions
    patient_from: str
    tissue: TissueRule = TUMOUR
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Profiles:
    """The result of the first step.

    Attributes:
        paths: .npy file of each patient, TPM (G,) float64, NaN where a gene is missing; patients sorted.
        broken: of each patient without a profile, the reason.
        unit: of the source's expression.
        reason: how the unit was found out.
        notes: counts of samples by type.
    """

    paths: dict[str, Path]
    broken: dict[str, str] = field(default_factory=dict[str, str])
    unit: str = ""
    reason: str = ""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class _ReadStar:
    genes: GeneList

    def __call__(self, piece: Piece) -> dict[str, Any]:
        write_npy(piece.outputs[0], star_profile(piece.inputs[0], self.genes))
        return {}


def open_source(
    path: Path,
    options: MatrixOptions,
    patient_from: str,
    mapping: Path | None,
    tissue: TissueRule = TUMOUR,
) -> Source:
    """Find out what `path` is: a folder of STAR-Counts files, one of them, or a matrix.

    Raises InputError where it is none of these, or no patient is found in a name.
    """
    if path.is_dir():
        files, notes = star_files(path, patient_from, mapping, tissue)
        return Source(files, None, options, patient_from, tissue, tuple(notes))
    if not path.is_file():
        raise InputError(f"{path}: no such folder of STAR-Counts files, nor a matrix")
    if mapping is not None:
        raise InputError(f"{path}: --mapping is for a folder of STAR-Counts files, this is one file")
    if is_star(path):
        owned = one_each([path.name], owners_of([path.name], patient_from, str(path)), tissue, str(path))
        files = dict.fromkeys(owned.places, path)
        return Source(files, None, options, patient_from, tissue, tuple(owned.notes))
    return Source(None, path, options, patient_from, tissue)


def choose_genes(source: Source, path: Path | None) -> GeneList:
    """The list at `path`; without one the genes of the matrix, or those that most files have."""
    if path is not None:
        return read_gene_list(path)
    if source.matrix is not None:
        return gene_list(matrix_genes(source.matrix, source.options), source.matrix.name)
    last: InputError | None = None
    for file in _most_usual_first(list((source.files or {}).values())):
        try:
            return gene_list(read_star(file).ids, file.name)
        except (InputError, OSError) as error:
            last = InputError(str(error))
    raise InputError(f"no file can be read; the last one: {last}")


def _most_usual_first(files: Sequence[Path]) -> list[Path]:
    """The files, first those with as many lines as most of LOOKED_AT of them; of equally many the longest.

    So one incomplete file does not decide on the genes of all.
    """
    step = max(1, len(files) // LOOKED_AT)
    lines = {path: line_count(path) for path in files[::step]}
    usual = Counter(lines.values())
    return sorted(files, key=lambda path: (-usual[lines.get(path, 0)], -lines.get(path, 0)))


def make_profiles(source: Source, genes: GeneList, out: Path, pool: JobPool) -> Profiles:
    """Write every patient's profile to `out`/profiles, except those that an earlier run wrote.

    A broken STAR-Counts file is noted in `broken`. Raises InputError where a matrix is broken.
    """
    folder = out / FOLDER
    if source.matrix is not None:
        return _of_matrix(source, source.matrix, genes, folder)
    pieces = [Piece(name, (path,), (folder / f"{name}.npy",)) for name, path in (source.files or {}).items()]
    done, failures = run_pieces(
        pieces, _ReadStar(genes), folder, {"genes": genes.sha256, "version": VERSION}, pool, "read"
    )
    broken = {failure.name: failure.reason for failure in failures}
    return Profiles({piece.name: piece.outputs[0] for piece in done}, broken, *STAR_UNIT, source.notes)


def _of_matrix(source: Source, matrix: Path, genes: GeneList, folder: Path) -> Profiles:
    """Write the profile of each patient of a matrix; a patient without any expression is broken."""
    table = read_matrix(matrix, source.options, genes)
    owned = one_each(
        table.samples, owners_of(table.samples, source.patient_from, str(matrix)), source.tissue, str(matrix)
    )
    found = tpm_of(table.rows(list(owned.places.values())), source.options, genes, str(matrix))
    paths: dict[str, Path] = {}
    broken: dict[str, str] = {}
    for owner, sample, row in zip(owned.places, found.samples, found.tpm, strict=True):
        if sample in found.silent:
            broken[owner] = found.silent[sample]
            continue
        paths[owner] = folder / f"{owner}.npy"
        write_npy(paths[owner], row)
    return Profiles(paths, broken, found.unit, found.reason, tuple(owned.notes))


def encoding_pieces(profiles: Profiles, outputs: Callable[[str], Path]) -> list[Piece]:
    """The pieces of the second step, patients sorted. A broken patient's has no input and always fails."""
    whole = [Piece(name, (path,), (outputs(name),)) for name, path in profiles.paths.items()]
    broken = [Piece(name, (), (outputs(name),)) for name in profiles.broken]
    return sorted(whole + broken, key=lambda piece: piece.name)


def read_array(path: Path) -> NDArray[Any]:
    """Read an array. Raises InputError where the file is damaged."""
    try:
        return np.load(path, allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise InputError(f"{path}: damaged ({error}); delete it and run again") from None

"""From files of gene expression to a folder of features: read them, choose genes, encode, write tables."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from rich.console import Console

from prime.cohort.patient_list import read_patient_list
from prime.cohort.patient_names import PATIENT_FROM
from prime.encode.record import EncoderRecord
from prime.encode.rna import gene_selection
from prime.encode.rna.encoders import LogTpm, TokenEncoder, loaded_model
from prime.encode.rna.genes import PUBLISHED_SHA256, GeneList
from prime.encode.rna.options import RnaOptions
from prime.encode.rna.profiles import (
    Profiles,
    choose_genes,
    encoding_pieces,
    make_profiles,
    open_source,
    read_array,
)
from prime.encode.work import Piece, facts_of, report, run_pieces, say
from prime.errors import InputError
from prime.files import replacing, sha256_text, write_csv, write_json, write_text
from prime.job_pool import JobPool

BULKRNABERT, LOG_TPM = "bulkrnabert", "log-tpm"
TOKENS, VECTORS = "tokens", "vectors"
TABLE, GENES, PATIENTS, RECORD = "rna.parquet", "genes.txt", "patients.csv", "rna.json"


@dataclass(frozen=True)
class RnaRun:
    """One run after the first step: profiles, the list, and the genes kept (L,), None for the mean of all."""

    options: RnaOptions
    genes: GeneList
    profiles: Profiles
    rows: NDArray[np.int64] | None
    pool: JobPool
    console: Console

    @property
    def kept(self) -> list[str]:
        """Names of the genes that the output is about."""
        rows = range(len(self.genes.names)) if self.rows is None else self.rows.tolist()
        return [self.genes.names[row] for row in rows]

    def details(self) -> dict[str, str]:
        """What of the choices goes into every output, as text."""
        options = self.options
        return {
            "slice": options.mode,
            "seed": str(options.seed) if options.mode == gene_selection.RANDOM else "none",
            "genes": f"{len(self.kept)} of {len(self.genes.names)}",
            "genes_sha256": sha256_text("".join(f"{name}\n" for name in self.kept)),
            "expression_unit": self.profiles.unit,
            "expression_unit_reason": self.profiles.reason,
        }

    def say(self, text: str) -> None:
        """Print a line."""
        say(self.console, text)


def encode_rna(source: Path, options: RnaOptions, pool: JobPool, console: Console) -> int:
    """Encode a folder of STAR-Counts files, one of them, or a matrix; patients who are done are skipped.

    Returns the exit status, 1 where a patient failed. Raises InputError for what concerns all patients:
    weights, lists of genes, options, a matrix.
    """
    if options.mode == gene_selection.VARIANCE and options.train is None:
        raise InputError(
            "--slice variance_topk needs --train, the training patients: no others may choose genes"
        )
    if options.encoder == BULKRNABERT:
        return _bulkrnabert(source, options, pool, console)
    return _log_tpm(source, options, pool, console)


def _bulkrnabert(source: Path, options: RnaOptions, pool: JobPool, console: Console) -> int:
    from prime.encode.rna.weights import find_weights, gene_file, load_model, record

    if options.weights is None:
        raise InputError(
            "--encoder bulkrnabert needs --weights: a folder, or InstaDeepAI/BulkRNABert, on the hub"
        )
    weights = find_weights(options.weights, options.normalisation, options.key_map)
    if pool.cluster is None:  # report bad weights or a bad device now, not once per patient
        loaded_model(weights, options.precision, options.device)
    else:
        load_model(weights)
    path = options.genes or gene_file(weights.folder)
    if path is None:
        raise InputError(
            f"--weights {options.weights}: no list of genes there; give --genes common_gene_id.txt"
        )
    run = _first_step(source, options, path, weights.config.n_genes, pool, console)
    if not run.genes.is_published:
        run.say(f"warning: {path} is not BulkRNABert's published list (sha256 {PUBLISHED_SHA256[:12]}...)")
    attributes = {
        **record(weights, options.licence, options.trained_on).attributes(),
        **run.details(),
        "normalisation": repr(weights.config.normalisation),
        "precision": options.precision,
    }
    rows = None if run.rows is None else tuple(run.rows.tolist())
    encoder = TokenEncoder(
        weights, rows, options.precision, options.device, pool.threads, attributes, run.profiles.broken
    )
    settings = {
        "config": asdict(weights.config),
        "key_map": weights.key_map,
        "device": options.device.split(":")[0],
    }
    columns = [f"bulkrnabert_{i:03d}" for i in range(weights.config.dim)] if rows is None else None
    return _second_step(run, encoder, attributes, settings, columns)


def _log_tpm(source: Path, options: RnaOptions, pool: JobPool, console: Console) -> int:
    run = _first_step(source, options, options.genes, None, pool, console)
    assert run.rows is not None
    nothing = EncoderRecord(f"log{options.log}(1 + TPM)", "none", "none", "none", "none")
    encoder = LogTpm(tuple(run.rows.tolist()), options.log, run.profiles.broken)
    return _second_step(run, encoder, {**nothing.attributes(), **run.details()}, {}, run.kept)


def _first_step(
    source: Path,
    options: RnaOptions,
    path: Path | None,
    expected: int | None,
    pool: JobPool,
    console: Console,
) -> RnaRun:
    """Read all patients and choose genes. Raises InputError where the list has not the `expected` length."""
    pattern = options.patient_from or PATIENT_FROM
    opened = open_source(source, options.matrix, pattern, options.mapping, options.tissue.rule())
    genes = choose_genes(opened, path)
    if expected is not None and len(genes.names) != expected:
        raise InputError(
            f"{path}: {len(genes.names):,} genes, but the network has {expected:,}; give the list that it was"
            " trained with, in its order"
        )
    profiles = make_profiles(opened, genes, options.out, pool)
    return RnaRun(options, genes, profiles, _rows(options, genes, profiles, console), pool, console)


def _rows(
    options: RnaOptions, genes: GeneList, profiles: Profiles, console: Console
) -> NDArray[np.int64] | None:
    """Positions of the genes kept, None for all with mode "all_mean".

    Raises InputError where fewer than two training patients have a profile.
    """
    count = len(genes.names)
    if options.mode == gene_selection.MEAN:
        return None
    if options.mode == gene_selection.ALL:
        return gene_selection.first_genes(count, count)
    if options.mode == gene_selection.FIRST:
        return gene_selection.first_genes(count, options.tokens)
    if options.mode == gene_selection.RANDOM:
        return gene_selection.random_genes(count, options.tokens, options.seed)
    assert options.train is not None
    listed = read_patient_list(options.train, "--train")
    known = sorted(set(listed) & set(profiles.paths))
    if len(known) < 2:
        raise InputError(
            f"{options.train}: {len(known)} of its {len(listed)} patients can be read; 2 are needed"
        )
    say(console, f"variance over {len(known)} of the {len(listed)} patients of {options.train}")
    return gene_selection.most_variable_genes(
        (read_array(profiles.paths[name]) for name in known), options.tokens
    )


def _second_step(
    run: RnaRun,
    encoder: TokenEncoder | LogTpm,
    attributes: dict[str, str],
    settings: dict[str, Any],
    columns: list[str] | None,
) -> int:
    """Encode patients, write vectors as a table with these columns, and report. Returns the exit status."""
    out = run.options.out
    folder, suffix = (out / TOKENS, ".h5") if columns is None else (out / VECTORS, ".npy")
    pieces = encoding_pieces(run.profiles, lambda name: folder / f"{name}{suffix}")
    same = {name: text for name, text in attributes.items() if name != "expression_unit_reason"}
    settings = {"attributes": same, **settings}  # the reason states sums, which further patients change
    done, failures = run_pieces(pieces, encoder, out, settings, run.pool, "encode")
    write_text(out / GENES, "".join(f"{name}\n" for name in run.kept))
    write_json(out / RECORD, attributes)
    for line in (*run.profiles.notes, f"unit: {run.profiles.unit} ({run.profiles.reason})"):
        run.say(line)
    if done and columns is not None:
        _write_vectors(done, columns, out / TABLE)
    if done:
        _write_patients(run, done)
    others = {path.stem for path in folder.glob(f"*{suffix}")} - {piece.name for piece in done}
    if others and columns is None:
        run.say(f"warning: {folder} also holds {len(others)} patients of earlier runs, such as {min(others)}")
    return report(failures, len(pieces), out, run.console)


def _write_vectors(done: Sequence[Piece], columns: list[str], path: Path) -> None:
    """Write one parquet table with a row per patient, for the `vector` reader."""
    values = np.stack([read_array(piece.outputs[0]) for piece in done])
    patients = pa.array([piece.name for piece in done])
    table = pa.table([patients, *(pa.array(column) for column in values.T.copy())], ["patient_id", *columns])
    with replacing(path) as temporary:
        pq.write_table(table, temporary)


def _write_patients(run: RnaRun, done: Sequence[Piece]) -> None:
    """Write how many of the genes each patient has, and print the range."""
    out = run.options.out
    found: list[dict[str, Any]] = [{"patient_id": piece.name, **facts_of(piece, out)} for piece in done]
    write_csv(out / PATIENTS, pd.DataFrame(found))
    counts = [int(item["genes_found"]) for item in found]
    listed = f"{len(run.genes.names):,} (at least {run.genes.minimum:,})"
    run.say(f"gene overlap with {run.genes.source}: {min(counts):,} to {max(counts):,} of {listed}")
    clipped = sum(int(item.get("clipped", 0)) for item in found)
    if clipped:
        run.say(f"{clipped} values are beyond the normalisation and were put into the last bin")

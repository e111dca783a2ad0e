"""Packing a cohort into a store: every source is streamed to disk once, and kept when packing is resumed."""

import hashlib
import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from prime import __version__
from prime.cohort.config import CohortConfig
from prime.cohort.endpoints import ClinicalTable, read_clinical
from prime.cohort.patient_names import spellings, spelt_twice
from prime.cohort.patient_rows import RowBlock, RowsByPatient, blocks_of
from prime.cohort.readers import read_source, source_files
from prime.cohort.source import SourceConfig, SourceRows
from prime.errors import InputError, some
from prime.files import replacing, sha256_file, write_npy, writing_below
from prime.fingerprint import FileStamp, stamp
from prime.progress import tracked
from prime.sealed import read_sealed, require_files, write_sealed
from prime.store.array_writer import ArrayWriter, TooLargeForFloat16
from prime.store.manifest import (
    FORMAT,
    KIND,
    MANIFEST,
    PATIENTS,
    REMEDY,
    SourceManifest,
    source_config_hash,
)

WRITTEN_TOGETHER = 2**16  # numbers


def pack(config: CohortConfig, out: Path | str, progress: bool = True) -> Path:
    """Pack a cohort into the folder `out` and return it.

    A source whose files, options and stored array are unchanged is kept; where nothing changed, nothing is
    written. The manifest is written last, so that an interrupted packing cannot be opened as a store.

    Raises:
        InputError: anything the readers or the clinical table refuse.
    """
    out = Path(out)
    if out.exists() and not out.is_dir():
        raise InputError(f"{out}: is a file; name a folder for the store")
    out.mkdir(parents=True, exist_ok=True)
    clinical = read_clinical(config.clinical, config.root, config.name)
    parts: dict[str, SourceManifest] = {}
    sources = tracked(config.every_source(), lambda item: f"packing {item[1]}", progress)
    with writing_below(out):
        for modality, name, options in sources:
            parts[name] = _pack_source(name, modality, options, Path(config.root), out)
        _finish(config, clinical, parts, out)
    return out


def _pack_source(name: str, modality: str, options: SourceConfig, root: Path, out: Path) -> SourceManifest:
    before = _part(name, out)
    known = None if before is None else {item.path: item for item in before.files}
    stamps = [stamp(path, root, known) for path in source_files(name, options, root)]
    source_hash = combined_hash(stamps)
    wanted = (modality, source_hash, source_config_hash(options))
    if before is not None and before.identity() == wanted:
        return before
    (out / MANIFEST).unlink(missing_ok=True)
    (out / f"{name}.json").unlink(missing_ok=True)
    source, dtype, index = _write(name, options, root, out)
    if not len(index):
        for ending in ("npy", "rows.parquet"):
            (out / f"{name}.{ending}").unlink()
        raise InputError(
            f"source {name}: {options.path}: no patient has anything in it; a network would be built for"
            " nothing; fill it in, or take the source out of the cohort file"
        )
    part = SourceManifest(
        modality=modality,
        kind=source.kind,
        dim=source.dim,
        rows=int(index["length"].sum()),
        patients=len(index),
        max_rows=int(index["length"].max()) if len(index) else 0,
        dtype=dtype,
        feature_names=source.feature_names,
        groups=None if source.groups is None else [int(g) for g in source.groups],
        source_hash=source_hash,
        config_hash=source_config_hash(options),
        sha256=sha256_file(out / f"{name}.npy"),
        rows_sha256=sha256_file(out / f"{name}.rows.parquet"),
        detected=source.detected,
        notes=source.notes,
        attributes=source.attributes,
        empty=source.empty,
        files=stamps,
    )
    digests = {f"{name}.npy": part.sha256, f"{name}.rows.parquet": part.rows_sha256}
    write_sealed(out / f"{name}.json", {"source": part.to_json()}, digests)
    return part


def combined_hash(stamps: list[FileStamp]) -> str:
    """SHA-256 over the names and contents of several files."""
    lines = sorted(f"{Path(item.path).name} {item.sha256}" for item in stamps)
    return hashlib.sha256("\n".join(lines).encode("utf-8")).hexdigest()


def _part(name: str, out: Path) -> SourceManifest | None:
    """The description of this source by an earlier packing, None where there is none that is whole."""
    try:
        found = read_sealed(out / f"{name}.json", KIND, REMEDY)
        require_files(out, found, (f"{name}.npy", f"{name}.rows.parquet"), KIND, REMEDY)
        return SourceManifest.from_json(found["source"])
    except (InputError, KeyError, TypeError):
        return None


def _write(name: str, options: SourceConfig, root: Path, out: Path) -> tuple[SourceRows, str, pd.DataFrame]:
    """Stream a source to `{name}.npy`, and write the table of its rows.

    A sequence is stored as float16 if its numbers fit, everything else as float32.
    """
    source = read_source(name, options, root)
    dtype = "float16" if source.kind == "sequence" else "float32"
    try:
        index = _stream(source, out / f"{name}.npy", dtype)
    except TooLargeForFloat16:
        source, dtype = read_source(name, options, root), "float32"
        index = _stream(source, out / f"{name}.npy", dtype)
    with replacing(out / f"{name}.rows.parquet") as temporary:
        index.to_parquet(temporary, index=False)
    return source, dtype, index


def _stream(source: SourceRows, path: Path, dtype: str) -> pd.DataFrame:
    """Write the rows. Returns a table of patient_id, start and length."""
    patients: list[str] = []
    lengths = [np.zeros(0, dtype=np.int64)]
    found = source.patients
    several = found.blocks if isinstance(found, RowsByPatient) else partial(blocks_of, found)
    with replacing(path) as temporary, ArrayWriter(temporary, source.dim, dtype) as writer:
        for block in several(WRITTEN_TOGETHER):
            if _has_bad_numbers(block.rows, source):
                _refuse_bad_numbers(block, source)
            writer.append(block.rows)
            patients += block.patients
            lengths.append(block.lengths)
    length = np.concatenate(lengths)
    start = np.cumsum(length) - length
    return pd.DataFrame({"patient_id": pd.Series(patients, dtype=object), "start": start, "length": length})


def _has_bad_numbers(rows: NDArray[np.float32], source: SourceRows) -> bool:
    """Whether there is an infinite number, or NaN where it does not mean a missing feature."""
    return bool((~np.isfinite(rows) if source.kind == "sequence" else np.isinf(rows)).any())


def _refuse_bad_numbers(block: RowBlock, source: SourceRows) -> None:
    """Raise InputError that names the first of these patients with such a number."""
    parts = np.split(block.rows, np.cumsum(block.lengths)[:-1])
    bad = (_has_bad_numbers(rows, source) for rows in parts)
    patient = next(name for name, found in zip(block.patients, bad, strict=True) if found)
    raise InputError(f"{source.detected}: patient {patient} has NaN or an infinite number; correct the file")


def _finish(
    config: CohortConfig, clinical: ClinicalTable, parts: dict[str, SourceManifest], out: Path
) -> None:
    """Join the patients of all sources, write indices and manifest, unless they exist and are up to date."""
    rows = {name: pd.read_parquet(out / f"{name}.rows.parquet") for name in parts}
    patients = join_patients(clinical, rows)
    contents = _contents(config, clinical, parts)
    if _up_to_date(out, contents, parts):
        return
    (out / MANIFEST).unlink(missing_ok=True)
    with replacing(out / PATIENTS) as temporary:
        patients.to_parquet(temporary, index=False)
    for name, table in rows.items():
        write_npy(out / f"{name}.index.npy", patient_index(patients, table))
    digests = {f"{name}.npy": part.sha256 for name, part in parts.items()}
    written = [PATIENTS, *(f"{name}.index.npy" for name in parts)]
    digests |= {name: sha256_file(out / name) for name in written}
    write_sealed(out / MANIFEST, contents, digests)


def _up_to_date(out: Path, contents: dict[str, Any], parts: dict[str, SourceManifest]) -> bool:
    """Whether the manifest says just this, and its small files are as it says; sources are known to be."""
    try:
        old = read_sealed(out / MANIFEST, KIND, REMEDY)
        require_files(out, old, [PATIENTS, *(f"{name}.index.npy" for name in parts)], KIND, REMEDY)
    except InputError:
        return False
    return all(old.get(key) == value for key, value in contents.items())


def _contents(
    config: CohortConfig, clinical: ClinicalTable, parts: dict[str, SourceManifest]
) -> dict[str, Any]:
    """The manifest as JSON values, without the digests of the files beside it."""
    contents = {
        "name": config.name,
        "version": __version__,
        "format": FORMAT,
        "config": config.model_dump(mode="json"),
        "modalities": {modality: list(sources) for modality, sources in config.modalities.items()},
        "clinical": {
            "config": config.clinical.model_dump(mode="json"),
            "file": vars(stamp(clinical.file, Path(config.root))),
            "notes": clinical.notes,
            "warnings": clinical.warnings,
            "typed": clinical.typed,
        },
        "endpoints": clinical.endpoints,
        "sources": {name: part.to_json() for name, part in parts.items()},
    }
    return json.loads(json.dumps(contents))


def join_patients(clinical: ClinicalTable, rows: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """The patients of the clinical table, and those with features only, without outcomes; sorted by id.

    Splits, batches and draws count by position, so that the order of a file's rows must not decide it.
    Raises InputError where ids in two spellings name one patient, who would lose the outcome.
    """
    known = set(clinical.frame["patient_id"])
    others = sorted(set(_all_ids(rows)) - known)
    twice = [spellings(group) for group in spelt_twice([*clinical.frame["patient_id"], *others])]
    if twice:
        raise InputError(
            f"{clinical.file}: {len(twice)} patients have ids in two spellings ({some(twice)}), here or in "
            f"the sources; use one spelling"
        )
    cohort = "" if clinical.typed else str(clinical.frame["cohort"].iloc[0])
    blank: dict[str, Any] = {"cohort": cohort, "site": "", "excluded": False, "exclude_reason": ""}
    more = {
        column: others if column == "patient_id" else blank.get(column, np.nan)
        for column in clinical.frame.columns
    }
    parts = [clinical.frame, pd.DataFrame(more)] if others else [clinical.frame]
    return pd.concat(parts, ignore_index=True).sort_values("patient_id", ignore_index=True)


def _all_ids(rows: dict[str, pd.DataFrame]) -> Iterator[str]:
    for table in rows.values():
        yield from table["patient_id"]


def patient_index(patients: pd.DataFrame, rows: pd.DataFrame) -> NDArray[np.int64]:
    """Start and length of each patient's rows, (P, 2) int64; 0, 0 where a patient has none."""
    ids, owners = (pa.array(table["patient_id"], type=pa.string()) for table in (patients, rows))
    found = pc.call_function("index_in", [ids], pc.SetLookupOptions(value_set=owners))
    place = found.fill_null(-1).to_numpy(zero_copy_only=False)
    # One column after the other, as in every store so far: networks know their data by this file's hash.
    index = np.zeros((len(patients), 2), dtype=np.int64, order="F")
    there = place >= 0
    index[there] = rows[["start", "length"]].to_numpy(dtype=np.int64)[place[there]]
    return index

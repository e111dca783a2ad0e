"""Uploaded files as a packed cohort: the files that a cohort has, a part of the form for each source."""

import os
import shutil
import tempfile
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Lock
from typing import Any, BinaryIO

import pandas as pd

from prime.cohort.config import CohortConfig
from prime.cohort.readers.report_texts import ReportTable
from prime.cohort.readers.tokens import TokenSource
from prime.cohort.source import SourceConfig
from prime.cohort.tables import read_table
from prime.errors import InputError, cut
from prime.file_names import is_file_name
from prime.files import cache_folder
from prime.predict.model_folder import FittedModel
from prime.progress import progress_display
from prime.store.inputs import InputSpec
from prime.store.packing import pack
from prime.store.store import Store

CLINICAL = "clinical"  # the part with the clinical table
_one_at_a_time = Lock()  # encoded reports are cached in one folder, which is emptied after each


@dataclass(frozen=True)
class Upload:
    """A file of a form: its part, its name, and an open file."""

    part: str
    name: str
    file: BinaryIO


@contextmanager
def uploaded_store(
    model: FittedModel, template: CohortConfig | None, files: Sequence[Upload]
) -> Generator[Store]:
    """The patients of uploaded files, packed as `prime predict` packs a cohort, until the block ends.

    Args:
        model: who reads them.
        template: a cohort file whose options say how each source is read; without one, vector sources are
            tables by `patient_id`, and sequences h5 files that are named by patient.
        files: a clinical table, and files of sources.

    Raises InputError for what readers refuse, without the folder's name, and for parts of no source.
    """
    with _one_at_a_time, tempfile.TemporaryDirectory(prefix="prime-serve-") as name, _no_trace():
        root, fault = Path(name), ""
        try:
            yield _packed(model, template, files, root)
        except InputError as error:
            fault = str(error).replace(f"{root}{os.sep}", "")
        if fault:  # a new error, so that what was being read is closed here, in the thread that opened it
            raise InputError(fault)


@contextmanager
def _no_trace() -> Generator[None]:
    """Without bars of progress, and without encoded reports in the cache afterwards."""
    try:
        with progress_display(shown=False):
            yield
    finally:
        shutil.rmtree(cache_folder() / "reports", ignore_errors=True)


def _packed(model: FittedModel, template: CohortConfig | None, files: Sequence[Upload], root: Path) -> Store:
    inputs = model.checkpoint.model.inputs
    home = {source: modality for modality, sources in inputs.modalities.items() for source in sources}
    parts: dict[str, list[Upload]] = {}
    for upload in files:
        if upload.part not in home and upload.part != CLINICAL:
            raise InputError(f"part {upload.part!r:.100}: no such source; give {CLINICAL}, {', '.join(home)}")
        parts.setdefault(upload.part, []).append(upload)
    if CLINICAL not in parts:
        raise InputError(
            f"no part {CLINICAL}: give a table with patient_id, and where known cancer_type and covariates"
        )
    modalities: dict[str, dict[str, Any]] = {}
    for source in home:
        if source in parts:
            options = _options(source, inputs, template)
            path = _place(options, parts[source], root)
            shown = options.model_dump(mode="json") | {"path": path}
            modalities.setdefault(home[source], {})[source] = shown
    if not modalities:
        raise InputError(f"no file of a source; give {', '.join(home)}")
    clinical = _clinical(model, template, parts[CLINICAL], root)
    name = "upload" if template is None else template.name
    value = {"name": name, "root": str(root), "clinical": clinical, "modalities": modalities}
    config = CohortConfig.model_validate(value).with_vocabularies(model.description.feature_names)
    store = Store.open(pack(config, root / "store", progress=False))
    return store if template is not None else _grouped(store, inputs)


def _grouped(store: Store, inputs: InputSpec) -> Store:
    """The store with the model's groups of features, where no cohort file says how they were made."""
    sources = dict(store.sources)
    for name, source in store.sources.items():
        groups = inputs.sources[name].groups
        if groups is not None and source.dim == inputs.sources[name].dim:
            sources[name] = replace(source, groups=list(groups))
    return replace(store, sources=sources)


def _options(source: str, inputs: InputSpec, template: CohortConfig | None) -> SourceConfig:
    """How a source is read."""
    from prime.cohort.readers import READERS

    if template is not None:
        for _, name, options in template.every_source():
            if name == source:
                return options
        raise InputError(f"part {source!r}: the service's cohort file has no such source")
    kind = "vector" if inputs.sources[source].kind == "vector" else "h5"
    return READERS[kind].settings.model_validate({"reader": kind, "path": source})


def _place(options: SourceConfig, uploads: Sequence[Upload], root: Path) -> str:
    """Write the files of a source where its reader finds them; returns the path below `root`."""
    part = uploads[0].part
    if isinstance(options, TokenSource):
        _refuse_same_names(uploads)
        (root / part).mkdir()
        for upload in uploads:
            if not is_file_name(upload.name):
                raise InputError(f"part {part!r}: {cut(upload.name)!r} is no plain name of a file")
            _write(upload, root / part / upload.name)
        return part
    if isinstance(options, ReportTable) and all(_is_text(upload) for upload in uploads):
        _refuse_same_names(uploads)
        table = pd.DataFrame(
            {
                options.patient_id: [Path(u.name).stem for u in uploads],
                options.text: list(map(_text, uploads)),
            }
        )
        table.to_csv(root / f"{part}.csv", index=False)
        return f"{part}.csv"
    return _table(uploads, root)


def _refuse_same_names(uploads: Sequence[Upload]) -> None:
    """Raise InputError where two files have one name, of which the later would replace the other."""
    names = [upload.name.casefold() for upload in uploads]
    twice = [upload.name for number, upload in enumerate(uploads) if names[number] in names[:number]]
    if twice:
        raise InputError(f"part {uploads[0].part!r}: two files are named {cut(twice[0])!r}; rename one")


def _table(uploads: Sequence[Upload], root: Path) -> str:
    """Write the one table of a part."""
    part = uploads[0].part
    if len(uploads) > 1:
        raise InputError(f"part {part!r}: {len(uploads)} files; give one table of all patients")
    suffix = Path(uploads[0].name).suffix.lower()
    if suffix not in (".csv", ".tsv", ".txt", ".parquet", ".xlsx"):
        raise InputError(f"part {part!r}: {cut(uploads[0].name)!r} is no .csv, .tsv, .parquet or .xlsx")
    _write(uploads[0], root / f"{part}{suffix}")
    return f"{part}{suffix}"


def _write(upload: Upload, path: Path) -> None:
    with path.open("wb") as out:
        shutil.copyfileobj(upload.file, out)


def _is_text(upload: Upload) -> bool:
    return Path(upload.name).suffix.lower() == ".txt"


def _text(upload: Upload) -> str:
    try:
        return upload.file.read().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(
            f"part {upload.part!r}: {cut(upload.name)!r}: not UTF-8 (byte {error.start})"
        ) from None


def _clinical(
    model: FittedModel, template: CohortConfig | None, uploads: Sequence[Upload], root: Path
) -> Mapping[str, object]:
    """How the clinical table is read: as the template says, without outcomes and sites, or by plain names."""
    path = _table(uploads, root)
    if template is not None and template.clinical.format == "table":
        kept = template.clinical.model_dump(mode="json", exclude={"endpoints", "exclude", "site"})
        return kept | {"path": path}
    columns = list(map(str, read_table(root / path, CLINICAL, ids=("patient_id",)).columns))
    read = model.prognosis.features.covariates
    return {
        "format": "table",
        "path": path,
        "patient_id": "patient_id",
        "cohort": "cancer_type" if "cancer_type" in columns else None,
        "covariates": [name for name in (() if read is None else read.names) if name in columns],
    }

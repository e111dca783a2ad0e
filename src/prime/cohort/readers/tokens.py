"""Token files: an HDF5 or `.pt` file per slide, as TRIDENT, CLAM, STAMP and marugoto write them."""

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from prime.cohort.origin import Makers
from prime.cohort.patient_names import PATIENT_FROM, patient_in
from prime.cohort.readers.h5_files import find_dataset, read_dataset, reading_h5
from prime.cohort.readers.pt_files import read_tensor
from prime.cohort.readers.registry import reader
from prime.cohort.readers.thinning import Thinning
from prime.cohort.source import SourceRows, kept_attributes
from prime.cohort.tables import patient_ids, read_table
from prime.cohort.tissue import SampledSource, of_tumour
from prime.errors import InputError, some

SUFFIXES = {"h5": (".h5", ".hdf5"), "pt": (".pt",)}
SLIDE_SUFFIXES = (".h5", ".hdf5", ".pt", ".svs", ".tif", ".tiff", ".ndpi", ".mrxs", ".scn", ".bif", ".czi")
OF_FEATURES = (".h5", ".hdf5", ".pt", ".pth", ".npy", ".npz", ".pkl", ".zarr")
DATASETS = ("features", "feats", "patch_embeddings")
SLIDE_TABLE_COLUMNS = (("PATIENT", "FILENAME"), ("case_id", "slide_id"))


class TokenSource(SampledSource):
    """A folder of HDF5 or `.pt` feature files (TRIDENT, CLAM, STAMP, marugoto), one or more per patient."""

    file_pattern: str = "*"
    patient_from: str = PATIENT_FROM
    slide_table: str | None = None
    dataset: str | None = None
    max_tokens: int = Field(default=128, ge=1)


@dataclass(frozen=True)
class TokenFile:
    """The tokens of a file, (n, d) float32 ((0, 0) for some empty slides), its format and its attributes."""

    tokens: NDArray[np.float32]
    detected: str
    attributes: dict[str, str]


def token_files(config: TokenSource, root: Path, where: str) -> list[Path]:
    """The feature files, sorted, and the slide table. Raises InputError where there are none."""
    table = [] if config.slide_table is None else [root / config.slide_table]
    return _feature_files(config, root, where) + table


@reader("h5", "pt", settings=TokenSource, files=token_files)
def read_tokens(config: TokenSource, root: Path, where: str) -> SourceRows:
    """Read a folder of token files; a patient's slides are joined.

    Which files of a patient are read `prime.cohort.tissue` says, by the barcodes in their names.
    Of more than max_tokens rows of a patient, evenly spaced ones are kept, the same on every run. An empty
    slide is noted and counts as missing; so is a file with the same tokens as another one of the patient.

    Raises:
        InputError: no such folder or files, or a file that is truncated, has no known dataset, is not of
            shape (n, d), has coordinates of another number of tiles, is not numeric, holds NaN or infinite
            numbers, is a pickle, differs in d from the others, or has no patient in its name or in the slide
            table.
    """
    files = _feature_files(config, root, where)
    of_patient, notes = patient_files(config, root, where, files)
    first_path, first = _first_with_tokens(of_patient, config, where)
    attributes = dict(first.attributes)
    return SourceRows(
        kind="sequence",
        dim=first.tokens.shape[1],
        feature_names=None,
        patients=_rows(of_patient, config, (first_path, first.tokens.shape[1]), where, notes, attributes),
        detected=f"{first.detected}; {len(files)} files, {len(of_patient)} patients",
        notes=notes,
        attributes=attributes,
    )


def patient_files(
    config: TokenSource, root: Path, where: str, files: list[Path] | None = None
) -> tuple[dict[str, list[Path]], list[str]]:
    """The files of each patient, in the order in which their rows are joined, and notes on what is left out.

    `files`: those of the source, where they are known already. Raises InputError as read_tokens does.
    """
    notes = _of_other_kinds(config, root / config.path)
    named = _by_patient(config, root, files or _feature_files(config, root, where), where, notes)
    kept, counts = of_tumour(named, attrgetter("name"), config.tissue, f"{where}: {config.path}")
    return kept, notes + counts


def _feature_files(config: TokenSource, root: Path, where: str) -> list[Path]:
    folder = root / config.path
    if not folder.is_dir():
        raise InputError(f"{where}: {folder}: no such folder of feature files")
    suffixes = SUFFIXES[config.reader]
    try:
        matching = list(folder.glob(config.file_pattern))
    except (ValueError, NotImplementedError, RecursionError) as error:
        raise InputError(f"{where}: file_pattern {config.file_pattern!r} is no pattern ({error})") from None
    # Hidden are `._` files of macOS, and half-written ones.
    found = sorted(p for p in matching if p.suffix.lower() in suffixes and not p.name.startswith("."))
    if not found:
        raise InputError(
            f"{where}: {folder}: no {' or '.join(suffixes)} file matches {config.file_pattern!r}"
        )
    return found


def _of_other_kinds(config: TokenSource, folder: Path) -> list[str]:
    """A note on files of features in the folder that this reader leaves to another one."""
    names = sorted(
        path.name
        for path in folder.glob(config.file_pattern)
        if path.suffix.lower() in OF_FEATURES and path.suffix.lower() not in SUFFIXES[config.reader]
        if not path.name.startswith(".")
    )
    return [f"{len(names):,} files of another kind are not read ({some(names)})"] if names else []


def _by_patient(
    config: TokenSource, root: Path, files: list[Path], where: str, notes: list[str]
) -> dict[str, list[Path]]:
    """Each patient's files, patients sorted, by the slide table where there is one, else by file name."""
    table = None if config.slide_table is None else slide_table(root / config.slide_table, where)
    found: dict[str, list[Path]] = {}
    unlisted = 0
    for path in files:
        if table is None:
            patient = patient_in(path.stem, f"{where}: {path}", config.patient_from)
            if patient is None:
                raise InputError(
                    f"{where}: {path}: patient_from {config.patient_from!r} finds no patient in its name"
                )
        else:
            patient = table.get(slide_stem(path.name))
            if patient is None:
                unlisted += 1
                continue
        found.setdefault(patient, []).append(path)
    if table is not None:
        present = {slide_stem(path.name) for path in files}
        absent = sum(slide not in present for slide in table)
        if absent:
            notes.append(f"{absent} slides of {config.slide_table} have no file")
        if unlisted:
            notes.append(f"{unlisted} files are not in {config.slide_table}: left out")
        if not found:
            raise InputError(f"{where}: no file in {config.path} is named in {config.slide_table}")
    return dict(sorted(found.items()))


def slide_stem(name: str) -> str:
    """A slide's name without folders, nor the suffixes of slide and feature files; other dots are kept."""
    name = re.split(r"[/\\]", name)[-1]
    while name.lower().endswith(SLIDE_SUFFIXES):
        name = name[: name.rindex(".")]
    return name


def slide_table(path: Path, where: str) -> dict[str, str]:
    """Patient of each slide (no suffix), from `PATIENT,FILENAME` (STAMP) or `case_id,slide_id` (CLAM)."""
    table = read_table(path, f"{where}: slide_table", text=True)
    for patient, slide in SLIDE_TABLE_COLUMNS:
        if patient in table.columns and slide in table.columns:
            ids = patient_ids(table[patient], path, where)
            slides = [slide_stem(str(name).strip()) for name in table[slide]]
            result: dict[str, str] = {}
            for name, owner in zip(slides, ids, strict=True):
                if result.setdefault(name, owner) != owner:
                    raise InputError(
                        f"{where}: {path}: slide {name!r} has two patients, {result[name]} and {owner}"
                    )
            return result
    raise InputError(
        f"{where}: {path}: expected columns PATIENT,FILENAME or case_id,slide_id; "
        f"found {', '.join(map(repr, table.columns))}"
    )


def _first_with_tokens(
    of_patient: dict[str, list[Path]], config: TokenSource, where: str
) -> tuple[Path, TokenFile]:
    """The first file with a token, which gives the dimension. Raises InputError where all are empty."""
    for paths in of_patient.values():
        for path in paths:
            file = read_token_file(path, config, where)
            if file.tokens.shape[1] > 0:
                return path, file
    raise InputError(f"{where}: {config.path}: no file has a single token; correct path or remove the source")


def _rows(
    of_patient: dict[str, list[Path]],
    config: TokenSource,
    first: tuple[Path, int],
    where: str,
    notes: list[str],
    attributes: dict[str, str],
) -> Iterator[tuple[str, NDArray[np.float32]]]:
    """Yield each patient who has a token, with the tokens (n, d), n at most max_tokens.

    `attributes` are completed by what later files state; what contradicts them is refused.
    """
    thinning, makers = Thinning(config.max_tokens), Makers(attributes, first[0])
    for patient, paths in of_patient.items():
        slides: list[NDArray[np.float32]] = []
        same: dict[bytes, Path] = {}
        for path in paths:
            file = read_token_file(path, config, where)
            tokens = file.tokens
            if len(tokens) == 0:
                notes.append(f"{path.name} is empty (no tokens): counted as missing")
                continue
            if tokens.shape[1] != first[1]:
                raise InputError(
                    f"{where}: {path} has {tokens.shape[1]} features a token but {first[0]} has {first[1]}; "
                    f"keep one encoder per source"
                )
            makers.add(path, file.attributes, where)
            if len(paths) > 1:
                other = same.setdefault(hashlib.blake2b(tokens.tobytes()).digest(), path)
                if other is not path:
                    notes.append(f"{path.name} holds the same tokens as {other.name}: left out")
                    continue
            slides.append(tokens)
        if not slides:
            continue
        rows = slides[0] if len(slides) == 1 else np.concatenate(slides)
        yield patient, thinning(rows)
    notes += [*thinning.notes(), *makers.notes()]


def read_token_file(path: Path, config: TokenSource, where: str) -> TokenFile:
    """Read one file. Raises InputError naming it, see read_tokens."""
    if config.reader == "h5":
        file = _read_h5(path, config.dataset, where)
    else:
        file = TokenFile(_matrix(read_tensor(path, where), path, where), "CLAM pt: tensor", {})
    if not np.isfinite(file.tokens).all():
        row = int(np.argwhere(~np.isfinite(file.tokens))[0][0])
        raise InputError(
            f"{where}: {path}: token {row} holds NaN or an infinite number; encode this slide again"
        )
    return file


def _read_h5(path: Path, dataset: str | None, where: str) -> TokenFile:
    with reading_h5(path, where) as file:
        name, data = _features(file, dataset)
        attributes = kept_attributes(file.attrs) | kept_attributes(data.attrs)
        coords = find_dataset(file, "coords")
        if coords is not None:
            attributes |= kept_attributes(coords.attrs)
        detected = f"{_layout(name, data, file)} h5: {name}{', coords' if 'coords' in file else ''}"
        tokens = _matrix(read_dataset(data), path, where)
        if coords is not None:
            _refuse_other_places(coords, tokens, name)
        flags, real = find_dataset(file, "augmented"), find_dataset(file, "mask")
        if flags is not None:
            tokens = tokens[~_row_flags(flags, tokens, name)]
        if real is not None:  # True = a real row, as `prime encode slides --pad` writes it
            tokens = tokens[_row_flags(real, tokens, name)]
        return TokenFile(tokens, detected, attributes)


def _refuse_other_places(coords: h5py.Dataset, tokens: NDArray[np.float32], name: str) -> None:
    """Raise InputError where there are tokens (n, d) of tiles and coordinates of another number of tiles.

    One token may be a whole slide's, beside the coordinates of its tiles.
    """
    shape = coords.shape[1:] if coords.ndim == 3 and coords.shape[0] == 1 else coords.shape
    if len(tokens) > 1 and len(shape) == 2 and shape[0] != len(tokens):
        raise InputError(f"coords has {shape[0]} rows, {name} has {len(tokens)}; encode this slide again")


def _features(file: h5py.File, wanted: str | None) -> tuple[str, h5py.Dataset]:
    names = [wanted] if wanted is not None else list(DATASETS)
    for name in names:
        if (found := find_dataset(file, name)) is not None:
            return name, found
    raise InputError(
        f"no dataset {' or '.join(map(repr, names))}; found {some(list(map(repr, file))) or 'none'};"
        " name the right one with dataset:"
    )


def _row_flags(flags: h5py.Dataset, tokens: NDArray[np.float32], name: str) -> NDArray[np.bool_]:
    """One flag (n,) a row of tokens (n, d). Raises InputError for another number of them."""
    values = read_dataset(flags).reshape(-1).astype(np.bool_)
    if len(values) != len(tokens):
        raise InputError(f"{str(flags.name).strip('/')} has {len(values)} rows, {name} has {len(tokens)}")
    return values


def _layout(name: str, data: h5py.Dataset, file: h5py.File) -> str:
    """Which program wrote the file, by its dataset names and attributes."""
    if "augmented" in file:
        return "marugoto"
    if "stamp_version" in file.attrs or name == "patch_embeddings":
        return "STAMP"
    if name == "feats":
        return "STAMP or marugoto"
    if name != "features":
        return "HDF5"
    return "TRIDENT" if "encoder" in data.attrs or data.ndim == 3 else "TRIDENT or CLAM"


def _matrix(raw: NDArray[Any], path: Path, where: str) -> NDArray[np.float32]:
    """Bring (n, d), (1, n, d), a slide's (d,) or an empty (0,) to (n, d) float32."""
    if not (np.issubdtype(raw.dtype, np.floating) or np.issubdtype(raw.dtype, np.integer)):
        raise InputError(f"{where}: {path}: expected numbers, found {raw.dtype}")
    if raw.ndim == 3 and raw.shape[0] == 1:
        raw = raw[0]
    if raw.ndim == 1:
        raw = raw[None, :] if raw.shape[0] else raw.reshape(0, 0)
    if raw.ndim != 2:
        raise InputError(f"{where}: {path}: expected tokens (n, d), found shape {raw.shape}")
    with np.errstate(over="ignore"):
        return raw.astype(np.float32)

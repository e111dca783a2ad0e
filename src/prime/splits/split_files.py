"""Splits files: JSON with the ids of the train, validation and test patients of every fold.

Unlike a folds file (csv, in which fold each patient is tested), it fixes all three sets, so that other
methods and other machines use exactly the same patients. docs/formats.md describes it.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from prime.arrays import Indices
from prime.cohort import barcode
from prime.errors import InputError
from prime.files import write_json
from prime.parsing import read_json
from prime.splits.folds import Fold

FORMAT = "prime-splits"
VERSION = 1
PARTS = ("train", "validation", "test")
_FOLD_KEYS = ("cohort", "fold", *PARTS)


def save_splits(path: Path, folds: Sequence[Fold], patient_ids: NDArray[np.object_]) -> None:
    """Write the folds to `path` as a splits file, atomically.

    Args:
        path: the JSON file.
        folds: their positions point into `patient_ids`.
        patient_ids: (P,) text, all different, as in the store's patient table.

    Raises:
        InputError: folds that `read_splits` would refuse; nothing is written then.
        ValueError: a patient twice in `patient_ids`, or a position outside it.
    """
    names = _names(patient_ids)
    document = {
        "format": FORMAT,
        "version": VERSION,
        "folds": [
            {
                "cohort": fold.cohort,
                "fold": int(fold.fold),
                **{part: _at(names, getattr(fold, part)) for part in PARTS},
            }
            for fold in folds
        ],
    }
    _folds_of(path, document, {name: i for i, name in enumerate(names)})
    write_json(path, document)


def read_splits(path: Path, patient_ids: NDArray[np.object_]) -> list[Fold]:
    """Read a splits file; positions point into `patient_ids` and are sorted.

    Args:
        path: a JSON file as `save_splits` writes it.
        patient_ids: (P,) text, all different.

    Raises:
        InputError: no such file, no JSON, another format or version, a missing or unknown key, a value of the
            wrong type, the same fold of a cohort twice, an empty part, a patient who is not in
            `patient_ids`, occurs twice in a part, or occurs in two parts of a fold.
        ValueError: a patient twice in `patient_ids`.
    """
    positions = {name: i for i, name in enumerate(_names(patient_ids))}
    return _folds_of(path, read_json(path), positions)


def _names(patient_ids: NDArray[np.object_]) -> list[str]:
    names = [str(name) for name in patient_ids]
    if len(set(names)) != len(names):
        raise ValueError("patient_ids holds a patient twice")
    return names


def _at(names: list[str], positions: Indices) -> list[str]:
    if len(positions) and not (positions.min() >= 0 and positions.max() < len(names)):
        raise ValueError(f"a fold's position lies outside the {len(names)} patients")
    return [names[i] for i in positions.tolist()]


def _folds_of(path: Path, document: object, positions: dict[str, int]) -> list[Fold]:
    root = _mapping(path, document, "the file", ("format", "version", "folds"))
    if root["format"] != FORMAT:
        raise InputError(f"{path}: format {root['format']!r}; a splits file has {FORMAT!r}")
    if type(root["version"]) is not int or root["version"] != VERSION:
        raise InputError(f"{path}: version {root['version']!r}; this release reads version {VERSION}")
    entries = _list(path, root["folds"], "folds")
    if not entries:
        raise InputError(f"{path}: folds is empty; list at least one fold")
    folds: list[Fold] = []
    seen: set[tuple[str, int]] = set()
    for number, entry in enumerate(entries):
        fold = _fold_of(path, number, entry, positions)
        if (fold.cohort, fold.fold) in seen:
            raise InputError(
                f"{path}: fold {fold.fold} of cohort {fold.cohort} occurs twice; remove or renumber one"
            )
        seen.add((fold.cohort, fold.fold))
        folds.append(fold)
    return folds


def _fold_of(path: Path, number: int, value: object, positions: dict[str, int]) -> Fold:
    where = f"folds[{number}]"
    entry = _mapping(path, value, where, _FOLD_KEYS)
    cohort, fold = entry["cohort"], entry["fold"]
    if not isinstance(cohort, str):
        raise InputError(f"{path}: {where}: cohort {cohort!r} is not a text")
    if type(fold) is not int or fold < 0:
        raise InputError(f"{path}: {where}: fold {fold!r} is not a whole number from 0 on")
    part_of: dict[str, str] = {}
    parts: dict[str, Indices] = {}
    for part in PARTS:
        members = _list(path, entry[part], f"{where}: {part}")
        if not members:
            raise InputError(f"{path}: {where}: {part} is empty; name at least one patient")
        members = [barcode.spelt(patient) if isinstance(patient, str) else patient for patient in members]
        for patient in members:
            _check_patient(path, where, part, patient, part_of, positions)
            part_of[patient] = part
        parts[part] = np.sort(np.array([positions[patient] for patient in members], dtype=np.int64))
    return Fold(cohort, fold, parts["train"], parts["validation"], parts["test"])


def _check_patient(
    path: Path, where: str, part: str, patient: object, part_of: dict[str, str], positions: dict[str, int]
) -> None:
    if not isinstance(patient, str):
        raise InputError(f"{path}: {where}: {part}: patient {patient!r} is not a text; write ids in quotes")
    if patient not in positions:
        raise InputError(
            f"{path}: {where}: {part}: patient {patient} is not in the cohort;"
            " remove or correct it, or use the cohort that the splits were made for"
        )
    if patient in part_of:
        other = part_of[patient]
        twice = f"occurs twice in {part}" if other == part else f"is in both {other} and {part}"
        raise InputError(f"{path}: {where}: patient {patient} {twice}; keep one")


def _mapping(path: Path, value: object, where: str, keys: tuple[str, ...]) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise InputError(f"{path}: {where} is no mapping with {', '.join(keys)}; found {_kind(value)}")
    entry = cast(dict[str, Any], value)
    for key in keys:
        if key not in entry:
            raise InputError(f"{path}: {where}: no key {key!r}; found {', '.join(entry) or 'none'}")
    unknown = [key for key in entry if key not in keys]
    if unknown:
        raise InputError(f"{path}: {where}: unknown key {unknown[0]!r}; known are {', '.join(keys)}")
    return entry


def _list(path: Path, value: object, where: str) -> list[Any]:
    if not isinstance(value, list):
        raise InputError(f"{path}: {where} is no list; found {_kind(value)}")
    return cast(list[Any], value)


def _kind(value: object) -> str:
    if value is None:
        return "null"
    kinds = ((dict, "a mapping"), (list, "a list"), (str, "a text"), (bool, "true or false"))
    return next((name for kind, name in kinds if isinstance(value, kind)), "a number")

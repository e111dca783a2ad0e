"""Patients who are where they must not be: in training and test, in two folds, under two names."""

import hashlib
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from prime.audit.findings import Finding
from prime.audit.predictions import Predictions, persons
from prime.errors import InputError, some
from prime.parsing import read_json
from prime.store.store import Store

MIN_NUMBERS = 16  # that differ from 0, of a patient's rows: fewer can be the same by chance
PARTS = ("train", "validation", "test")


def tested_twice(predictions: Predictions) -> Finding:
    """Patients tested more than once with one seed."""
    frame = predictions.tested.frame
    within = frame[frame.duplicated(["patient_id", "cohort", "fold", "seed"], keep=False)]
    folds = frame.drop_duplicates(["patient_id", "cohort", "fold", "seed"])
    across = folds[folds.duplicated(["patient_id", "seed"], keep=False)]
    numbers = {
        "in_one_fold": float(within["patient_id"].nunique()),
        "in_several_folds": float(across["patient_id"].nunique()),
    }
    name = "tested twice"
    if len(within):
        names = some(sorted(set(within["patient_id"])), 3)
        text = f"{numbers['in_one_fold']:.0f} patients stand twice in one test fold ({names})"
        return Finding(name, "wrong", text, numbers, predictions.setting)
    if len(across):
        names = some(sorted(set(across["patient_id"])), 3)
        text = f"{numbers['in_several_folds']:.0f} patients are tested in several folds ({names})"
        return Finding(name, "look", text, numbers, predictions.setting)
    return Finding(name, "fine", "everybody is tested once", numbers, predictions.setting)


def one_person_two_names(predictions: Predictions) -> Finding:
    """Ids that differ in case or sample only: in different folds, one trains while the other is tested."""
    frame = predictions.tested.frame.drop_duplicates("patient_id")
    frame = frame.assign(person=persons(frame["patient_id"].tolist()))
    several = frame[frame["person"].duplicated(keep=False)]
    folds = several.drop_duplicates(["person", "cohort", "fold"])
    apart = sorted(set(folds.loc[folds["person"].duplicated(), "person"]))
    numbers = {"persons": float(several["person"].nunique()), "in_different_folds": float(len(apart))}
    name = "one person under two ids"
    if apart:
        text = f"{len(apart)} persons have ids in different folds ({some(apart, 3)}): train meets test"
        return Finding(name, "wrong", text, numbers, predictions.setting)
    if len(several):
        text = f"{int(numbers['persons'])} persons have several ids, each within one fold: join their rows"
        return Finding(name, "look", text, numbers, predictions.setting)
    return Finding(name, "fine", "every person has one id", numbers, predictions.setting)


def train_meets_test(predictions: Predictions, splits: Iterable[Path]) -> Finding:
    """Persons who train or validate and are tested in one fold, by the column `part` and by splits files."""
    name, met, folds = "patients in train and test", set[str](), 0
    groups: list[dict[str, list[str]]] = []
    if "part" in predictions.given:
        for _, fold in predictions.frame.groupby(["cohort", "fold", "seed"], sort=False):
            groups.append({str(p): list(rows["patient_id"]) for p, rows in fold.groupby("part")})
    for path in splits:
        groups += _split_parts(path)
    for parts in groups:
        if len(parts) < 2 or "test" not in parts:
            continue
        folds += 1
        tested = set(persons(parts["test"]))
        for part, ids in parts.items():
            met |= tested & set(persons(ids)) if part != "test" else set()
    numbers = {"persons": float(len(met)), "folds": float(folds)}
    if not folds:
        text = "give a column part (train, validation, test) or --splits FILE.json"
        return Finding(name, "not checked", text, {}, predictions.setting)
    if met:
        text = f"{len(met)} persons train or validate and are tested in one fold ({some(sorted(met), 3)})"
        return Finding(name, "wrong", text, numbers, predictions.setting)
    text = f"nobody who is tested trains or validates in the same fold ({folds} folds)"
    return Finding(name, "fine", text, numbers, predictions.setting)


def _split_parts(path: Path) -> list[dict[str, list[str]]]:
    """The ids of each part of each fold of a splits file, whatever is wrong with them otherwise."""
    value: Any = read_json(path)
    folds = value.get("folds") if isinstance(value, dict) else None  # pyright: ignore
    if not isinstance(folds, list):
        raise InputError(f"{path}: not a splits file: no list `folds` in it; docs/formats.md describes it")
    return [
        {part: [str(p) for p in fold[part]] for part in PARTS if isinstance(fold.get(part), list)}
        for fold in folds  # pyright: ignore[reportUnknownVariableType]
        if isinstance(fold, dict)
    ]


def duplicated_rows(predictions: Predictions, store: Store | None) -> list[Finding]:
    """Patients whose rows of a source are the same numbers: a report, a slide or a sample filed twice."""
    if store is None:
        text = "give --cohort COHORT.yaml to compare reports, slides and samples"
        return [Finding("duplicated reports and samples", "not checked", text, {}, predictions.setting)]
    frame = predictions.tested.frame
    fold = dict(zip(frame["patient_id"], frame["cohort"] + " " + frame["fold"], strict=True))
    ids = [str(p) for p in store.patients["patient_id"]]
    return [_duplicates(source, ids, fold, store, predictions.setting) for source in store.sources]


def _duplicates(source: str, ids: list[str], fold: dict[str, str], store: Store, setting: str) -> Finding:
    values, same = store.values(source), defaultdict[str, list[str]](list)
    for patient, (start, count) in zip(ids, store.index(source).tolist(), strict=True):
        if count and patient in fold:
            rows = np.ascontiguousarray(values[start : start + count])
            if (np.nan_to_num(rows) != 0).sum() >= MIN_NUMBERS:
                same[hashlib.sha256(rows.tobytes()).hexdigest()].append(patient)
    groups = [group for group in same.values() if len(group) > 1]
    apart = [group for group in groups if len({fold[p] for p in group}) > 1]
    numbers = {"groups": float(len(groups)), "in_different_folds": float(len(apart))}
    name = f"duplicated: {source}"
    if apart:
        first = " = ".join(apart[0][:3])
        text = f"{len(apart)} groups of patients in different folds have the same rows of {source} ({first})"
        return Finding(name, "wrong", text, numbers, setting)
    if groups:
        text = (
            f"{len(groups)} groups of patients of one fold have the same rows ({' = '.join(groups[0][:3])})"
        )
        return Finding(name, "look", text, numbers, setting)
    return Finding(name, "fine", f"no two tested patients have the same rows of {source}", numbers, setting)

"""A model folder without its patients: no ids, no outcomes, no rows, no digests of tables that hold them.

What stays is listed here, key by key; whatever else a manifest holds does not travel. The weights and the
head are those of the original, so predictions are the same numbers.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from prime.cohort.origin import COMPARED
from prime.errors import InputError
from prime.files import read_text
from prime.parsing import read_json
from prime.predict.model_folder import HEAD, WITHOUT_PATIENTS, FittedModel

FACTS = (
    "version", "code", "seed", "cohorts", "task", "mode", "settings", "checkpoint", "patients_fitted",
    "events_fitted", "fitted_by_type", "left_out", "cross_validation",
)  # fmt: skip
PRETRAINING = ("version", "code", "torch", "seed", "precision", "parameters")
RECALIBRATION = ("method", "intercept", "slope", "map_days", "cohort", "patients", "events", "left_out")
STATED = (*COMPARED, "weights", "licence", "trained_on")  # of how features were made
PLACES = ("cohort", "root", "store")  # of an experiment: where it was on somebody's machine
LEAST_LETTERS = 6  # of an id that is looked for; a shorter one is part of much else
WORD = re.compile(r"[\w.-]+")


def without_patients(model: FittedModel) -> tuple[FittedModel, dict[str, Any]]:
    """The model as it travels, and its manifest; see the head of this file."""
    trained, held = model.checkpoint, model.checkpoint.manifest
    experiment = {key: value for key, value in trained.config.items() if key not in PLACES}
    if "evaluate" in experiment:
        experiment["evaluate"] = {k: v for k, v in experiment["evaluate"].items() if k != "folds"}
    stated = {name: _stated(found) for name, found in model.description.attributes.items()}
    manifest = _only(held, FACTS) | {WITHOUT_PATIENTS: True, "pretraining": _pretraining(held)}
    if "recalibration" in held:
        manifest["recalibration"] = _only(held["recalibration"], RECALIBRATION)
    bare = replace(
        model,
        checkpoint=replace(trained, config=experiment, manifest=manifest),
        description=model.description.model_copy(update={"attributes": stated}),
        patients=None,
    )
    return bare, manifest


def known_ids(model: FittedModel) -> frozenset[str]:
    """Every patient id that a model holds, whatever the patient served."""
    held = model.checkpoint.manifest
    before = held.get("pretraining", {})
    lists = [held.get("fitted_patients", ()), held.get("recalibration", {}).get("patient_ids", ())]
    lists += [before.get(name, ()) for name in ("train_patients", "validation_patients", "excluded")]
    kept = () if model.patients is None else model.patients.ids
    return frozenset(str(name) for names in (*lists, kept) for name in names)


def require_no_ids(folder: Path, ids: frozenset[str]) -> None:
    """Raise InputError where a text of a folder's JSON and Markdown files is one of these ids, or names one.

    Ids of fewer than six letters are found only where they are a whole text: they are part of much else.
    """
    for path in sorted([*folder.glob("*.json"), *folder.glob("*.md")]):
        texts = _texts(read_json(path)) if path.suffix == ".json" else iter([read_text(path)])
        for text in texts:
            words = [word for word in WORD.findall(text) if len(word) >= LEAST_LETTERS]
            found = next((word for word in (text, *words) if word in ids), None)
            if found is not None:
                raise InputError(
                    f"{path.name}: {found!r} is the id of a patient of this model, so it does not travel;"
                    f" {_remedy(path.name)}"
                )


def _remedy(name: str) -> str:
    if name == HEAD:
        return "a feature, an encoder or a cancer type has this name: rename it, and fit again"
    return "take it out"


def _texts(value: Any) -> Iterator[str]:
    """Every text in a JSON value, the keys included."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, inner in cast(dict[str, Any], value).items():
            yield key
            yield from _texts(inner)
    elif isinstance(value, list):
        for inner in cast(list[Any], value):
            yield from _texts(inner)


def _only(facts: Mapping[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    return {name: facts[name] for name in names if name in facts}


def _pretraining(held: Mapping[str, Any]) -> dict[str, Any]:
    """What travels of the network's own manifest, with numbers of patients for their ids."""
    before = cast(Mapping[str, Any], held.get("pretraining", {}))
    sources = {
        name: {**facts, "attributes": _stated(facts["attributes"])}
        for name, facts in json.loads(json.dumps(before.get("sources", {}))).items()
    }
    seen = [before[name] for name in ("train_patients", "validation_patients") if name in before]
    count = before.get("patients", sum(map(len, seen)))  # a model that has travelled holds the number alone
    return {**_only(before, PRETRAINING), "sources": sources, "patients": count}


def _stated(attributes: Mapping[str, str]) -> dict[str, str]:
    """How features were made, without folders of somebody's machine."""
    found = {name: attributes[name] for name in STATED if name in attributes}
    return {name: _last(text) if _is_place(text) else text for name, text in found.items()}


def _is_place(text: str) -> bool:
    return text.startswith(("/", "~", "./", "../", "file:")) or re.match(r"[A-Za-z]:[\\/]", text) is not None


def _last(text: str) -> str:
    return re.split(r"[\\/]", text.rstrip("\\/"))[-1]

"""Fitting a prognosis model for use: the shared head on a frozen checkpoint, from whole cohorts.

Every patient of the store takes part in what is fitted without outcomes. What scores mean, and the risks that
a new patient is ranked against, come from training patients, each scored by a head that was fitted without
their part, so neither is flattered.
"""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from prime import __version__
from prime.arrays import Indices
from prime.downstream.fit import SHARED_MODES
from prime.errors import InputError
from prime.evaluation.concordance_error import concordance_error, concordance_interval
from prime.evaluation.metrics import concordance_within
from prime.files import sha256_text
from prime.model.checkpoint import MANIFEST, WEIGHTS, Checkpoint, load_checkpoint
from prime.parsing import read_json
from prime.precision import resolved
from prime.predict.kept_patients import KeptPatients, keep_patients
from prime.predict.learn import Labelled, Scores, network_spread
from prime.predict.learner import FOLDS, Learner
from prime.predict.model_folder import HEAD, FittedModel, HeadDescription, load_model, save_model
from prime.provenance import source_digest
from prime.sealed import DIGESTS
from prime.settings.evaluation import ProbeConfig, TaskConfig
from prime.settings.experiment import ExperimentConfig
from prime.splits.outcomes import Outcome, read_outcome
from prime.store.inputs import input_spec, require_same_inputs
from prime.store.manifest import PATIENTS
from prime.store.origin import require_same_origin
from prime.store.ranges import training_range
from prime.store.store import Store
from prime.store.vectors import covariate_columns

CPU = torch.device("cpu")
WITH_PATIENTS, NETWORKS = "with_patients", "other_networks"  # in the manifest
SAME = ("model", "pretrain", "clip", "scaling")  # settings that networks of several seeds share


def choose_members(store: Store, outcome: Outcome, names: tuple[str, ...]) -> tuple[Indices, tuple[str, ...]]:
    """Patients of these cancer types (or `all`) who may serve, as positions, and the types in full.

    Raises InputError for an unknown type, and where nobody has the event.
    """
    cohorts = store.patients["cohort"].to_numpy(dtype=str)
    able = sorted(set(cohorts[outcome.usable]))
    wanted = tuple(able) if names == ("all",) else tuple(dict.fromkeys(names))
    unknown = [name for name in wanted if name not in able]
    if unknown or not wanted:
        raise InputError(
            f"--cohort-name: no patient of {', '.join(unknown) or 'any cohort'} has an outcome and a"
            f" modality; choose from {', '.join(able) or 'nothing'}, or all"
        )
    members = np.flatnonzero(outcome.usable & np.isin(cohorts, wanted))
    if not outcome.event[members].any():
        raise InputError(f"{', '.join(wanted)}: all {len(members)} patients are censored; nothing to fit")
    return members, wanted


def _fingerprint(
    store: Store, config: ExperimentConfig, task: TaskConfig, trained: Checkpoint, cohorts: tuple[str, ...],
    mode: str,
) -> dict[str, Any]:  # fmt: skip
    """What a fit depends on."""
    return {
        "code": source_digest("prime.predict.fit"),
        "seed": config.seed,
        "cohorts": list(cohorts),
        "task": task.model_dump(mode="json"),
        "mode": mode,
        "settings": config.evaluate.model_dump(mode="json", include={"probe"}),
        "checkpoint": trained.manifest[DIGESTS][WEIGHTS],
        "store": {name: s.sha256 for name, s in store.sources.items()},
        "patients": store.manifest["sha256"][PATIENTS],
    }


def _digest(fingerprint: dict[str, Any]) -> str:
    return sha256_text(json.dumps(fingerprint, sort_keys=True))


def _already_there(out: Path, fingerprint: dict[str, Any]) -> bool:
    """Whether `out` holds this very model, whole. Raises InputError where it holds another."""
    if not (out / MANIFEST).is_file():
        return False
    if not (out / HEAD).is_file():
        raise InputError(f"{out}: holds something else ({MANIFEST}, no {HEAD}); name another folder")
    held = read_json(out / MANIFEST)
    if held.get("fingerprint") != _digest(fingerprint):
        other = ", ".join(key for key, value in fingerprint.items() if held.get(key) != value)
        raise InputError(f"{out}: holds a model that differs in {other}; name another folder")
    try:
        load_model(out)
    except InputError:  # damaged: the same fit may replace it
        return False
    return True


def held_out_concordance(labelled: Labelled, risks: Scores) -> dict[str, Any]:
    """Of every pattern: the cross-validated C-index or AUROC, within cancer types and parts.

    `low` and `high` are the ends of its 95% interval over patients, for the heads as they were fitted.
    """
    _, codes = np.unique(labelled.types, return_inverse=True)
    outcome, part = labelled.outcome, np.zeros(len(codes), dtype=np.int64)
    part[labelled.members] = labelled.fold
    scores: dict[str, Any] = {}
    outcome_entry = outcome.entry_days
    for name, found in risks.items():
        who = labelled.having(name)
        event = outcome.event[who]
        # AUROC is the concordance of labels
        order = np.where(event, 0.0, 1.0) if labelled.binary else outcome.time_days[who]
        entry = None if outcome_entry is None else outcome_entry[who]
        strata = codes[who] * FOLDS + part[who]
        score = concordance_within(order, event, found[who], strata, entry=entry)
        error = concordance_error(order, event, found[who], strata, entry)
        low, high = concordance_interval(score.value, error)
        key = "auroc" if labelled.binary else "c_index"
        scores[name] = {
            key: score.value, "low": low, "high": high, "patients": score.n, "events": score.events
        }  # fmt: skip
    return scores


def _choose_task(config: ExperimentConfig, name: str | None) -> TaskConfig:
    tasks = {task.name: task for task in config.evaluate.tasks}
    if name is not None and name not in tasks:
        raise InputError(f"--task {name}: the experiment has {', '.join(tasks)}")
    return tasks[name] if name is not None else config.evaluate.tasks[0]


def _require_mode(store: Store, mode: str) -> None:
    if mode not in SHARED_MODES:
        raise InputError(f"--mode {mode}: choose from {', '.join(SHARED_MODES)}")
    if mode != "lp_shared" and not covariate_columns(store):
        raise InputError(f"--mode {mode}: the cohort file names no covariates; see clinical.covariates")


def fit(
    store: Store,
    config: ExperimentConfig,
    checkpoint: Path,
    cohort_names: tuple[str, ...],
    out: Path,
    task_name: str | None = None,
    device: torch.device = CPU,
    mode: str = "lp_shared",
    with_patients: bool = False,
    other_seeds: Sequence[Path] = (),
) -> FittedModel:
    """Fit a task's head on all usable patients of these cancer types, or `("all",)`; save it in `out`.

    `config.evaluate` gives the task (the first where none is named) and the settings of the head
    (`probe.shared`). A model that `out` already holds is returned as it is. `with_patients`: the folder also
    holds ids, outcomes and components of the labelled patients, so that similar ones can be named.
    `other_seeds`: pretraining runs that differ from `checkpoint` in their seed alone; how far the risks of
    held-out patients lie apart between them enters the intervals, the risks stay those of `checkpoint`.

    Raises InputError for an unknown cohort, task, mode or endpoint, too few patients or events, a checkpoint
    of other inputs, runs that differ in more than their seed, or a folder that holds another model.
    """
    trained = load_checkpoint(checkpoint)
    require_same_inputs(trained.model.inputs, input_spec(store), str(store.path))
    require_same_origin(trained.manifest, store, str(checkpoint))
    others = _other_networks(store, trained, other_seeds)
    task = _choose_task(config, task_name)
    _require_mode(store, mode)
    outcome = read_outcome(store, task)
    members, cohorts = choose_members(store, outcome, cohort_names)
    facts = _fingerprint(store, config, task, trained, cohorts, mode)
    if with_patients:
        facts[WITH_PATIENTS] = True
    if others:
        facts[NETWORKS] = [other.manifest[DIGESTS][WEIGHTS] for other in others]
    if _already_there(out, facts):
        return load_model(out)
    probe = config.evaluate.probe
    learner = Learner(store, trained, probe, mode, outcome, task, config.seed, device)
    training = np.flatnonzero(store.observed().any(axis=1))
    labelled = learner.labelled(members, training)
    _require_cross_validation(labelled)
    prognosis, risks = learner.learn(labelled)
    if others:
        spread = network_spread([risks, *(_held_out(learner, other, members, training) for other in others)])
        prognosis = replace(prognosis, network_spread=spread)
    description = _description(store, probe, task, cohorts, mode, device)
    ranges = {name: training_range(store, name, members) for name in store.sources}
    kept = _kept(learner, labelled, members, training) if with_patients else None
    model = FittedModel(trained, description, prognosis, ranges, kept)
    manifest = {
        "version": __version__,
        **facts,
        "fingerprint": _digest(facts),
        "fitted_patients": store.patients["patient_id"].iloc[members].astype(str).tolist(),
        "patients_fitted": len(members),
        "events_fitted": int(outcome.event[members].sum()),
        "fitted_by_type": _counts(store, outcome, members),
        "left_out": outcome.left_out,
        "cross_validation": held_out_concordance(labelled, risks),
        "pretraining": trained.manifest,
    }
    save_model(out, model, manifest)
    return model


def _other_networks(store: Store, trained: Checkpoint, runs: Sequence[Path]) -> list[Checkpoint]:
    """Networks of the same settings and other seeds. Raises InputError for one that is not."""
    found: list[Checkpoint] = []
    for folder in runs:
        other = load_checkpoint(folder)
        require_same_inputs(other.model.inputs, input_spec(store), str(folder))
        require_same_origin(other.manifest, store, str(folder))
        differing = [key for key in SAME if other.config.get(key) != trained.config.get(key)]
        if differing:
            raise InputError(
                f"--other-seeds {folder}: its settings of {', '.join(differing)} are not those of"
                " --checkpoint; give runs of prime pretrain that differ in their seed alone"
            )
        if any(
            other.manifest[DIGESTS][WEIGHTS] == each.manifest[DIGESTS][WEIGHTS] for each in (trained, *found)
        ):
            raise InputError(f"--other-seeds {folder}: the same network as one before; give each run once")
        found.append(other)
    return found


def _held_out(learner: Learner, network: Checkpoint, members: Indices, training: Indices) -> Scores:
    """Held-out risks with another network."""
    other = replace(learner, checkpoint=network)
    return other.learn(other.labelled(members, training), draws=0)[1]


def _description(
    store: Store,
    probe: ProbeConfig,
    task: TaskConfig,
    cohorts: tuple[str, ...],
    mode: str,
    device: torch.device,
) -> HeadDescription:
    """What the head predicts, for whom, and what it reads; the precision is that of the device."""
    precision = resolved(probe.readout.precision, device.type)
    return HeadDescription(
        task=task,
        cohorts=cohorts,
        mode=mode,
        readout=probe.readout.model_copy(update={"precision": precision}),
        distributions=probe.shared.distributions,
        feature_names={n: tuple(s.feature_names) for n, s in store.sources.items() if s.feature_names},
        attributes={n: s.attributes for n, s in store.sources.items()},
        empty={n: tuple(s.empty) for n, s in store.sources.items() if s.empty},
    )


def _counts(store: Store, outcome: Outcome, members: Indices) -> dict[str, dict[str, Any]]:
    """By cancer type: fitted patients, events, and who has each modality."""
    types = store.patients["cohort"].to_numpy(dtype=str)[members]
    observed = store.observed()[members]
    found: dict[str, dict[str, Any]] = {}
    for name in np.unique(types):
        mine = types == name
        having = dict(zip(store.modalities, observed[mine].sum(axis=0).tolist(), strict=True))
        events = int(outcome.event[members][mine].sum())
        found[str(name)] = {"patients": int(mine.sum()), "events": events, "modalities": having}
    return found


def _kept(learner: Learner, labelled: Labelled, members: Indices, training: Indices) -> KeptPatients:
    """The labelled patients as neighbours of new ones."""
    people = learner.people(members, training)
    ids = learner.store.patients["patient_id"].iloc[people].astype(str).tolist()
    patterns = {name: (labelled.whole(name), labelled.sources[name]) for name in labelled.patterns}
    outcome = labelled.outcome
    return keep_patients(
        ids, labelled.types, (outcome.time_days, outcome.event), labelled.features, labelled.members, patterns
    )


def _require_cross_validation(labelled: Labelled) -> None:
    """Every part must leave the others an event and, for a binary task, someone without."""
    event = labelled.outcome.event[labelled.members]
    for part in range(FOLDS):
        rest = event[labelled.fold != part]
        if not rest.any() or (labelled.binary and rest.all()):
            raise InputError("too few events to cross-validate: a fold's training patients have none")

"""Fitting a prognosis model for use: survival heads on a frozen checkpoint, from one whole cohort.

The ridge is chosen by cross-validation within the cohort. The risks that a new patient is ranked against are
the training patients' own, each from the fold that held that patient out, so percentiles are not flattered.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from prime import __version__
from prime.arrays import Indices
from prime.downstream.embeddings import EmbeddingCache, embed
from prime.downstream.probe import FittedHead, fit_heads, head_nll, take_examples, training_patterns
from prime.errors import InputError
from prime.evaluation.metrics import concordance_within
from prime.evaluation.missingness import patterns
from prime.files import read_json, sha256_file, sha256_text
from prime.model.checkpoint import MANIFEST, WEIGHTS, Checkpoint, load_checkpoint
from prime.predict.model_folder import HEAD, FittedModel, HeadDescription, load_model, save_model
from prime.progress import tracked
from prime.provenance import source_digest
from prime.settings.evaluation import ProbeConfig, TaskConfig
from prime.settings.experiment import ExperimentConfig
from prime.splits.evaluation_folds import enough
from prime.splits.folds import stratified_folds
from prime.splits.outcomes import Outcome, read_outcome
from prime.store.inputs import input_spec, require_same_inputs
from prime.store.loading import PatientLoader
from prime.store.origin import require_same_origin
from prime.store.ranges import Range, training_range
from prime.store.store import Store

CPU = torch.device("cpu")
FOLDS = 5
MIN_REFERENCE = 10
PERCENTILES = np.arange(101)


@dataclass(frozen=True, eq=False)
class Chosen:
    """A group of patterns with one head: the head, and the heads of each fold with the same ridge."""

    head: FittedHead
    fold_heads: list[FittedHead]


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


def cross_validation(store: Store, outcome: Outcome, members: Indices, seed: int) -> NDArray[np.int64]:
    """The fold 0..4 of each member, stratified within its cancer type by event and time."""
    cohorts = store.patients["cohort"].to_numpy(dtype=str)
    fold = np.zeros(len(store.patients), dtype=np.int64)
    for name in np.unique(cohorts[members]):
        mine = members[cohorts[members] == name]
        for part in stratified_folds(str(name), mine, outcome.time_days, outcome.event, FOLDS, seed):
            fold[part.test] = part.fold
    return fold[members]


class Fitting:
    """One fit: embeddings, outcomes, folds and settings in one place."""

    def __init__(
        self, cache: EmbeddingCache, outcome: Outcome, members: Indices, fold: Indices, config: ProbeConfig,
        bins: int,
    ) -> None:  # fmt: skip
        self.cache, self.outcome, self.config, self.bins = cache, outcome, config, bins
        self.members, self.fold = members, fold
        self.parts = [(members[fold != k], members[fold == k]) for k in range(FOLDS)]

    def _serves(self, names: tuple[str, ...]) -> bool:
        """Whether every fold leaves enough to fit a head on these patterns."""
        for rest, _ in self.parts:
            examples = take_examples(self.cache, self.outcome, rest, list(names), self.bins)
            if not enough(len(examples.event), int(examples.event.sum())):
                return False
        return True

    def training_patterns(self, pattern: str) -> tuple[str, ...]:
        """The patterns that the head for `pattern` is trained on; "all" where they hold too few patients."""
        names = tuple(training_patterns(self.config, True, pattern, list(self.cache.row)))
        return names if self._serves(names) else ("all",)

    def choose(self, names: tuple[str, ...]) -> Chosen:
        """Choose the ridge by the mean held-out likelihood over the folds; fit the head on everyone."""
        ridges, patterns_ = list(self.config.ridge), list(names)
        trained = [
            take_examples(self.cache, self.outcome, rest, patterns_, self.bins) for rest, _ in self.parts
        ]
        held = [take_examples(self.cache, self.outcome, test, patterns_, self.bins) for _, test in self.parts]
        if not all(examples.event.any() for examples in trained):
            raise InputError("too few events to cross-validate: a fold's training patients have none")
        heads = fit_heads(trained, ridges, self.config)
        losses = [[head_nll(head, e) for head in row] for row, e in zip(heads, held, strict=True)]
        best = int(np.argmin(np.nanmean(np.array(losses), axis=0)))
        everyone = take_examples(self.cache, self.outcome, self.members, patterns_, self.bins)
        ((head,),) = fit_heads([everyone], [ridges[best]], self.config)
        return Chosen(head, [row[best] for row in heads])

    def held_out_risks(self, pattern: str, chosen: Chosen) -> tuple[Indices, NDArray[np.float64]]:
        """Members who have something left in the pattern, and their risks by heads that never saw them."""
        row = self.cache.row[pattern][self.members]
        risks = np.full(len(self.members), np.nan)
        for k, head in enumerate(chosen.fold_heads):
            mine = (self.fold == k) & (row >= 0)
            risks[mine] = -head.survival(self.cache.values[row[mine]]).sum(axis=1)
        return np.flatnonzero(row >= 0), risks[row >= 0]


def _reference(risks: NDArray[np.float64], exact: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Percentiles 0 to 100 of the risks of those who have the whole pattern, or of all where they are few."""
    rows = risks[exact] if exact.sum() >= MIN_REFERENCE else risks
    return np.percentile(rows, PERCENTILES) if len(rows) else np.full(len(PERCENTILES), np.nan)


def _fingerprint(
    store: Store, config: ExperimentConfig, task: TaskConfig, checkpoint: Path, cohorts: tuple[str, ...]
) -> dict[str, Any]:
    """What a fit depends on."""
    return {
        "code": source_digest("prime.predict.fit"),
        "seed": config.seed,
        "cohorts": list(cohorts),
        "task": task.model_dump(mode="json"),
        "settings": config.evaluate.model_dump(mode="json", include={"bins", "probe"}),
        "checkpoint": sha256_file(checkpoint / WEIGHTS),
        "store": {name: s.sha256 for name, s in store.sources.items()},
        "patients": store.manifest["patients_sha256"],
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


def _validate(
    fitting: Fitting, store: Store, subsets: dict[str, tuple[bool, ...]], chosen: dict[str, Chosen]
) -> tuple[dict[str, NDArray[np.float64]], dict[str, Any]]:
    """Of every pattern: the percentiles of the held-out risks, and the cross-validated C-index or AUROC."""
    observed, outcome = store.observed(), fitting.outcome
    _, codes = np.unique(store.patients["cohort"].to_numpy(dtype=str), return_inverse=True)
    reference: dict[str, NDArray[np.float64]] = {}
    scores: dict[str, Any] = {}
    for name, keep in subsets.items():
        rows, risks = fitting.held_out_risks(name, chosen[name])
        who = fitting.members[rows]
        exact: NDArray[np.bool_] = np.logical_and.reduce(observed[who] | ~np.array(keep), axis=1)
        reference[name] = _reference(risks, exact)
        strata = codes[who] * FOLDS + fitting.fold[rows]
        event = outcome.event[who]
        binary = outcome.horizon_days is not None  # AUROC is the concordance of labels
        order = np.where(event, 0.0, 1.0) if binary else outcome.time_days[who]
        score = concordance_within(order, event, risks, strata)
        scores[name] = {"auroc" if binary else "c_index": score.value, "patients": score.n}
        scores[name]["events"] = score.events
    return reference, scores


def _model(
    store: Store,
    checkpoint: Checkpoint,
    config: ExperimentConfig,
    task: TaskConfig,
    cohorts: tuple[str, ...],
    chosen: dict[str, Chosen],
    reference: dict[str, NDArray[np.float64]],
    ranges: dict[str, Range],
) -> FittedModel:
    """The fitted parts as a model."""
    distinct = list({id(one): one for one in chosen.values()}.values())
    description = HeadDescription(
        task=task,
        cohorts=cohorts,
        readout=config.evaluate.probe.readout,
        heads={name: distinct.index(one) for name, one in chosen.items()},
        ridge=tuple(one.head.ridge for one in distinct),
        feature_names={n: tuple(s.feature_names) for n, s in store.sources.items() if s.feature_names},
        attributes={n: s.attributes for n, s in store.sources.items()},
        empty={n: tuple(s.empty) for n, s in store.sources.items() if s.empty},
    )
    heads = {name: one.head for name, one in chosen.items()}
    return FittedModel(checkpoint, description, heads, reference, ranges)


def _choose_task(config: ExperimentConfig, name: str | None) -> TaskConfig:
    tasks = {task.name: task for task in config.evaluate.tasks}
    if name is not None and name not in tasks:
        raise InputError(f"--task {name}: the experiment has {', '.join(tasks)}")
    return tasks[name] if name is not None else config.evaluate.tasks[0]


def fit(
    store: Store,
    config: ExperimentConfig,
    checkpoint: Path,
    cohort_names: tuple[str, ...],
    out: Path,
    task_name: str | None = None,
    device: torch.device = CPU,
) -> FittedModel:
    """Fit a task's heads on all usable patients of these cancer types, or `("all",)`; save them in `out`.

    `config.evaluate` gives the task (the first where none is named), the bins and the probe's settings: one
    head for all patterns, or one a pattern. A model that `out` already holds is returned as it is.

    Raises InputError for an unknown cohort, task or endpoint, too few patients or events, a checkpoint of
    other inputs, or a folder that holds another model.
    """
    trained = load_checkpoint(checkpoint)
    require_same_inputs(trained.model.inputs, input_spec(store), str(store.path))
    require_same_origin(trained.manifest, store, str(checkpoint))
    settings = config.evaluate
    task = _choose_task(config, task_name)
    outcome = read_outcome(store, task)
    members, cohorts = choose_members(store, outcome, cohort_names)
    facts = _fingerprint(store, config, task, checkpoint, cohorts)
    if _already_there(out, facts):
        return load_model(out)
    subsets = patterns(list(store.modalities))
    loader = PatientLoader(store, trained.scaling)
    cache = embed(
        trained.model.to(device), loader, store.observed(), members, subsets, settings.probe.readout
    )
    fold = cross_validation(store, outcome, members, config.seed)
    fitting = Fitting(cache, outcome, members, fold, settings.probe, settings.bins)
    groups = {name: fitting.training_patterns(name) for name in subsets}
    distinct = list(dict.fromkeys(groups.values()))
    by_group = {names: fitting.choose(names) for names in tracked(distinct, "fit")}
    chosen = {name: by_group[names] for name, names in groups.items()}
    reference, scores = _validate(fitting, store, subsets, chosen)
    ranges = {name: training_range(store, name, members) for name in store.sources}
    model = _model(store, trained, config, task, cohorts, chosen, reference, ranges)
    manifest = {
        "version": __version__,
        **facts,
        "fingerprint": _digest(facts),
        "patients_fitted": len(members),
        "events_fitted": int(outcome.event[members].sum()),
        "left_out": outcome.left_out,
        "cross_validation": scores,
        "pretraining": trained.manifest,
    }
    save_model(out, model, manifest)
    return model

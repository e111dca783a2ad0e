"""The folds of an evaluation: read from a file, drawn, by site, or external; and who trains in each."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from prime.arrays import Indices
from prime.errors import InputError
from prime.settings.evaluation import EvaluateConfig, ExternalConfig
from prime.splits.folds import Fold, given_folds, label_subset, read_folds, stratified_folds, with_validation
from prime.splits.outcomes import Outcome
from prime.splits.site_folds import external_fold, site_preserved_folds
from prime.splits.split_files import read_splits
from prime.store.store import Store

MIN_PATIENTS, MIN_EVENTS = 20, 4  # fewer training patients or events are not fitted


def evaluation_folds(
    store: Store, outcome: Outcome, config: EvaluateConfig, seed: int, tasks: Sequence[Outcome] = ()
) -> list[Fold]:
    """Every fold of every cohort to be evaluated, from a file or drawn with `seed`.

    Folds are drawn once for all `tasks`, the outcomes of an experiment (`outcome` alone, where there are
    none): who is tested in a fold of one task is tested in the fold of that number in each. Drawn task by
    task, a number would test, and so hide from pretraining, up to a fifth of the patients a task.

    Raises InputError for an unknown cohort, and for a cohort without an event.
    """
    if config.external:
        folds = [_external(store, outcome, external, seed) for external in config.external]
    elif config.folds and Path(config.folds).suffix == ".json":
        folds = _saved(store, outcome, config)
    else:
        folds = _by_cohort(store, outcome, config, seed, tasks or (outcome,))
    if config.only_folds is not None:
        folds = [fold for fold in folds if fold.fold in config.only_folds]
    return folds


def _members(store: Store, outcome: Outcome, name: str) -> Indices:
    """Usable patients of a cohort. Raises InputError where there are none, or none has the event."""
    cohorts = store.patients["cohort"].to_numpy(dtype=str)
    members = np.flatnonzero(outcome.usable & (cohorts == name))
    if not len(members):
        able = sorted({str(c) for c in cohorts[outcome.usable]} - {""})
        raise InputError(
            f"cohort {name!r}: no patient with outcome and modality;"
            f" cohorts that have them: {', '.join(able)}"
        )
    if not outcome.event[members].any():
        days = outcome.horizon_days
        found = "are censored" if days is None else f"have no event within {days:g} days"
        raise InputError(f"cohort {name!r}: all {len(members)} patients {found}; nothing to learn or test")
    return members


def _external(store: Store, outcome: Outcome, external: ExternalConfig, seed: int) -> Fold:
    train = np.concatenate([_members(store, outcome, name) for name in external.train])
    name = f"{'+'.join(external.train)}>{external.test}"
    return external_fold(name, np.sort(train), _members(store, outcome, external.test), outcome.event, seed)


def _saved(store: Store, outcome: Outcome, config: EvaluateConfig) -> list[Fold]:
    """The folds of a splits file, without patients whom the task cannot use."""
    ids = store.patients["patient_id"].to_numpy(dtype=object)
    folds = read_splits(Path(str(config.folds)), ids)
    if config.cohorts is not None:
        folds = [fold for fold in folds if fold.cohort in config.cohorts]
    return [only(fold, outcome.usable) for fold in folds]


def _by_cohort(
    store: Store, outcome: Outcome, config: EvaluateConfig, seed: int, tasks: Sequence[Outcome]
) -> list[Fold]:
    table = read_folds(Path(config.folds)) if config.folds else None
    cohorts = store.patients["cohort"].to_numpy(dtype=str)
    if table is not None:
        _refuse_unknown(table["patient_id"].tolist(), store, str(config.folds))
    able = sorted({str(name) for name in cohorts[outcome.usable]} - {""})
    names = config.cohorts or (able if table is None else sorted(set(table["cohort"])))
    whole = drawn_by(tasks)
    folds: list[Fold] = []
    for name in names:
        members = _members(store, outcome, name)
        if table is not None:
            ids = store.patients["patient_id"].to_numpy(dtype=object)
            folds += given_folds(table, str(config.folds), name, ids, members, outcome.event, seed)
        else:
            found = _drawn(store, whole, config, name, seed)
            folds += [of_task(fold, outcome, whole, config.splits == "sites", seed) for fold in found]
    return folds


def _drawn(store: Store, outcome: Outcome, config: EvaluateConfig, cohort: str, seed: int) -> list[Fold]:
    """The folds of a cohort, drawn by an outcome."""
    members = _members(store, outcome, cohort)
    times = outcome.time_days, outcome.event, config.fold_count, seed
    if config.splits == "sites":
        return site_preserved_folds(cohort, members, store.patients["site"].to_numpy(dtype=str), *times)
    return stratified_folds(cohort, members, *times)


def drawn_by(tasks: Sequence[Outcome]) -> Outcome:
    """The outcome that folds are drawn by: of each patient, that of the first task that can use them."""
    first, *others = tasks
    time, event, usable = first.time_days.copy(), first.event.copy(), first.usable.copy()
    for other in others:
        new = other.usable & ~usable
        time[new], event[new] = other.time_days[new], other.event[new]
        usable |= new
    return replace(first, time_days=time, event=event, usable=usable)


def of_task(fold: Fold, outcome: Outcome, drawn: Outcome, whole_sites: bool, seed: int) -> Fold:
    """A fold that was drawn by the outcome `drawn`, with the patients whom a task can use.

    Validation is drawn anew, stratified by the task's own events, where they differ; of whole sites it stays
    as it is as long as both parts have an event.
    """
    members = np.concatenate([fold.train, fold.validation, fold.test])
    if outcome.usable[members].all() and (outcome.event[members] == drawn.event[members]).all():
        return fold
    mine = only(fold, outcome.usable)
    if whole_sites and outcome.event[mine.train].any() and outcome.event[mine.validation].any():
        return mine
    rest = mine.labelled
    if len(rest) < 2:
        return replace(mine, train=rest, validation=rest[:0])
    return with_validation(fold.cohort, fold.fold, rest, mine.test, outcome.event, seed)


def _refuse_unknown(patients: list[str], store: Store, source: str) -> None:
    known = set(store.patients["patient_id"])
    unknown = [p for p in patients if p not in known]
    if unknown:
        raise InputError(
            f"{source}: patient {unknown[0]} is not in the cohort ({len(unknown)} such rows);"
            " remove or correct them"
        )


def only(fold: Fold, keep: NDArray[np.bool_], test: bool = True) -> Fold:
    """The fold with only the patients of `keep` (P,) bool; the test set unchanged where `test` is False."""
    return replace(
        fold,
        train=fold.train[keep[fold.train]],
        validation=fold.validation[keep[fold.validation]],
        test=fold.test[keep[fold.test]] if test else fold.test,
    )


def training_fold(
    fold: Fold, outcome: Outcome, complete: NDArray[np.bool_], train_on: str, share: float, seed: int
) -> Fold:
    """The fold with the training and validation patients that the settings allow; the test set is unchanged.

    Args:
        fold: before the settings.
        outcome: of the task.
        complete: (P,) bool, who has every modality.
        train_on: `complete` keeps only these.
        share: of the labels that is kept, see `label_subset`.
        seed: of the experiment.
    """
    if train_on == "complete":
        fold = only(fold, complete, test=False)
    return label_subset(fold, outcome.event, outcome.time_days, share, seed) if share < 1 else fold


def enough(patients: int, events: int) -> bool:
    """Whether a model can be fitted on this many patients with this many events."""
    return patients >= MIN_PATIENTS and events >= MIN_EVENTS


def too_few(fold: Fold, outcome: Outcome) -> str | None:
    """Why a fold cannot be fitted; None where it can."""
    patients, events = len(fold.train), int(outcome.event[fold.train].sum())
    both = outcome.horizon_days is None or patients - events >= MIN_EVENTS
    if enough(patients, events) and both and len(fold.validation) and len(fold.test):
        return None
    return f"{patients} training patients with {events} events, {len(fold.validation)} to validate"

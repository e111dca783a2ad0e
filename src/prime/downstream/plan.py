"""Which fits an evaluation consists of: every task, seed, cohort, share, way of training and method."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

from prime.arrays import Indices
from prime.catalogue.methods import METHODS
from prime.downstream.data import EvaluationData
from prime.downstream.fit import ACROSS_MODES, FITTED, SHARED_MODES, Fit
from prime.errors import InputError
from prime.settings.evaluation import EvaluateConfig, TaskConfig
from prime.splits.evaluation_folds import evaluation_folds, too_few, training_fold
from prime.splits.folds import Fold
from prime.splits.outcomes import Outcome


@dataclass(frozen=True)
class Plan:
    """The fits of an evaluation.

    Attributes:
        fits: in the order of the tables.
        folds: of each task and seed, before any training patient is left out.
        not_fitted: folds with too few patients to train on, and why.
        places: (P,) cohort and site of each patient, where folds keep whole sites together; else None.
    """

    fits: tuple[Fit, ...]
    folds: dict[tuple[str, int], list[Fold]]
    not_fitted: dict[str, str]
    places: NDArray[np.str_] | None = None

    def tested(self, seed: int, fold: Fold) -> Indices:
        """Whom any task tests in the fold of this seed, cohort and number, sorted."""
        same = [
            other.test
            for (_, drawn), folds in self.folds.items()
            for other in folds
            if (drawn, other.cohort, other.fold) == (seed, fold.cohort, fold.fold)
        ]
        return np.unique(np.concatenate(same))

    def set_aside(self, seed: int, fold: Fold) -> Indices:
        """Whom nothing may be fitted on in the fold of this seed and number, sorted.

        That is whom any task tests in a fold of the number, in every cohort; with folds of whole sites also
        everybody else from these sites, labelled or not. A fold for external validation stands alone.
        """
        if fold.external:
            return self.tested(seed, fold)
        same = [
            other.test
            for (_, drawn), folds in self.folds.items()
            for other in folds
            if (drawn, other.fold) == (seed, fold.fold)
        ]
        tested = np.unique(np.concatenate(same))
        return tested if self.places is None else np.flatnonzero(np.isin(self.places, self.places[tested]))


def plan_fits(data: EvaluationData, outcomes: dict[str, Outcome]) -> Plan:
    """Plan the fits; `outcomes` of each task by name. Raises InputError for folds that cannot be made."""
    settings = data.settings
    fits: list[Fit] = []
    drawn: dict[tuple[str, int], list[Fold]] = {}
    not_fitted: dict[str, str] = {}
    for seed, task in product(settings.seeds, settings.tasks):
        outcome, every = outcomes[task.name], [outcomes[other.name] for other in settings.tasks]
        folds = drawn[task.name, seed] = evaluation_folds(data.store, outcome, settings, seed, every)
        ways = list(product(settings.train_on, settings.shares))
        able: dict[tuple[str, float], list[Fold]] = {way: [] for way in ways}
        for (train_on, share), whole in product(ways, folds):
            fold = training_fold(whole, outcome, data.complete, train_on, share, seed)
            if train_on == "others" or (reason := too_few(fold, outcome)) is None:
                able[train_on, share].append(fold)
            else:
                name = f"{task.name} {fold.cohort} fold {fold.fold} {train_on} {share:g} seed {seed}"
                not_fitted[name] = reason
        for cohort, way in product(dict.fromkeys(fold.cohort for fold in folds), ways):
            fits += _ways(settings, task, seed, *way, cohort, able[way])
    return Plan(tuple(fits), drawn, not_fitted, _places(data))


def _places(data: EvaluationData) -> NDArray[np.str_] | None:
    """The cohort and site of each patient where folds keep whole sites; without a site each is alone."""
    if data.settings.splits != "sites" or data.settings.folds or data.settings.external:
        return None
    frame = data.store.patients
    site = frame["site"].fillna("").astype(str).str.strip()
    own = frame["patient_id"].astype(str).radd("of ")
    return (frame["cohort"].astype(str) + "/" + site.where(site != "", own)).to_numpy(dtype=str)


def require_able(settings: EvaluateConfig, task: TaskConfig, outcome: Outcome) -> None:
    """Raise InputError where a way of training can't use a task's delayed entry or competing events.

    Heads that cohorts share and statistical models over cohorts can: their risk sets hold who has entered.
    """
    what = "delayed entry" if outcome.entry_days is not None else ""
    what = what or ("competing events" if outcome.causes else "")
    if not what:
        return
    unable = [f"mode {mode}" for mode in settings.modes if settings.inits and mode not in SHARED_MODES]
    unable += [f"method {name}" for name in settings.methods if METHODS.find(name).kind != "joint"]
    if unable:
        able = ", ".join([*SHARED_MODES, *(m.name for m in METHODS.values() if m.kind == "joint")])
        raise InputError(
            f"task {task.name}: endpoint {task.endpoint} has {what}, which {', '.join(unable)} can't use:"
            f" they would count everybody as at risk from the beginning and for this event alone; these can:"
            f" {able}"
        )


def _ways(
    settings: EvaluateConfig,
    task: TaskConfig,
    seed: int,
    train_on: str,
    share: float,
    cohort: str,
    able: list[Fold],
) -> Iterator[Fit]:
    """PRIME in every way of training, and every other method, on the folds of a cohort among those `able`.

    What trains a network takes one fold at a time; a probe and a statistical model take them all.
    """
    folds = tuple(fold for fold in able if fold.cohort == cohort)
    if train_on == "others":
        yield from _without_own_labels(settings, task, seed, share, folds, able)
        return
    one_by_one = [(fold,) for fold in folds]
    together = [folds] if folds else []
    for init, mode in product(settings.inits, settings.modes):
        others = _others(folds, able) if mode in ACROSS_MODES else ()
        for group in together if mode.startswith("lp") else one_by_one:
            yield Fit(init, mode, task, seed, train_on, share, group, others=others)
    for name in settings.methods:
        method = METHODS.find(name)
        others = _others(folds, able) if method.across else ()
        for group in one_by_one if method.kind == "neural" else together:
            yield Fit("scratch", FITTED, task, seed, train_on, share, group, name, others)


def _without_own_labels(
    settings: EvaluateConfig,
    task: TaskConfig,
    seed: int,
    share: float,
    folds: tuple[Fold, ...],
    able: list[Fold],
) -> Iterator[Fit]:
    """What can be tested on a cohort whose labels it has not seen: heads that cohorts share."""
    others = _others(folds, able)
    if not others:
        return
    for init, mode in product(settings.inits, [m for m in settings.modes if m in SHARED_MODES]):
        yield Fit(init, mode, task, seed, "others", share, folds, others=others)
    for name in settings.methods:
        if METHODS.find(name).across:
            yield Fit("scratch", FITTED, task, seed, "others", share, folds, name, others)


def _others(folds: tuple[Fold, ...], able: list[Fold]) -> tuple[Fold, ...]:
    """The folds of other cohorts with the numbers of these, none of them for external validation."""
    if not folds or folds[0].external:
        return ()
    numbers, cohort = {fold.fold for fold in folds}, folds[0].cohort
    return tuple(
        fold for fold in able if fold.cohort != cohort and fold.fold in numbers and not fold.external
    )

"""Splits into training, validation and test patients: by patient, disjoint, drawn with a seed."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.model_selection import StratifiedKFold, train_test_split

from prime.arrays import Indices
from prime.cohort.tables import patient_ids, read_table, require_columns
from prime.errors import InputError
from prime.seeds import named_seed


@dataclass(frozen=True)
class Fold:
    """One split of one cohort; positions into the store's patient table, sorted and disjoint."""

    cohort: str
    fold: int
    train: Indices
    validation: Indices
    test: Indices

    @property
    def external(self) -> bool:
        """Whether it trains on some cohorts and tests another: `cohort` is then `LUAD>LUSC`."""
        return ">" in self.cohort

    @property
    def labelled(self) -> Indices:
        """Training and validation patients, sorted."""
        return np.sort(np.concatenate([self.train, self.validation]))


def pretraining_split(
    cohorts: NDArray[np.str_], patients: Indices, share: float, seed: int
) -> tuple[Indices, Indices]:
    """Split `patients` into train and validation within each cancer type (paper IV-C2: 80/20).

    `cohorts` (P,) are the types of all patients in the store. Of a type with n patients, round(share * n)
    validate.
    """
    train: list[Indices] = []
    validation: list[Indices] = []
    for cohort in np.unique(cohorts[patients]):
        members = patients[cohorts[patients] == cohort]
        order = np.random.default_rng(named_seed(seed, "pretrain", cohort)).permutation(members)
        held = round(share * len(order))
        validation.append(order[:held])
        train.append(order[held:])
    return np.sort(np.concatenate(train)), np.sort(np.concatenate(validation))


def with_validation(
    cohort: str, fold: int, rest: Indices, test: Indices, event: NDArray[np.bool_], seed: int
) -> Fold:
    """The fold whose validation is one eighth of `rest`, stratified by event (70/10/20 in five folds).

    `cohort` and `fold` name the fold and, with `seed`, decide who validates. `rest` and `test` are positions,
    `event` is (P,) bool over the whole store. `rest` needs two patients. Where a class has fewer than two
    patients in `rest`, or validation is one patient, the draw is not stratified.
    """
    labels = event[rest]
    held = max(1, round(len(rest) / 8))
    few = held < 2 or np.bincount(labels.astype(int), minlength=2).min() < 2
    train, validation = train_test_split(
        rest,
        test_size=held,
        stratify=None if few else labels,
        random_state=named_seed(seed, "validation", cohort, fold),
    )
    return Fold(cohort, fold, np.sort(train), np.sort(validation), np.sort(test))


def stratified_folds(
    cohort: str,
    patients: Indices,
    time_days: NDArray[np.float64],
    event: NDArray[np.bool_],
    count: int,
    seed: int,
) -> list[Fold]:
    """`count` folds stratified by event, and within each group by time, below and above its median.

    `time_days` and `event` are (P,) over the whole store. Raises InputError where a cohort has fewer than
    2 * count patients.
    """
    if len(patients) < 2 * count:
        raise InputError(
            f"cohort {cohort}: {len(patients)} patients with an outcome are too few for {count} folds"
        )
    strata = np.zeros(len(patients), dtype=int)
    for flag in (False, True):
        group = event[patients] == flag
        if group.sum() >= 4 * count:
            strata[group] = 2 * int(flag) + (
                time_days[patients][group] > np.median(time_days[patients][group])
            )
        else:
            strata[group] = 2 * int(flag)
    if np.bincount(strata)[np.unique(strata)].min() < count:
        strata = np.zeros_like(strata)
    splitter = StratifiedKFold(count, shuffle=True, random_state=named_seed(seed, "folds", cohort))
    return [
        with_validation(cohort, k, patients[rest], patients[test], event, seed)
        for k, (rest, test) in enumerate(splitter.split(patients, strata))
    ]


def read_folds(path: Path) -> pd.DataFrame:
    """Read a folds file: csv with patient_id, cohort, fold. Raises InputError where it is malformed."""
    table = read_table(path, "folds", text=True)
    require_columns(table, ["patient_id", "cohort", "fold"], path, "folds")
    table["patient_id"] = patient_ids(table["patient_id"], path, "folds")
    doubled = table["patient_id"][table["patient_id"].duplicated()]
    if len(doubled):
        raise InputError(
            f"folds: {path}: patient {doubled.iloc[0]} occurs in two rows; a patient is tested once"
        )
    folds = pd.to_numeric(table["fold"], errors="coerce")
    if folds.isna().any() or (folds % 1 != 0).any():
        row = int(np.flatnonzero(folds.isna() | (folds % 1 != 0))[0])
        raise InputError(
            f"folds: {path}: row {row + 1}: fold {table['fold'].iloc[row]!r} is not a whole number"
        )
    return table.assign(fold=folds.astype(int))


def given_folds(
    table: pd.DataFrame,
    source: str,
    cohort: str,
    patient_ids: NDArray[np.object_],
    patients: Indices,
    event: NDArray[np.bool_],
    seed: int,
) -> list[Fold]:
    """Folds of one cohort from a folds file; `patients` are those who may serve evaluation.

    Patients of the file who cannot serve (no outcome, no modality, redacted) are left out; the caller reports
    them. Raises InputError where the file has no patient of the cohort, or fewer than two folds.
    """
    mine = table[table["cohort"] == cohort]
    if mine.empty:
        raise InputError(
            f"{source}: no patient of cohort {cohort}; found {', '.join(sorted(set(table['cohort'])))}"
        )
    fold_of = dict(zip(mine["patient_id"], mine["fold"], strict=True))
    fold = np.array([fold_of.get(str(p), -1) for p in patient_ids[patients]])
    if len(numbers := np.unique(fold[fold >= 0])) < 2:
        raise InputError(
            f"{source}: cohort {cohort} needs at least two folds of patients who can be evaluated"
        )
    return [
        with_validation(cohort, int(k), patients[(fold >= 0) & (fold != k)], patients[fold == k], event, seed)
        for k in numbers
    ]


def label_subset(
    fold: Fold, event: NDArray[np.bool_], time_days: NDArray[np.float64], share: float, seed: int
) -> Fold:
    """The fold with `share` of its training and validation patients; the test set is unchanged.

    The same share of patients with and without an event is kept, of each evenly over early and late times
    (below and above the median), and at least two of each where there were two. For one seed, the patients of
    a smaller share are a subset of those of a larger one. They depend on fold and seed alone, so that every
    method gets the same patients. A share of 1 changes nothing.

    Args:
        fold: with all of its patients.
        event, time_days: (P,) over the whole store; bool, and float64 days.
        share: above 0, at most 1.
        seed: of the experiment.

    Raises:
        InputError: a share outside (0, 1].
    """
    if not 0 < share <= 1:
        raise InputError(f"share of labels {share}: must be above 0 and at most 1")
    train, validation = (
        _thinned(part, event, time_days, share, named_seed(seed, "labels", fold.cohort, fold.fold, name))
        for name, part in (("train", fold.train), ("validation", fold.validation))
    )
    return Fold(fold.cohort, fold.fold, train, validation, fold.test)


def _thinned(
    part: Indices, event: NDArray[np.bool_], time_days: NDArray[np.float64], share: float, seed: int
) -> Indices:
    """Of patients with an event, and of the others, the first round(share * n) in a random order; sorted."""
    kept: list[Indices] = []
    for flag in (False, True):
        members = np.sort(part[event[part] == flag])
        generator = np.random.default_rng(named_seed(seed, flag))
        count = max(round(share * len(members)), min(2, len(members)))
        kept.append(members[_spread_order(time_days[members], generator)[:count]])
    return np.sort(np.concatenate(kept))


def _spread_order(time_days: NDArray[np.float64], generator: np.random.Generator) -> Indices:
    """A random order (n,) in which early and late times alternate, so that any first part has both alike."""
    if not len(time_days):
        return np.zeros(0, dtype=np.int64)
    late = time_days > np.median(time_days)
    key = np.zeros(len(late))
    for flag in (False, True):
        half = np.flatnonzero(late == flag)
        key[half] = (generator.permutation(len(half)) + generator.random()) / max(1, len(half))
    return np.argsort(key, kind="stable")

"""Folds that keep a hospital's patients together, and a train/test split across cohorts.

Slides carry a signature of their hospital (scanner, staining, case mix) from which a model can recognise the
hospital, and with it the outcome. A test measures performance at new hospitals only if no patient of the
tested hospitals was in training.
Source: Howard et al., "The impact of site-specific digital histology signatures on deep learning model
accuracy and bias", Nature Communications 2021. They balance the folds by quadratic programming. Here sites
are assigned greedily by size, then moved and swapped until the squared imbalance no longer falls; greedy
starts in random orders are tried too, and the best is kept. On six TCGA cohorts size and events are balanced
at least as well as by scikit-learn's StratifiedGroupKFold, which never revises a choice, and better where a
site is large (LGG: folds of 91 to 123 patients against 75 to 158).
"""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from prime.arrays import Indices
from prime.errors import InputError
from prime.seeds import named_seed
from prime.splits.folds import Fold, with_validation

_WEIGHTS = np.array([1.0, 1.0, 0.25])  # of the imbalance in patients, in events, in late times
_VALIDATION_PARTS = 8  # validation is to be one eighth of the patients who are not tested
_LARGEST_VALIDATION = 0.25  # and at most this share of them
_ONE_SITE_COST = 0.5  # prefers several hospitals to one that is somewhat nearer to an eighth
_NO_GAIN = -1e-9
_ATTEMPTS = 10


def site_preserved_folds(
    cohort: str,
    patients: Indices,
    sites: NDArray[np.object_],
    time_days: NDArray[np.float64],
    event: NDArray[np.bool_],
    count: int,
    seed: int,
) -> list[Fold]:
    """`count` folds in which no site has patients both in test and in train or validation.

    Every patient is tested once. Folds are balanced in patients, in events and (less strictly) in late times
    (above the median of those with, or without, an event), as well as whole sites allow. Validation is about
    one eighth of the other patients. It consists of whole sites too, if some set of sites leaves an event in
    both train and validation and holds at most a quarter of these patients; otherwise it is drawn by
    patients, stratified by event, as in `stratified_folds`. `site_report` shows which of the two happened.

    Args:
        cohort: its name, kept in the folds; with `seed` it decides the order of sites of equal size.
        patients: (n,) int64 positions of those who may serve evaluation.
        sites: (P,) text over the whole store; a patient without one counts as a site of their own.
        time_days: (P,) float64 days over the whole store.
        event: (P,) bool over the whole store, True = observed.
        count: folds, at least 2.
        seed: of the experiment.

    Raises:
        InputError: fewer sites than folds, or fewer than 2 * count patients.
        ValueError: count below 2.
    """
    if count < 2:
        raise ValueError(f"count must be at least 2, got {count}")
    codes = _site_codes(sites[patients])
    number = int(codes.max()) + 1 if len(codes) else 0
    if number < count:
        raise InputError(
            f"cohort {cohort}: {number} sites are too few for {count} folds of whole sites;"
            " ask for fewer folds or split by patients"
        )
    if len(patients) < 2 * count:
        raise InputError(
            f"cohort {cohort}: {len(patients)} patients with an outcome are too few for {count} folds"
        )
    marks = _marks(time_days[patients], event[patients])
    fold_of_site = _balanced(_sums(marks, codes), count, named_seed(seed, "site folds", cohort))
    fold_of = fold_of_site[codes]
    folds: list[Fold] = []
    for k in range(count):
        rest, test = np.flatnonzero(fold_of != k), patients[fold_of == k]
        held = _site_validation(marks[rest], codes[rest], named_seed(seed, "site validation", cohort, k))
        if held is None:
            folds.append(with_validation(cohort, k, patients[rest], test, event, seed))
        else:
            train, validation = patients[rest[~held]], patients[rest[held]]
            folds.append(Fold(cohort, k, np.sort(train), np.sort(validation), np.sort(test)))
    return folds


def external_fold(
    name: str, train_patients: Indices, test_patients: Indices, event: NDArray[np.bool_], seed: int
) -> Fold:
    """Train on some cohorts, test on another: one fold, number 0, with `name` as its cohort.

    Validation is one eighth of `train_patients`, stratified by event.

    Args:
        name: of the comparison, for example `LUAD-to-LUSC`; with `seed` it decides the validation patients.
        train_patients, test_patients: int64 positions of those who may serve evaluation, in any order.
        event: (P,) bool over the whole store.
        seed: of the experiment.

    Raises:
        InputError: a patient on both sides, no test patient, or fewer than two patients to train on.
    """
    both = np.intersect1d(train_patients, test_patients)
    if len(both):
        raise InputError(
            f"external evaluation {name}: {len(both)} patients are both in train and in test;"
            " name cohorts that share no patient"
        )
    if not len(test_patients):
        raise InputError(f"external evaluation {name}: no patient to test; name a cohort with outcomes")
    if len(train_patients) < 2:
        raise InputError(
            f"external evaluation {name}: {len(train_patients)} patients to train on, at least 2 are needed"
        )
    return with_validation(name, 0, np.sort(train_patients), np.sort(test_patients), event, seed)


def site_report(folds: list[Fold], sites: NDArray[np.object_], event: NDArray[np.bool_]) -> pd.DataFrame:
    """How well the folds are balanced, and whether a site is shared between their parts.

    Args:
        folds: of any kind. sites, event: (P,) over the whole store, as in `site_preserved_folds`.

    Returns:
        One row per fold: cohort, fold; for each of train, validation and test `{part}_patients`,
        `{part}_events`, `{part}_sites`; `shared_with_test` (sites that test shares with train or validation)
        and `shared_with_validation` (sites that train and validation share: 0 where validation consists of
        whole sites).
    """
    codes = _site_codes(sites)
    rows: list[dict[str, object]] = []
    for fold in folds:
        parts = {"train": fold.train, "validation": fold.validation, "test": fold.test}
        row: dict[str, object] = {"cohort": fold.cohort, "fold": fold.fold}
        for part, members in parts.items():
            row[f"{part}_patients"] = len(members)
            row[f"{part}_events"] = int(event[members].sum())
            row[f"{part}_sites"] = len(np.unique(codes[members]))
        seen = np.concatenate([codes[fold.train], codes[fold.validation]])
        row["shared_with_test"] = len(np.intersect1d(codes[fold.test], seen))
        row["shared_with_validation"] = len(np.intersect1d(codes[fold.train], codes[fold.validation]))
        rows.append(row)
    return pd.DataFrame(rows)


def _site_codes(sites: NDArray[np.object_]) -> NDArray[np.int64]:
    """(n,) int64: the number of each patient's site; a patient without a site gets a number of their own."""
    missing = np.asarray(pd.isna(sites), dtype=bool)
    names = np.where(missing, "", sites).astype(str)
    none = np.char.strip(names) == ""
    codes = np.zeros(len(names), dtype=np.int64)
    known, codes[~none] = np.unique(names[~none], return_inverse=True)
    codes[none] = len(known) + np.arange(int(none.sum()))
    return codes


def _marks(time_days: NDArray[np.float64], event: NDArray[np.bool_]) -> NDArray[np.float64]:
    """(n, 3): what is to be balanced, for each patient: 1, event, late."""
    late = np.zeros(len(event), dtype=bool)
    for flag in (False, True):
        group = event == flag
        if group.any():
            late[group] = time_days[group] > np.median(time_days[group])
    return np.stack([np.ones(len(event)), event, late], axis=1).astype(np.float64)


def _sums(marks: NDArray[np.float64], codes: NDArray[np.int64]) -> NDArray[np.float64]:
    """(S, 3): the marks added up over each site's patients."""
    sums = np.zeros((int(codes.max()) + 1, marks.shape[1]))
    np.add.at(sums, codes, marks)
    return sums


def _balanced(site_sums: NDArray[np.float64], count: int, seed: int) -> NDArray[np.int64]:
    """(S,) the part, below `count`, of each site; no part is empty where there are `count` sites.

    Lowers the sum over parts and marks of (part's share - 1 / count) squared. With totals fixed, this is the
    sum of the parts' squared sums, so a site s goes where the dot product with what is there is least.
    """
    scale = np.where(site_sums.sum(axis=0) > 0, site_sums.sum(axis=0), 1.0) / count
    scaled = site_sums / scale * np.sqrt(_WEIGHTS)
    generator = np.random.default_rng(seed)
    best, least = np.zeros(len(scaled), dtype=np.int64), np.inf
    for attempt in range(_ATTEMPTS):
        order = generator.permutation(len(scaled))
        if attempt == 0:
            order = order[np.argsort(-site_sums[order, 0], kind="stable")]
        part, parts = _assigned(scaled, order, count)
        if (parts**2).sum() < least + _NO_GAIN:
            best, least = part, (parts**2).sum()
    return best


def _assigned(
    scaled: NDArray[np.float64], order: NDArray[np.int64], count: int
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Part (S,) of each site and sums (count, 3) of the parts: greedy in `order`, then improved."""
    part = np.zeros(len(scaled), dtype=np.int64)
    parts = np.zeros((count, scaled.shape[1]))
    for site in order:
        part[site] = np.argmin(parts @ scaled[site])
        parts[part[site]] += scaled[site]
    gain = True
    while gain:
        gain = False
        for site in order:
            gain |= _improve(int(site), scaled, part, parts)
    return part, parts


def _improve(
    site: int, scaled: NDArray[np.float64], part: NDArray[np.int64], parts: NDArray[np.float64]
) -> bool:
    """Move a site, or swap it with another, where that lowers the imbalance most; changes part and parts."""
    here = int(part[site])
    own = scaled[site]
    move = own @ own + (parts - parts[here]) @ own  # half the change of the squared sums
    move[here] = np.inf
    if int((part == here).sum()) == 1:
        move[:] = np.inf
    gap = own - scaled
    swap = (gap * (gap + parts[part] - parts[here])).sum(axis=1)
    swap[part == here] = np.inf
    to, other = int(np.argmin(move)), int(np.argmin(swap))
    if min(move[to], swap[other]) >= _NO_GAIN:
        return False
    if move[to] <= swap[other]:
        there, change = to, own
    else:
        there, change = int(part[other]), gap[other]
        part[other] = here
    part[site] = there
    parts[here] -= change
    parts[there] += change
    return True


def _site_validation(
    marks: NDArray[np.float64], codes: NDArray[np.int64], seed: int
) -> NDArray[np.bool_] | None:
    """(n,) bool: who validates, whole sites only; None where no set of sites is suitable."""
    known, codes = np.unique(codes, return_inverse=True)
    if len(known) < 2:
        return None
    wanted = min(_VALIDATION_PARTS, len(known))
    parts = _balanced(_sums(marks, codes), wanted, seed)
    part_of = parts[codes]
    sums = _sums(marks, part_of)
    whole = marks.sum(axis=0)
    fits = (sums[:, 1] > 0) & (sums[:, 1] < whole[1]) & (sums[:, 0] <= _LARGEST_VALIDATION * whole[0])
    if not fits.any():
        return None
    cost = np.abs(sums[:, :2] / whole[:2] * _VALIDATION_PARTS - 1).sum(axis=1)
    cost += _ONE_SITE_COST * (np.bincount(parts) == 1)
    return part_of == int(np.argmin(np.where(fits, cost, np.inf)))

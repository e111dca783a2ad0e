"""Splits: disjoint, complete, stratified, seeded; folds from a file."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from prime.errors import InputError
from prime.seeds import named_seed
from prime.splits.folds import Fold, given_folds, pretraining_split, read_folds, stratified_folds

P = 200
IDS = np.array([f"p{i}" for i in range(P)], dtype=object)
EVENT = np.random.default_rng(0).random(P) < 0.3
TIME = np.random.default_rng(1).exponential(1000, P)
COHORTS = np.array([("A", "B", "C")[i % 3] for i in range(P)])


def all_sorted_and_disjoint(fold: Fold, patients: np.ndarray) -> None:
    parts = [fold.train, fold.validation, fold.test]
    assert sorted(np.concatenate(parts).tolist()) == sorted(patients.tolist())
    assert all((np.diff(part) > 0).all() for part in parts)
    assert all(len(part) > 0 for part in parts)


def test_pretraining_split_is_80_to_20_within_each_type() -> None:
    patients = np.arange(0, P, 2)
    train, validation = pretraining_split(COHORTS, patients, 0.2, 0)
    assert sorted([*train, *validation]) == patients.tolist()
    for cohort in "ABC":
        members = int((COHORTS[patients] == cohort).sum())
        assert int((COHORTS[validation] == cohort).sum()) == round(0.2 * members)


def test_the_seed_decides_and_other_types_do_not() -> None:
    patients = np.arange(P)
    first, second = (pretraining_split(COHORTS, patients, 0.2, 0)[1] for _ in range(2))
    assert np.array_equal(first, second)
    assert not np.array_equal(first, pretraining_split(COHORTS, patients, 0.2, 1)[1])
    only_a = pretraining_split(COHORTS, patients[COHORTS == "A"], 0.2, 0)[1]
    assert np.array_equal(only_a, first[COHORTS[first] == "A"])


def test_folds_are_70_10_20_and_test_everybody_once() -> None:
    patients = np.arange(20, P)
    folds = stratified_folds("A", patients, TIME, EVENT, 5, 0)
    for fold in folds:
        all_sorted_and_disjoint(fold, patients)
        assert len(fold.test) == pytest.approx(0.2 * len(patients), abs=1)
        assert len(fold.validation) == pytest.approx(0.1 * len(patients), abs=1)
    assert sorted(np.concatenate([f.test for f in folds]).tolist()) == patients.tolist()


def test_folds_are_stratified_by_event_and_time() -> None:
    folds = stratified_folds("A", np.arange(P), TIME, EVENT, 5, 0)
    for part in ("train", "validation", "test"):
        rates = [EVENT[getattr(fold, part)].mean() for fold in folds]
        assert rates == pytest.approx([EVENT.mean()] * 5, abs=0.05), part
    late = EVENT & (np.median(TIME[EVENT]) < TIME)
    shares = [late[fold.test].mean() for fold in folds]
    assert shares == pytest.approx([late.mean()] * 5, abs=0.03)


def test_folds_depend_on_seed_and_cohort_only() -> None:
    def tests(cohort: str, seed: int) -> list[list[int]]:
        return [f.test.tolist() for f in stratified_folds(cohort, np.arange(P), TIME, EVENT, 5, seed)]

    assert tests("A", 0) == tests("A", 0)
    assert tests("A", 0) != tests("A", 1)
    assert tests("A", 0) != tests("B", 0)


@pytest.mark.parametrize("patients", [10, 11, 13, 15, 20])
@pytest.mark.parametrize("events", [0, 1, 3, 10])
def test_small_and_one_sided_cohorts_still_split(patients: int, events: int) -> None:
    event = np.arange(patients) < events
    chosen = np.arange(patients)
    folds = stratified_folds("A", chosen, np.arange(patients, dtype=float), event, 5, 0)
    assert len(folds) == 5
    for fold in folds:
        all_sorted_and_disjoint(fold, chosen)


def test_too_few_patients_are_refused() -> None:
    with pytest.raises(InputError, match="too few for 5 folds"):
        stratified_folds("A", np.arange(9), TIME, EVENT, 5, 0)


def test_given_folds_are_taken_as_they_are() -> None:
    table = pd.DataFrame({"patient_id": IDS, "cohort": COHORTS, "fold": np.arange(P) % 5})
    patients = np.flatnonzero(COHORTS == "B")[5:]  # five of the file may not serve
    folds = given_folds(table, "folds.csv", "B", IDS, patients, EVENT, 0)
    assert [fold.fold for fold in folds] == [0, 1, 2, 3, 4]
    for fold in folds:
        all_sorted_and_disjoint(fold, patients)
        assert fold.test.tolist() == [p for p in patients if p % 5 == fold.fold]
        assert len(fold.validation) == round((len(patients) - len(fold.test)) / 8)
    with pytest.raises(InputError, match="no patient of cohort X"):
        given_folds(table, "folds.csv", "X", IDS, patients, EVENT, 0)
    with pytest.raises(InputError, match="at least two folds"):
        given_folds(table.assign(fold=1), "folds.csv", "B", IDS, patients, EVENT, 0)


def test_patients_whom_the_file_does_not_name_are_left_out() -> None:
    table = pd.DataFrame({"patient_id": IDS[:60], "cohort": "A", "fold": np.arange(60) % 5})
    for fold in given_folds(table, "folds.csv", "A", IDS, np.arange(P), EVENT, 0):
        assert max(fold.train.max(), fold.validation.max(), fold.test.max()) < 60


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("patient_id,cohort\np1,A\n", "no column 'fold'"),
        ("patient_id,cohort,fold\np1,A,0\np1,A,1\n", "p1 occurs in two rows"),
        ("patient_id,cohort,fold\np1,A,0\np2,A,x\n", "row 2: fold 'x' is not a whole number"),
        ("patient_id,cohort,fold\np1,A,0.5\n", "row 1: fold"),
        ("patient_id,cohort,fold\np1,A,0,\np2,A,1,\n", "more fields than the header .* 'p1'"),
        ("", "the file is empty"),
    ],
)
def test_bad_folds_files_are_one_clear_error(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "folds.csv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=message):
        read_folds(path)


def test_a_good_folds_file_and_a_missing_one(tmp_path: Path) -> None:
    path = tmp_path / "folds.csv"
    path.write_text("patient_id,cohort,fold\n001,NA,0\np2,B,1\n", encoding="utf-8")
    table = read_folds(path)
    assert table["patient_id"].tolist() == ["001", "p2"]
    assert table["cohort"].tolist() == ["NA", "B"]
    assert table["fold"].tolist() == [0, 1]
    with pytest.raises(InputError, match="no such file"):
        read_folds(tmp_path / "none.csv")


def test_named_seeds_are_the_same_on_every_machine() -> None:
    assert named_seed(0, "weights") == 1875904672
    assert len({named_seed(s, n) for s in range(10) for n in ("weights", "folds")}) == 20

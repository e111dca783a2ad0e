"""Who serves evaluation, why the others do not, and folds that are refused."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from prime.cohort.splits import Fold
from prime.cohort.store import Store
from prime.errors import InputError
from prime.training.config import EvaluateConfig
from prime.training.outcomes import Outcome, evaluation_folds, read_outcome


def changed_store(store: Store, column: str, patients: list[int], value: object) -> Store:
    frame = store.patients.copy()
    frame.loc[patients, column] = value
    return replace(store, patients=frame)


class Blind(Store):
    """A store whose first two patients have no modality."""

    def observed(self) -> NDArray[np.bool_]:
        observed = super().observed().copy()
        observed[:2] = False
        return observed


def test_everyone_usable_is_counted_nowhere(made_up_store: Store) -> None:
    outcome = read_outcome(made_up_store, "os")
    assert outcome.usable.all()
    assert set(outcome.left_out.values()) == {0}
    frame = made_up_store.patients
    np.testing.assert_array_equal(outcome.time_days, frame["os_time_days"])
    np.testing.assert_array_equal(outcome.event, frame["os_event"] == 1)


def test_each_reason_is_counted_and_each_patient_once(made_up_store: Store) -> None:
    store = changed_store(made_up_store, "os_time_days", [10, 11, 12], np.nan)
    store = changed_store(store, "os_event", [12, 13], np.nan)
    store = changed_store(store, "excluded", [13, 14, 15], True)  # 13 has no outcome: counted there
    store = changed_store(store, "os_time_days", [0, 16, 17, 18], 0.0)
    store = changed_store(store, "os_event", [16], 1.0)
    blind = Blind(store.path, store.manifest, store.patients, store.modalities, store.sources)
    outcome = read_outcome(blind, "os")
    assert outcome.left_out == {
        "no outcome": 4,
        "excluded by the clinical table": 2,
        "time not above zero": 4,
        "no modality": 1,  # patient 0 is already left out by its time
    }
    assert np.flatnonzero(~outcome.usable).tolist() == [0, 1, *range(10, 19)]
    assert np.isnan(outcome.time_days[~outcome.usable]).all()
    assert not outcome.event[~outcome.usable].any()


def test_unknown_endpoint_names_those_there_are(made_up_store: Store) -> None:
    with pytest.raises(InputError, match=r"no endpoint 'dss'; the cohort has os"):
        read_outcome(made_up_store, "dss")


def folds_of(store: Store, outcome: Outcome | None = None, seed: int = 0, **changes: object) -> list[Fold]:
    config = EvaluateConfig.model_validate({"fold_count": 3, **changes})
    return evaluation_folds(store, outcome or read_outcome(store, "os"), config, seed)


def test_folds_hold_usable_patients_of_their_cohort_once(made_up_store: Store) -> None:
    store = changed_store(made_up_store, "os_time_days", [3, 4], 0.0)
    store = changed_store(store, "excluded", [5], True)
    cohorts = store.patients["cohort"].to_numpy(dtype=str)
    folds = folds_of(store)
    assert [(f.cohort, f.fold) for f in folds] == [(c, k) for c in "ABC" for k in range(3)]
    for fold in folds:
        everyone = np.concatenate([fold.train, fold.validation, fold.test])
        expected = np.setdiff1d(np.flatnonzero(cohorts == fold.cohort), [3, 4, 5])
        np.testing.assert_array_equal(np.sort(everyone), expected)
    tested = np.concatenate([f.test for f in folds])
    np.testing.assert_array_equal(np.sort(tested), np.setdiff1d(np.arange(60), [3, 4, 5]))


def test_chosen_cohorts_and_folds(made_up_store: Store) -> None:
    folds = folds_of(made_up_store, cohorts=("C", "A"), only_folds=(1,))
    assert [(f.cohort, f.fold) for f in folds] == [("C", 1), ("A", 1)]


def test_unknown_cohort(made_up_store: Store) -> None:
    with pytest.raises(InputError, match=r"cohort 'Z': no patient .* A, B, C"):
        folds_of(made_up_store, cohorts=("Z",))


def test_all_censored(made_up_store: Store) -> None:
    store = changed_store(made_up_store, "os_event", list(range(1, 60, 3)), 0.0)
    with pytest.raises(InputError, match="cohort 'B': all 20 patients are censored"):
        folds_of(store)


def write_folds(path: Path, store: Store, extra: str = "") -> str:
    frame = store.patients
    lines = [
        f"{p},{c},{i % 2}" for i, (p, c) in enumerate(zip(frame["patient_id"], frame["cohort"], strict=True))
    ]
    path.write_text("\n".join(["patient_id,cohort,fold", *lines]) + "\n" + extra, encoding="utf-8")
    return str(path)


def test_given_folds_are_used(made_up_store: Store, tmp_path: Path) -> None:
    folds = folds_of(made_up_store, folds=write_folds(tmp_path / "folds.csv", made_up_store))
    for fold in folds:
        assert (fold.test % 2 == fold.fold).all()
    assert sum(len(f.test) for f in folds) == 60


def test_unknown_patient_in_the_folds_file(made_up_store: Store, tmp_path: Path) -> None:
    source = write_folds(tmp_path / "folds.csv", made_up_store, "nobody,A,0\n")
    with pytest.raises(InputError, match=r"folds\.csv: patient nobody is not in the cohort"):
        folds_of(made_up_store, folds=source)

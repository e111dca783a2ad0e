"""Where the folds of an evaluation come from: a splits file, whole hospitals, other cohorts."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError

from prime.errors import InputError
from prime.settings.evaluation import EvaluateConfig, TaskConfig
from prime.settings.experiment import ExperimentConfig
from prime.splits.evaluation_folds import evaluation_folds
from prime.splits.folds import Fold
from prime.splits.outcomes import read_outcome
from prime.splits.split_files import save_splits
from prime.store.store import Store
from tests.made_up import changed_store, evaluation_settings, planned

OS = TaskConfig(name="os", endpoint="os")


def folds_of(store: Store, task: TaskConfig = OS, seed: int = 0, **changes: Any) -> list[Fold]:
    config = EvaluateConfig.model_validate({"fold_count": 3, **changes})
    return evaluation_folds(store, read_outcome(store, task), config, seed)


def probes(**changes: Any) -> ExperimentConfig:
    base = {"modes": ["lp"], "inits": ["pretrained"], "bootstrap": 0, "cohorts": None}
    return evaluation_settings(**{**base, **changes})


def same(one: list[Fold], other: list[Fold]) -> bool:
    parts = ("train", "validation", "test")
    return [(f.cohort, f.fold) for f in one] == [(f.cohort, f.fold) for f in other] and all(
        np.array_equal(getattr(a, p), getattr(b, p)) for a, b in zip(one, other, strict=True) for p in parts
    )


# A splits file ----------------------------------------------------------------------------------------------


@pytest.fixture
def splits(evaluation_store: Store, tmp_path: Path) -> Path:
    """All three parts of three folds of each cohort, drawn with a seed that no test uses."""
    ids = evaluation_store.patients["patient_id"].to_numpy(dtype=object)
    save_splits(tmp_path / "splits.json", folds_of(evaluation_store, seed=77), ids)
    return tmp_path / "splits.json"


def test_a_splits_file_is_taken_as_it_is(evaluation_store: Store, splits: Path) -> None:
    expected = folds_of(evaluation_store, seed=77)
    assert same(folds_of(evaluation_store, folds=str(splits), seed=3), expected)
    assert not same(folds_of(evaluation_store, seed=3), expected)
    chosen = folds_of(evaluation_store, folds=str(splits), cohorts=["C", "A"], only_folds=[1])
    assert [(f.cohort, f.fold) for f in chosen] == [("A", 1), ("C", 1)]


def test_a_splits_file_without_those_whom_the_task_cannot_use(evaluation_store: Store, splits: Path) -> None:
    early = TaskConfig(name="early", endpoint="os", horizon_days=500)
    usable = read_outcome(evaluation_store, early).usable
    for whole, mine in zip(
        folds_of(evaluation_store, folds=str(splits)),
        folds_of(evaluation_store, early, folds=str(splits)),
        strict=True,
    ):
        for part in ("train", "validation", "test"):
            patients = getattr(whole, part)
            np.testing.assert_array_equal(getattr(mine, part), patients[usable[patients]])
        assert len(mine.train) < len(whole.train)


def test_an_evaluation_with_a_splits_file(
    evaluation_store: Store, evaluation_checkpoint: Path, splits: Path, tmp_path: Path
) -> None:
    evaluation = planned(evaluation_store, probes(folds=str(splits)), evaluation_checkpoint, tmp_path / "out")
    evaluation.run(progress=False)
    table = pd.read_csv(tmp_path / "out" / "predictions.csv")
    table = table[table["pattern"] == "all"].set_index("patient_id")
    ids = evaluation_store.patients["patient_id"].to_numpy(dtype=object)
    for fold in folds_of(evaluation_store, seed=77):
        assert (table.loc[ids[fold.test], "fold"] == fold.fold).all()
    assert len(table) == 300


# Whole hospitals --------------------------------------------------------------------------------------------


def shared_sites(folds: list[Fold], store: Store) -> int:
    """How many folds test a hospital that they also train or validate on."""
    site = store.patients["site"].to_numpy(dtype=str)
    return sum(bool(set(site[f.test]) & set(site[np.concatenate([f.train, f.validation])])) for f in folds)


def test_whole_hospitals_are_tested(evaluation_store: Store) -> None:
    folds = folds_of(evaluation_store, splits="sites")
    assert [(f.cohort, f.fold) for f in folds] == [(c, k) for c in "ABC" for k in range(3)]
    assert shared_sites(folds, evaluation_store) == 0
    assert shared_sites(folds_of(evaluation_store), evaluation_store) == 9
    tested = np.sort(np.concatenate([f.test for f in folds]))
    np.testing.assert_array_equal(tested, np.arange(300))


def test_an_evaluation_by_hospitals(
    evaluation_store: Store, evaluation_checkpoint: Path, tmp_path: Path
) -> None:
    config = probes(splits="sites", cohorts=["A"], train_on=["everyone", "complete"], shares=[1.0, 0.9])
    evaluation = planned(evaluation_store, config, evaluation_checkpoint, tmp_path)
    for fit in evaluation.fits:
        assert shared_sites(list(fit.folds), evaluation_store) == 0
    evaluation.run(progress=False)
    assert len(pd.read_csv(tmp_path / "predictions.csv")) > 100


def test_too_few_hospitals(evaluation_store: Store) -> None:
    mine = [int(i) for i in np.flatnonzero(evaluation_store.patients["cohort"] == "B")]
    store = changed_store(evaluation_store, "site", mine, "one")
    with pytest.raises(InputError, match="cohort B: 1 sites are too few for 3 folds"):
        folds_of(store, splits="sites")


# Other cohorts ----------------------------------------------------------------------------------------------


def test_external_validation(evaluation_store: Store) -> None:
    (fold,) = folds_of(evaluation_store, external=[{"train": ["A", "B"], "test": "C"}])
    cohorts = evaluation_store.patients["cohort"].to_numpy(dtype=str)
    assert (fold.cohort, fold.fold) == ("A+B>C", 0)
    np.testing.assert_array_equal(fold.test, np.flatnonzero(cohorts == "C"))
    rest = np.sort(np.concatenate([fold.train, fold.validation]))
    np.testing.assert_array_equal(rest, np.flatnonzero(cohorts != "C"))
    assert len(fold.validation) == 25


def test_an_external_evaluation(evaluation_store: Store, evaluation_checkpoint: Path, tmp_path: Path) -> None:
    external = [{"train": ["A", "B"], "test": "C"}, {"train": ["C"], "test": "A"}]
    config = probes(external=external, modes=["lp", "ft"], inits=["pretrained", "scratch"])
    evaluation = planned(evaluation_store, config, evaluation_checkpoint, tmp_path)
    assert {fit.name for fit in evaluation.fits if fit.init == "scratch"} == {
        f"scratch-{mode}-os-{name}-fold0-seed0" for mode in ("lp", "ft") for name in ("A+B-to-C", "C-to-A")
    }
    evaluation.run(progress=False)
    table = pd.read_csv(tmp_path / "predictions.csv")
    cohorts = evaluation_store.patients.set_index("patient_id")["cohort"]
    for name, tested in (("A+B>C", "C"), ("C>A", "A")):
        mine = table[(table["cohort"] == name) & (table["pattern"] == "all")]
        for _, part in mine.groupby(["init", "mode"]):
            assert set(part["patient_id"]) == set(cohorts.index[cohorts == tested])
    folds = pd.read_csv(tmp_path / "folds.csv")
    whole = folds[(folds["pattern"] == "all") & (folds["test_on"] == "everyone")]
    assert (whole["n"] == 100).all()
    summary = pd.read_csv(tmp_path / "summary.csv")
    assert set(summary["cohort"]) == {"A+B>C", "C>A", "macro"}


def test_bad_external_cohorts(evaluation_store: Store) -> None:
    with pytest.raises(ValidationError, match="cohort A is both trained on and tested"):
        EvaluateConfig.model_validate({"external": [{"train": ["A", "B"], "test": "A"}]})
    with pytest.raises(InputError, match="cohort 'Z': no patient"):
        folds_of(evaluation_store, external=[{"train": ["A"], "test": "Z"}])


def test_no_event_within_the_horizon(evaluation_store: Store) -> None:
    soon = TaskConfig(name="soon", endpoint="os", horizon_days=1.0)
    with pytest.raises(InputError, match="cohort 'A': all 100 patients have no event within 1 days"):
        folds_of(evaluation_store, soon)


# Several tasks ----------------------------------------------------------------------------------------------

EARLY = TaskConfig(name="early", endpoint="os", horizon_days=700)
EARLIER = TaskConfig(name="earlier", endpoint="os", horizon_days=400)


def places_of_tests(folds: list[Fold]) -> dict[int, tuple[str, int]]:
    """The cohort and number of the fold that tests each patient."""
    return {int(patient): (fold.cohort, fold.fold) for fold in folds for patient in fold.test}


@pytest.mark.parametrize("splits", ["stratified", "sites"])
def test_a_patient_is_tested_in_the_same_fold_of_every_task(evaluation_store: Store, splits: str) -> None:
    config = EvaluateConfig.model_validate({"fold_count": 3, "splits": splits})
    outcomes = [read_outcome(evaluation_store, task) for task in (EARLY, OS, EARLIER)]
    found = [evaluation_folds(evaluation_store, outcome, config, 0, outcomes) for outcome in outcomes]
    places: dict[int, tuple[str, int]] = {}
    for folds, outcome in zip(found, outcomes, strict=True):
        mine = places_of_tests(folds)
        assert set(mine) == set(np.flatnonzero(outcome.usable))
        assert all(places.setdefault(patient, place) == place for patient, place in mine.items())
        for fold in folds:
            everyone = np.concatenate([fold.train, fold.validation, fold.test])
            assert len(np.unique(everyone)) == len(everyone)
            assert outcome.event[fold.train].any()
            assert outcome.event[fold.validation].any()
    sites = evaluation_store.patients["site"].to_numpy(dtype=str)
    if splits == "sites":
        for fold in (fold for folds in found for fold in folds):
            assert not set(sites[fold.test]) & set(sites[fold.labelled])
    alone = [evaluation_folds(evaluation_store, outcome, config, 0) for outcome in outcomes]
    assert same(found[0], alone[0]) or set(places_of_tests(found[0])) != set(places)
    assert any(places_of_tests(a) != places_of_tests(b) for a, b in zip(found, alone, strict=True))


def test_one_task_gets_the_folds_that_are_drawn_for_it_alone(evaluation_store: Store) -> None:
    outcome = read_outcome(evaluation_store, OS)
    config = EvaluateConfig.model_validate({"fold_count": 3})
    assert same(
        evaluation_folds(evaluation_store, outcome, config, 4, [outcome]), folds_of(evaluation_store, seed=4)
    )
    early = read_outcome(evaluation_store, EARLY)  # whoever it can use, the first can use too
    assert same(
        evaluation_folds(evaluation_store, outcome, config, 4, [outcome, early]),
        folds_of(evaluation_store, seed=4),
    )

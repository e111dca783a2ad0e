"""Who serves evaluation, why the others do not, and folds that are refused."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from prime.errors import InputError
from prime.evaluation.horizon import horizon_label
from prime.objectives.survival import bin_edges
from prime.settings.evaluation import EvaluateConfig, TaskConfig
from prime.splits.evaluation_folds import evaluation_folds
from prime.splits.folds import Fold
from prime.splits.outcomes import Outcome, read_outcome
from prime.store.store import Store
from tests.made_up import changed_store

OS = TaskConfig(name="os", endpoint="os")


class Blind(Store):
    """A store whose first two patients have no modality."""

    def observed(self) -> NDArray[np.bool_]:
        observed = super().observed().copy()
        observed[:2] = False
        return observed


def test_everyone_usable_is_counted_nowhere(made_up_store: Store) -> None:
    outcome = read_outcome(made_up_store, OS)
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
    outcome = read_outcome(blind, OS)
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
    with pytest.raises(InputError, match=r"no endpoint 'dss' \(task d\); the cohort has os"):
        read_outcome(made_up_store, TaskConfig(name="d", endpoint="dss"))


def test_labels_by_a_horizon(made_up_store: Store) -> None:
    """Event at or before the horizon, followed for longer, censored at or before it: yes, no, unknown."""
    store = made_up_store
    rows = [(300, 1), (500, 1), (501, 1), (300, 0), (500, 0), (501, 0)]
    for patient, (time_days, event) in enumerate(rows):
        store = changed_store(store, "os_time_days", [patient], float(time_days))
        store = changed_store(store, "os_event", [patient], float(event))
    task = TaskConfig(name="early", endpoint="os", horizon_days=500)
    outcome = read_outcome(store, task)
    assert outcome.event[:6].tolist() == [True, True, False, False, False, False]
    assert outcome.usable[:6].tolist() == [True, True, True, False, False, True]
    assert np.isnan(outcome.time_days[3:5]).all()
    frame = store.patients
    label, known = horizon_label(frame["os_time_days"].to_numpy(), (frame["os_event"] == 1).to_numpy(), 500)
    np.testing.assert_array_equal(outcome.event, label)
    np.testing.assert_array_equal(outcome.usable, known)
    assert outcome.left_out["censored within 500 days"] == (~known).sum()
    assert outcome.horizon_days == 500


def test_a_patient_without_outcome_has_no_label(made_up_store: Store) -> None:
    """Whatever stands in the other column."""
    store = changed_store(made_up_store, "os_time_days", [0, 1], np.nan)
    store = changed_store(store, "os_event", [2, 3], np.nan)
    outcome = read_outcome(store, TaskConfig(name="early", endpoint="os", horizon_days=500))
    assert not outcome.usable[:4].any()
    assert outcome.left_out["no outcome"] == 4


def test_bins_of_a_task(made_up_store: Store) -> None:
    patients = np.arange(40)
    survival = read_outcome(made_up_store, OS)
    edges = survival.edges(patients, 4)
    np.testing.assert_array_equal(edges, bin_edges(survival.time_days[patients], survival.event[patients], 4))
    assert len(edges) == 5
    binary = read_outcome(made_up_store, TaskConfig(name="early", endpoint="os", horizon_days=500))
    assert binary.edges(patients, 4).tolist() == [-np.inf, np.inf]


def folds_of(store: Store, outcome: Outcome | None = None, seed: int = 0, **changes: object) -> list[Fold]:
    config = EvaluateConfig.model_validate({"fold_count": 3, **changes})
    return evaluation_folds(store, outcome or read_outcome(store, OS), config, seed)


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


# Delayed entry, landmarks, competing events -----------------------------------------------------------------


def with_entry(store: Store, days: float) -> Store:
    """Every other patient under observation from so many days on, or from half of the time."""
    frame = store.patients.copy()
    time = frame["os_time_days"].to_numpy()
    late = np.minimum(days, time / 2)
    frame["os_entry_days"] = np.where(np.arange(len(frame)) % 2 == 0, late, 0.0)
    return replace(store, patients=frame)


def test_entries_come_with_the_outcome(made_up_store: Store) -> None:
    assert read_outcome(made_up_store, OS).entry_days is None
    store = with_entry(made_up_store, 100.0)
    outcome = read_outcome(store, OS)
    np.testing.assert_array_equal(outcome.entry_days, store.patients["os_entry_days"])
    few = outcome.take(np.array([4, 2]))
    np.testing.assert_array_equal(few.entry_days, store.patients["os_entry_days"].to_numpy()[[4, 2]])
    assert read_outcome(with_entry(made_up_store, 0.0), OS).entry_days is None  # nobody is late


def test_a_landmark_counts_time_from_there(made_up_store: Store) -> None:
    store = with_entry(made_up_store, 300.0)
    task = TaskConfig(name="from200", endpoint="os", landmark_days=200)
    outcome, time = read_outcome(store, task), store.patients["os_time_days"].to_numpy()
    kept = time > 200
    np.testing.assert_array_equal(outcome.usable, kept)
    np.testing.assert_allclose(outcome.time_days[kept], time[kept] - 200)
    assert outcome.left_out["event or end of follow-up by the landmark"] == (~kept).sum()
    entry = store.patients["os_entry_days"].to_numpy()
    assert outcome.entry_days is not None
    np.testing.assert_allclose(outcome.entry_days[kept], np.maximum(entry[kept] - 200, 0))
    np.testing.assert_array_equal(outcome.event, kept & (store.patients["os_event"] == 1))


def test_a_label_can_do_with_delayed_entry_after_a_landmark_alone(made_up_store: Store) -> None:
    store = with_entry(made_up_store, 300.0)
    with pytest.raises(InputError, match="task early: endpoint os has delayed entry"):
        read_outcome(store, TaskConfig(name="early", endpoint="os", horizon_days=500))
    task = TaskConfig(name="early", endpoint="os", horizon_days=500, landmark_days=200)
    outcome = read_outcome(store, task)
    time, event = store.patients["os_time_days"].to_numpy(), store.patients["os_event"].to_numpy() == 1
    seen = (time > 200) & (store.patients["os_entry_days"].to_numpy() <= 200)
    label, known = horizon_label(time - 200, event, 500)
    np.testing.assert_array_equal(outcome.usable, seen & known)
    np.testing.assert_array_equal(outcome.event, seen & label)
    assert outcome.entry_days is None
    assert outcome.left_out["not yet under observation"] > 0


def with_deaths(store: Store) -> Store:
    frame = store.patients.copy()
    rng = np.random.default_rng(0)
    frame["death_time_days"] = frame["os_time_days"] * rng.choice([0.5, 1.0, 2.0], len(frame))
    frame["death_event"] = rng.integers(0, 2, len(frame)).astype(float)
    return replace(store, patients=frame)


def test_the_first_event_counts(made_up_store: Store) -> None:
    store = with_deaths(made_up_store)
    outcome = read_outcome(store, TaskConfig(name="os", endpoint="os", competing=("death",)))
    assert outcome.causes == ("os", "death")
    assert outcome.cause is not None
    for i, (_, row) in enumerate(store.patients.iterrows()):
        end, event = row["os_time_days"], row["os_event"] == 1
        died = row["death_event"] == 1
        first = died and (row["death_time_days"] < end if event else row["death_time_days"] <= end)
        assert outcome.cause[i] == (2 if first else int(event))
        assert outcome.time_days[i] == (row["death_time_days"] if first else end)
        assert outcome.event[i] == (event and not first)
    np.testing.assert_array_equal(outcome.of_cause(1), outcome.cause == 2)
    late = read_outcome(store, TaskConfig(name="os", endpoint="os", competing=("death",), landmark_days=100))
    np.testing.assert_array_equal(late.usable, outcome.time_days > 100)
    np.testing.assert_array_equal(late.cause, np.where(late.usable, outcome.cause, 0))


def test_a_first_event_before_the_entry_was_not_seen(made_up_store: Store) -> None:
    store = with_deaths(with_entry(made_up_store, 1e9))  # from half of the time on
    outcome = read_outcome(store, TaskConfig(name="os", endpoint="os", competing=("death",)))
    count = outcome.left_out["first event before the entry"]
    assert count > 0
    assert outcome.usable.sum() == 60 - count
    assert outcome.entry_days is not None
    assert (outcome.entry_days[outcome.usable] < outcome.time_days[outcome.usable]).all()


def test_what_competes_must_be_there_and_come_first(made_up_store: Store) -> None:
    task = TaskConfig(name="os", endpoint="os", competing=("death",))
    with pytest.raises(InputError, match="no endpoint 'death'"):
        read_outcome(made_up_store, task)
    never = with_deaths(made_up_store)
    never = replace(never, patients=never.patients.assign(death_event=0.0))
    with pytest.raises(InputError, match="competing death: it comes first for nobody"):
        read_outcome(never, task)
    for wrong in (
        {"competing": ("os",)},
        {"competing": ("a", "a")},
        {"competing": ("a",), "horizon_days": 9},
    ):
        with pytest.raises(ValueError, match="task os: "):
            TaskConfig.model_validate({"name": "os", "endpoint": "os", **wrong})


def test_a_plain_task_is_hashed_as_before() -> None:
    assert OS.model_dump(mode="json") == {"name": "os", "endpoint": "os", "horizon_days": None}

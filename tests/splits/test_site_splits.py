"""Site-preserved folds, external folds, and thinned labels: disjoint, complete, nested, seeded."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.model_selection import StratifiedGroupKFold

from prime.arrays import Indices
from prime.errors import InputError
from prime.splits.folds import Fold, label_subset, stratified_folds
from prime.splits.site_folds import external_fold, site_preserved_folds, site_report

PARTS = ("train", "validation", "test")


def made_up(patients: int, sites: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Sites of very different sizes, the smaller their number the larger; times and events at random."""
    rng = np.random.default_rng(seed)
    share = rng.dirichlet(np.full(sites, 0.7))
    site = np.array([f"S{i:02d}" for i in rng.choice(sites, patients, p=share)], dtype=object)
    return site, rng.exponential(900, patients), rng.random(patients) < 0.35


def folds_of(
    site: np.ndarray, time: np.ndarray, event: np.ndarray, count: int = 5, seed: int = 0
) -> list[Fold]:
    return site_preserved_folds("A", np.arange(len(site)), site, time, event, count, seed)


def who_are_tested(folds: list[Fold]) -> list[list[int]]:
    return [fold.test.tolist() for fold in folds]


def assert_a_partition(fold: Fold, patients: Indices) -> None:
    parts = [getattr(fold, part) for part in PARTS]
    assert sorted(np.concatenate(parts).tolist()) == sorted(patients.tolist())
    for part in parts:
        assert part.dtype == np.int64
        assert len(part) > 0
        assert (np.diff(part) > 0).all()


@st.composite
def cohorts(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, np.ndarray, Indices, int]:
    """Sites (some empty), times, events, the patients who serve, and a number of folds."""
    total = draw(st.integers(12, 60))
    names = st.sampled_from(["", "", *"ABCDEFGH"])
    site = np.array(draw(st.lists(names, min_size=total, max_size=total)), dtype=object)
    event = np.array(draw(st.lists(st.booleans(), min_size=total, max_size=total)))
    time = np.array(draw(st.lists(st.integers(1, 50), min_size=total, max_size=total)), dtype=np.float64)
    serve = np.array(draw(st.lists(st.integers(0, 4), min_size=total, max_size=total))) > 0
    return site, time, event, np.flatnonzero(serve), draw(st.integers(2, 5))


@settings(max_examples=60)
@given(cohorts(), st.integers(0, 3))
def test_folds_partition_the_patients_and_no_site_is_tested_and_trained_on(
    drawn: tuple[np.ndarray, np.ndarray, np.ndarray, Indices, int], seed: int
) -> None:
    site, time, event, patients, count = drawn
    named = {s for s in site[patients] if s}
    if len(named) + int((site[patients] == "").sum()) < count or len(patients) < 2 * count:
        with pytest.raises(InputError, match="too few for"):
            site_preserved_folds("A", patients, site, time, event, count, seed)
        return
    folds = site_preserved_folds("A", patients, site, time, event, count, seed)
    assert [fold.fold for fold in folds] == list(range(count))
    assert sorted(np.concatenate([fold.test for fold in folds]).tolist()) == patients.tolist()
    for fold in folds:
        assert_a_partition(fold, patients)
        seen = set(site[fold.train]) | set(site[fold.validation])
        assert not (set(site[fold.test]) & seen) - {""}
    report = site_report(folds, site, event)
    assert (report["shared_with_test"] == 0).all()
    for what, whole in (("patients", len(patients)), ("events", int(event[patients].sum()))):
        assert (report[[f"{part}_{what}" for part in PARTS]].sum(axis=1) == whole).all()
    again = site_preserved_folds("A", patients, site, time, event, count, seed)
    for first, second in zip(folds, again, strict=True):
        assert all(np.array_equal(getattr(first, part), getattr(second, part)) for part in PARTS)


@pytest.mark.parametrize("seed", range(6))
def test_balance_is_at_least_that_of_scikit_learn(seed: int) -> None:
    site, time, event = made_up(400, 25, seed)

    def imbalance(tests: list[np.ndarray]) -> float:
        sums = np.array([[len(test), event[test].sum()] for test in tests])
        return float(((sums / sums.mean(axis=0) - 1) ** 2).sum())

    own = [fold.test for fold in folds_of(site, time, event)]
    splitter = StratifiedGroupKFold(5, shuffle=True, random_state=seed)
    other = [test for _, test in splitter.split(site, event, site)]
    assert imbalance(own) <= imbalance(other) + 0.01


def test_folds_of_many_small_sites_are_nearly_even() -> None:
    site = np.array([f"S{i % 50}" for i in range(500)], dtype=object)
    _, time, event = made_up(500, 5, 0)
    folds = folds_of(site, time, event)
    assert [len(fold.test) for fold in folds] == [100] * 5
    events = [int(event[fold.test].sum()) for fold in folds]
    assert max(events) - min(events) <= 2
    for fold in folds:
        assert len(fold.validation) == pytest.approx(50, abs=10)


def test_validation_is_of_whole_sites_where_that_leaves_events_on_both_sides() -> None:
    site, time, event = made_up(400, 40, 1)
    report = site_report(folds_of(site, time, event), site, event)
    assert (report["shared_with_validation"] == 0).all()
    assert (report["validation_events"] > 0).all()
    assert (report["train_events"] > 0).all()
    rest = report["train_patients"] + report["validation_patients"]
    assert (report["validation_patients"] <= rest / 4).all()


def test_validation_is_drawn_by_patients_where_sites_are_too_large() -> None:
    site = np.array([("X", "Y", "Z")[i % 3] for i in range(90)], dtype=object)
    event = np.arange(90) % 4 == 0
    folds = folds_of(site, np.arange(90.0) + 1, event, count=3)
    report = site_report(folds, site, event)
    assert (report["shared_with_test"] == 0).all()
    assert (report["shared_with_validation"] == 2).all()
    assert [len(fold.validation) for fold in folds] == [round(60 / 8)] * 3


def test_validation_is_drawn_by_patients_where_one_site_has_all_events() -> None:
    site = np.array([f"S{i % 20}" for i in range(200)], dtype=object)
    event = site == "S0"
    folds = folds_of(site, np.arange(200.0) + 1, event)
    tested = [fold for fold in folds if event[fold.test].any()]
    assert len(tested) == 1
    for fold in folds:
        if fold is not tested[0]:
            assert event[fold.train].any()
            assert event[fold.validation].any()


def test_patients_without_a_site_are_not_one_site() -> None:
    site, time, event = made_up(100, 8, 0)
    site[:60] = ""
    site[:10] = None
    site[10:20] = np.nan
    folds = folds_of(site, time, event)
    assert len({k for k, fold in enumerate(folds) if np.isin(fold.test, np.arange(60)).any()}) == 5
    assert (site_report(folds, site, event)["shared_with_test"] == 0).all()


def test_other_cohorts_sites_do_not_matter() -> None:
    site, time, event = made_up(120, 12, 0)
    patients = np.arange(80)
    first = site_preserved_folds("A", patients, site, time, event, 5, 0)
    other = site.copy()
    other[80:] = "far away"
    second = site_preserved_folds("A", patients, other, time, ~event ^ (np.arange(120) < 80), 5, 0)
    assert who_are_tested(first) == who_are_tested(second)


def test_seed_and_cohort_decide_among_like_sites() -> None:
    site = np.array([f"S{i % 40}" for i in range(200)], dtype=object)
    _, time, event = made_up(200, 5, 0)
    assert who_are_tested(folds_of(site, time, event)) == who_are_tested(folds_of(site, time, event))
    assert who_are_tested(folds_of(site, time, event)) != who_are_tested(folds_of(site, time, event, seed=1))


def test_too_few_sites_and_patients_are_refused() -> None:
    site, time, event = made_up(60, 4, 0)
    with pytest.raises(InputError, match="cohort A: 4 sites are too few for 5 folds"):
        folds_of(site, time, event)
    none = np.full(9, "", dtype=object)
    with pytest.raises(InputError, match="9 patients with an outcome are too few"):
        folds_of(none, np.ones(9), np.ones(9, dtype=bool))
    with pytest.raises(InputError, match="0 sites"):
        folds_of(none[:0], np.ones(0), np.ones(0, dtype=bool))
    with pytest.raises(ValueError, match="at least 2"):
        folds_of(site, time, event, count=1)


def test_an_external_fold_tests_all_of_the_other_cohort() -> None:
    rng = np.random.default_rng(0)
    event = rng.random(200) < 0.3
    train, test = rng.permutation(120), 120 + rng.permutation(80)
    fold = external_fold("A-to-B", train, test, event, 0)
    assert_a_partition(fold, np.arange(200))
    assert (fold.cohort, fold.fold) == ("A-to-B", 0)
    assert fold.test.tolist() == list(range(120, 200))
    assert len(fold.validation) == 15
    assert event[fold.validation].sum() == pytest.approx(15 * event[:120].mean(), abs=1)
    same = external_fold("A-to-B", np.sort(train), np.sort(test), event, 0)
    assert np.array_equal(same.validation, fold.validation)
    assert not np.array_equal(external_fold("A-to-C", train, test, event, 0).validation, fold.validation)


@pytest.mark.parametrize(
    ("train", "test", "message"),
    [
        (range(10), range(9, 20), "1 patients are both in train and in test"),
        (range(10), range(0), "no patient to test"),
        (range(1), range(5, 9), "1 patients to train on"),
    ],
)
def test_impossible_external_folds_are_refused(train: range, test: range, message: str) -> None:
    with pytest.raises(InputError, match=f"external evaluation X: {message}"):
        external_fold("X", np.array(train, np.int64), np.array(test, np.int64), np.zeros(20, dtype=bool), 0)


def a_fold(patients: int, seed: int) -> tuple[Fold, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    event, time = rng.random(patients) < rng.random(), rng.exponential(900, patients).round()
    return stratified_folds("A", np.arange(patients), time, event, 3, seed)[0], event, time


@settings(max_examples=60)
@given(st.integers(6, 150), st.integers(0, 50), st.floats(0.01, 1), st.floats(0.01, 1))
def test_label_subsets_are_nested_and_leave_the_test_alone(
    patients: int, seed: int, one: float, other: float
) -> None:
    fold, event, time = a_fold(patients, seed)
    small = label_subset(fold, event, time, min(one, other), seed)
    large = label_subset(fold, event, time, max(one, other), seed)
    for name in ("train", "validation"):
        part, less, more = (getattr(f, name) for f in (fold, small, large))
        assert set(less) <= set(more) <= set(part)
        assert (np.diff(less) > 0).all()
        for flag in (False, True):
            n = int((event[part] == flag).sum())
            kept = int((event[less] == flag).sum())
            assert kept == max(round(min(one, other) * n), min(2, n))
    assert np.array_equal(small.test, fold.test)
    assert (small.cohort, small.fold) == (fold.cohort, fold.fold)


def test_a_share_of_one_changes_nothing_and_the_seed_decides_the_rest() -> None:
    fold, event, time = a_fold(150, 3)
    whole = label_subset(fold, event, time, 1.0, 0)
    assert all(np.array_equal(getattr(whole, part), getattr(fold, part)) for part in PARTS)
    half = [label_subset(fold, event, time, 0.5, seed).train.tolist() for seed in (0, 0, 1)]
    assert half[0] == half[1] != half[2]
    shares = [len(label_subset(fold, event, time, s, 0).train) / len(fold.train) for s in (0.9, 0.7, 0.5)]
    assert shares == pytest.approx([0.9, 0.7, 0.5], abs=0.02)


@pytest.mark.parametrize("share", [0.5, 0.3, 0.1])
def test_early_and_late_times_are_thinned_alike(share: float) -> None:
    fold, event, time = a_fold(900, 1)
    kept = label_subset(fold, event, time, share, 0).train
    for flag in (False, True):
        members = fold.train[event[fold.train] == flag]
        late = time > np.median(time[members])
        chosen = kept[event[kept] == flag]
        assert abs(int(late[chosen].sum()) - late[members].mean() * len(chosen)) <= 1


@pytest.mark.parametrize("share", [0.0, -0.1, 1.01, float("nan")])
def test_shares_outside_the_range_are_refused(share: float) -> None:
    fold, event, time = a_fold(30, 0)
    with pytest.raises(InputError, match="must be above 0 and at most 1"):
        label_subset(fold, event, time, share, 0)

"""Joint models through the whole evaluation: what they learn from whom; no test patient shapes them."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from prime.arrays import Flags, Floats, Indices
from prime.downstream import grid, joint_fits
from prime.downstream.grid import Evaluation
from prime.downstream.kept import Kept
from prime.errors import InputError
from prime.methods.classical.block_ridge import BlockRidge
from prime.methods.statistics.blocks import Blocks
from prime.methods.statistics.cohort_heads import CohortHead, EndpointLabels, SharedHead
from prime.methods.statistics.examples import Population
from prime.methods.statistics.within_type import Types
from prime.store.store import Store
from tests.downstream.joint_cohort import (
    EARLY,
    HORIZON,
    OS,
    PFI,
    joint_experiment,
    survival,
    with_features,
    write_joint_store,
)
from tests.made_up import changed_store

EVERY = ["block_ridge", "block_ridge_annotated", "shared_ridge", "ridge_average", "block_ridge_clinical"]
TASKS = [OS, EARLY, PFI]
Labels = Sequence[EndpointLabels]
WITH_PFI = {"endpoints": {"pfi": 0.5}}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Read-only by agreement."""
    return write_joint_store(tmp_path_factory.mktemp("joint"))


CACHES = ("_blocks", "_designs", "_heads")


def forgotten(monkeypatch: pytest.MonkeyPatch, most: int = 6) -> list[Kept[Any]]:
    """The blocks, designs and heads of a process that has kept none, and keeps `most` of each."""
    for name in CACHES:
        monkeypatch.setattr(joint_fits, name, Kept[Any](most))
    return [getattr(joint_fits, name) for name in CACHES]


@pytest.fixture
def fresh(monkeypatch: pytest.MonkeyPatch) -> list[Kept[Any]]:
    """The blocks, designs and heads of a process that has kept none."""
    return forgotten(monkeypatch)


def plan(
    store: Store,
    methods: str | Sequence[str],
    settings: dict[str, Any] | None = None,
    out: Path = Path("unused"),
    **evaluate: Any,
) -> Evaluation:
    names = [methods] if isinstance(methods, str) else methods
    return Evaluation(store, joint_experiment(store, names, settings, **evaluate), None, out)


def cohorts(store: Store) -> NDArray[np.str_]:
    return store.patients["cohort"].to_numpy(dtype=str)


def names(store: Store, patients: Sequence[int] | Indices) -> list[str]:
    return store.patients["patient_id"].to_numpy(dtype=object)[np.asarray(patients)].tolist()


def who_is_tested(evaluation: Evaluation, fold: int, cohort: str) -> Indices:
    """Whom any task tests there."""
    found = [
        f.test
        for folds in evaluation.plan.folds.values()
        for f in folds
        if f.fold == fold and f.cohort == cohort
    ]
    return np.unique(np.concatenate(found))


def other_labels(store: Store, patients: Indices, endpoints: Sequence[str] = ("os", "pfi")) -> Store:
    """Other times and events; who can serve a task still can."""
    frame = store.patients.copy()
    for name in endpoints:
        time = frame[f"{name}_time_days"].to_numpy(dtype=np.float64).copy()
        event = frame[f"{name}_event"].to_numpy(dtype=np.float64).copy()
        for i in patients[~np.isnan(time[patients])]:
            if time[i] > HORIZON:
                time[i], event[i] = HORIZON * 0.4 + i, 1.0  # an early event
            elif event[i]:
                time[i], event[i] = HORIZON * 4 + i, 0.0
            else:
                time[i] /= 2  # censored early, still
        frame[f"{name}_time_days"], frame[f"{name}_event"] = time, event
    return replace(store, patients=frame)


def of(table: pd.DataFrame, **levels: Any) -> pd.DataFrame:
    """The rows with these values of the index."""
    keep = np.ones(len(table), dtype=bool)
    for name, value in levels.items():
        keep &= table.index.get_level_values(name).isin([value] if isinstance(value, str | int) else value)
    return table[keep]


def same(a: pd.DataFrame, b: pd.DataFrame) -> bool:
    """Bit by bit."""
    assert a.index.equals(b.index)
    assert len(a) > 0
    return np.array_equal(a.to_numpy(), b.to_numpy(), equal_nan=True)


# Whom a test patient's data reach ---------------------------------------------------------------------------


@pytest.mark.parametrize("method", EVERY)
def test_test_patients_shape_nothing(method: str, store: Store, tmp_path: Path) -> None:
    """Other features, covariates and outcomes of half of those whom fold 0 tests, in all cohorts, leave the
    predictions of the other half as they are, to the last bit; those of fold 1, where they train, change."""
    settings = WITH_PFI if method in ("shared_ridge", "ridge_average") else {}
    whole = plan(store, method, settings, tasks=TASKS)
    half = np.concatenate([who_is_tested(whole, 0, cohort)[::2] for cohort in "ABC"])
    assert len(half) > 40
    changed = other_labels(with_features(store, tmp_path / "store", half), half)
    for column, value in (("x_age", -1e3), ("x_stage", 4.0)):
        changed = changed_store(changed, column, half.tolist(), value)
    evaluation = Evaluation(changed, whole.config, None, tmp_path)
    for task in ("os", "pfi", "early"):
        for a, b in zip(whole.plan.folds[task, 0], evaluation.plan.folds[task, 0], strict=True):
            np.testing.assert_array_equal(a.test, b.test)
    before, after = survival(whole), survival(evaluation)
    others = sorted(set(before.index.get_level_values("patient_id")) - set(names(store, half)))
    for task in ("os", "pfi", "early"):
        for cohort in "ABC":
            pick = {"task": task, "cohort": cohort, "patient_id": others}
            assert same(of(before, fold=0, **pick), of(after, fold=0, **pick)), (task, cohort)
            assert not same(of(before, fold=1, **pick), of(after, fold=1, **pick)), (task, cohort)
    itself = {"fold": 0, "patient_id": names(store, half)}
    assert not same(of(before, **itself), of(after, **itself))


def test_unlabelled_patients_shape_blocks_and_test_patients_of_a_single_task_do_not(
    store: Store, tmp_path: Path
) -> None:
    """Type D has no outcome at all; who has `pfi` alone is tested there, and set aside for `os` as well."""
    whole = plan(store, "block_ridge", tasks=[OS, PFI])
    before = survival(whole)
    unlabelled = np.flatnonzero(cohorts(store) == "D")
    os_known = ~store.patients["os_time_days"].isna().to_numpy()
    single = who_is_tested(whole, 0, "A")
    single = single[~os_known[single]]
    assert len(single) > 0
    for patients, folds in ((unlabelled, ()), (single, (0,))):
        changed = with_features(store, tmp_path / f"{len(patients)}", patients)
        after = survival(Evaluation(changed, whole.config, None, tmp_path))
        for fold in (0, 1):
            pick = {"fold": fold, "task": "os"}
            assert same(of(before, **pick), of(after, **pick)) == (fold in folds)


def test_labels_of_other_cohorts_matter_where_weights_are_shared(store: Store, tmp_path: Path) -> None:
    """Those of training patients: whom fold 1 of B tests trains in fold 0."""
    methods = ["block_ridge", "shared_ridge", "ridge_average"]
    whole = plan(store, methods)
    before = survival(whole, "A")
    for fold in (0, 1):
        changed = other_labels(store, who_is_tested(whole, fold, "B"))
        after = survival(Evaluation(changed, whole.config, None, tmp_path), "A")
        for method in methods:
            assert same(of(before, method=method, fold=fold), of(after, method=method, fold=fold))
            alone = method == "block_ridge"
            pick = {"method": method, "fold": 1 - fold}
            assert same(of(before, **pick), of(after, **pick)) == alone, method


@pytest.mark.parametrize("task", [OS, EARLY])
def test_labels_of_another_endpoint_matter_where_it_is_named(
    task: dict[str, Any], store: Store, tmp_path: Path
) -> None:
    for settings, matters in (({}, False), (WITH_PFI, True)):
        whole = plan(store, "shared_ridge", settings, tasks=[task])
        train = np.setdiff1d(who_is_tested(whole, 1, "A"), who_is_tested(whole, 0, "A"))
        changed = other_labels(store, train, ["pfi"])
        pair = [survival(e, "A") for e in (whole, Evaluation(changed, whole.config, None, tmp_path))]
        assert same(*(of(table, fold=0) for table in pair)) != matters
        test = who_is_tested(whole, 0, "A")
        changed = other_labels(store, test, ["pfi"])
        again = survival(Evaluation(changed, whole.config, None, tmp_path), "A")
        assert same(of(pair[0], fold=0), of(again, fold=0))


def test_a_binary_task_learns_from_times_where_it_has_a_weight(store: Store, tmp_path: Path) -> None:
    """Later events, all beyond the horizon, change no label at it."""
    frame = store.patients
    late = np.flatnonzero(frame["os_time_days"].to_numpy(np.float64) > HORIZON)
    for weight, matters in ((0.0, False), (0.3, True)):
        whole = plan(store, "shared_ridge", {"time_weight": weight}, tasks=[EARLY], only_folds=[0])
        rows = np.setdiff1d(late, np.concatenate([who_is_tested(whole, 0, c) for c in "ABC"]))
        changed = changed_store(store, "os_event", rows.tolist(), 1.0)
        pair = [survival(e, "A") for e in (whole, Evaluation(changed, whole.config, None, tmp_path))]
        # the calibration's bins and labels are those of the task alone
        assert same(*pair) != matters


# A share of the labels --------------------------------------------------------------------------------------


HALF = 0.6  # half of the labels and a little more, so that enough train
DRAWN: dict[str, Any] = {"folds": None, "fold_count": 5, "only_folds": [0]}


def labelled(evaluation: Evaluation, cohort: str, share: float) -> Indices:
    (fit,) = [f for f in evaluation.fits if f.folds[0].cohort == cohort and f.share == share]
    return fit.folds[0].labelled


def test_no_label_outside_the_share_matters(store: Store, tmp_path: Path) -> None:
    """Another label of the second endpoint does not change who is drawn."""
    whole = plan(store, "shared_ridge", WITH_PFI, shares=[HALF, 1.0], **DRAWN)
    everybody, drawn = (labelled(whole, "B", share) for share in (1.0, HALF))
    has = ~store.patients["pfi_time_days"].isna().to_numpy()
    without = np.setdiff1d(everybody, drawn)
    assert len(without) > 8
    before = survival(whole, "A")
    for patients, matters in ((without, False), (drawn, True)):
        changed = other_labels(store, patients[has[patients]], ["pfi"])
        evaluation = Evaluation(changed, whole.config, None, tmp_path)
        np.testing.assert_array_equal(labelled(evaluation, "B", HALF), drawn)
        after = survival(evaluation, "A")
        share = [of_share(table, whole, HALF) for table in (before, after)]
        assert same(*share) != matters
        assert not same(*(of_share(table, whole, 1.0) for table in (before, after)))


def of_share(table: pd.DataFrame, evaluation: Evaluation, share: float) -> pd.DataFrame:
    """Of a table in which the shares follow each other for each patient."""
    shares = evaluation.settings.shares
    position = table.groupby(level=list(range(table.index.nlevels))).cumcount()
    return table[(position == shares.index(share)).to_numpy()]


def test_times_of_a_binary_task_keep_to_the_share(store: Store, tmp_path: Path) -> None:
    whole = plan(store, "shared_ridge", {"time_weight": 0.5}, tasks=[EARLY], shares=[HALF], **DRAWN)
    before = survival(whole, "A")
    time = store.patients["os_time_days"].to_numpy(np.float64)
    (full,) = [f for f in whole.plan.folds["early", 0] if f.cohort == "C"]
    drawn = labelled(whole, "C", HALF)
    outside = np.setdiff1d(full.labelled, drawn)
    for patients, matters in ((outside, False), (drawn, True)):
        late = patients[time[patients] > HORIZON]
        assert len(late) > 2
        flag = store.patients["os_event"].to_numpy(np.float64).copy()
        flag[late] = 1 - flag[late]
        changed = replace(store, patients=store.patients.assign(os_event=flag))
        evaluation = Evaluation(changed, whole.config, None, tmp_path)
        np.testing.assert_array_equal(labelled(evaluation, "C", HALF), drawn)
        assert same(before, survival(evaluation, "A")) != matters


def test_who_serves_another_endpoint_alone_is_drawn_by_the_share(store: Store, tmp_path: Path) -> None:
    """Of patients without `os`, whose `pfi` serves, as many count as of the labels."""
    frame = store.patients
    only_pfi = frame["os_time_days"].isna() & ~frame["pfi_time_days"].isna()
    whole = plan(store, "shared_ridge", WITH_PFI, shares=[HALF], **DRAWN)
    before = survival(whole, "A")
    able = np.flatnonzero(only_pfi)
    assert len(able) > 12
    count = 0
    for patient in able:
        changed = other_labels(store, np.array([patient]), ["pfi"])
        count += not same(before, survival(Evaluation(changed, whole.config, None, tmp_path), "A"))
    assert count == round(HALF * len(able))


# Folds of other kinds ---------------------------------------------------------------------------------------


EXTERNAL: dict[str, Any] = {"external": [{"train": ["A", "C"], "test": "B"}], "folds": None}


@pytest.mark.parametrize("method", ["block_ridge", "shared_ridge", "ridge_average"])
def test_a_cohort_without_labels_is_scored(method: str, store: Store, tmp_path: Path) -> None:
    """External validation: no label of the tested cohort, and no feature of its patients, is learned from."""
    whole = plan(store, method, WITH_PFI if method != "block_ridge" else {}, **EXTERNAL)
    before = survival(whole)
    rows = np.flatnonzero((cohorts(store) == "B") & ~store.patients["os_time_days"].isna().to_numpy())
    assert set(of(before, pattern="all").index.get_level_values("patient_id")) == set(names(store, rows))
    assert np.isfinite(before.to_numpy()).all()
    assert of(before, pattern="all")["survival_2"].nunique() == len(rows)
    half = rows[::2]
    everyone = np.flatnonzero(cohorts(store) == "B")
    changed = other_labels(with_features(store, tmp_path / "store", half), everyone)
    after = survival(Evaluation(changed, whole.config, None, tmp_path))
    others = names(store, rows[1::2])
    assert same(of(before, patient_id=others), of(after, patient_id=others))
    changed = other_labels(store, np.flatnonzero(cohorts(store) == "C"))
    after = survival(Evaluation(changed, whole.config, None, tmp_path))
    assert not same(before, after)


@pytest.mark.parametrize("method", ["shared_ridge", "ridge_average"])
def test_a_cohort_is_scored_by_the_labels_of_others_alone(method: str, store: Store, tmp_path: Path) -> None:
    """With `train_on: others` its own labels change nothing; those of others, and its features, do."""
    tasks = [OS, EARLY]
    before = survival(plan(store, method, tasks=tasks, train_on=["others"]), "A")
    assert before.notna().to_numpy().any()
    mine = np.flatnonzero(cohorts(store) == "A")
    flags = 1.0 - store.patients["os_event"].to_numpy(dtype=np.float64)[mine]
    own = changed_store(store, "os_event", mine.tolist(), flags)
    known = own.patients["os_event"].notna() & store.patients["os_event"].notna()
    assert (own.patients["os_event"] != store.patients["os_event"])[known].any()
    after = survival(plan(own, method, tasks=[OS], train_on=["others"]), "A")
    survived = before[before.index.get_level_values("task") == "os"].dropna(axis=1, how="all")
    pd.testing.assert_frame_equal(after.dropna(axis=1, how="all"), survived)

    theirs = np.flatnonzero(cohorts(store) == "B")
    flags = 1.0 - store.patients["os_event"].to_numpy(dtype=np.float64)[theirs]
    other = changed_store(store, "os_event", theirs.tolist(), flags)
    changed = survival(plan(other, method, tasks=[OS], train_on=["others"]), "A")
    assert np.nanmax(np.abs(changed.to_numpy() - after.to_numpy())) > 1e-6


def test_methods_that_need_labels_of_their_own_are_not_fitted_on_others(store: Store) -> None:
    evaluation = plan(store, ["block_ridge", "shared_ridge"], train_on=["everyone", "others"])
    found = {(fit.method, fit.train_on) for fit in evaluation.fits}
    assert found == {("block_ridge", "everyone"), ("shared_ridge", "everyone"), ("shared_ridge", "others")}


def test_folds_by_site_set_everybody_of_a_tested_site_aside(store: Store, tmp_path: Path) -> None:
    whole = plan(store, "block_ridge", tasks=[OS], splits="sites", folds=None)
    frame = store.patients
    place = (frame["cohort"] + "/" + frame["site"]).to_numpy(dtype=str)
    for number in (0, 1):
        for fold in (f for f in whole.plan.folds["os", 0] if f.fold == number):
            tests = np.concatenate([who_is_tested(whole, number, cohort) for cohort in "ABC"])
            expected = [i for i in range(len(frame)) if place[i] in set(place[tests])]
            found = whole.plan.set_aside(0, fold)
            np.testing.assert_array_equal(found, expected)
            assert len(found) > len(tests)
    whole = plan(store, "block_ridge", splits="sites", folds=None)
    before = survival(whole, "A")
    fold = whole.plan.folds["os", 0][0]
    silent = np.setdiff1d(
        whole.plan.set_aside(0, fold), np.concatenate([who_is_tested(whole, 0, c) for c in "ABC"])
    )
    assert frame["os_time_days"].iloc[silent].isna().all()
    changed = with_features(store, tmp_path / "store", silent)
    after = survival(Evaluation(changed, whole.config, None, tmp_path), "A")
    assert same(of(before, fold=0), of(after, fold=0))
    assert not same(of(before, fold=1), of(after, fold=1))


def test_given_folds_set_aside_whom_they_test_alone(store: Store) -> None:
    whole = plan(store, "block_ridge", tasks=[OS, PFI], splits="sites")
    for fold in whole.plan.folds["os", 0]:
        expected = np.concatenate([who_is_tested(whole, fold.fold, cohort) for cohort in "ABC"])
        np.testing.assert_array_equal(whole.plan.set_aside(0, fold), np.sort(expected))


# Predictions ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", EVERY)
def test_every_pattern_gives_survival_that_falls(method: str, store: Store) -> None:
    whole = plan(store, method, tasks=[OS, EARLY])
    table = survival(whole)
    found = table.to_numpy()
    binary = (table.index.get_level_values("task") == "early")[:, None] & (np.arange(found.shape[1]) > 0)
    np.testing.assert_array_equal(np.isnan(found), np.broadcast_to(binary, found.shape))
    known = found[~np.isnan(found)]
    assert ((known >= 0) & (known <= 1)).all()
    assert (np.diff(of(table, task="os").to_numpy(), axis=1) <= 0).all()
    seen: Flags = store.observed()
    ids = store.patients["patient_id"].tolist()
    for pattern, keep in whole.data.patterns.items():
        rows = of(table, task="os", pattern=pattern).index.get_level_values("patient_id")
        left = np.logical_or.reduce(seen & np.array(keep), axis=1)
        expected = {ids[i] for f in whole.plan.folds["os", 0] for i in f.test if left[i]}
        assert set(rows) == expected


def test_a_pattern_is_as_if_the_patient_lacked_the_rest(store: Store) -> None:
    """With covariates out of it, whoever has no image is scored alike with and without it."""
    table = survival(plan(store, "shared_ridge"))
    seen = store.observed()
    without = names(store, np.flatnonzero(~seen[:, 0]))
    both = [of(table, pattern=name, patient_id=without).droplevel("pattern") for name in ("all", "-image")]
    np.testing.assert_allclose(both[0].to_numpy(), both[1].to_numpy(), rtol=1e-9)
    has = names(store, np.flatnonzero(np.logical_and.reduce(seen, axis=1)))
    both = [of(table, pattern=name, patient_id=has).droplevel("pattern") for name in ("all", "-image")]
    assert (both[0].to_numpy()[:, 0] != both[1].to_numpy()[:, 0]).all()


def median_spread(table: pd.DataFrame) -> float:
    """Of the log cumulative hazard at the end of the second bin, over folds."""
    line = table["survival_2"].map(lambda chance: np.log(-np.log(chance)))
    return float(line.groupby(level=["cohort", "fold"]).std().median())


def test_curves_are_calibrated_on_scores_of_patients_who_did_not_shape_them(store: Store) -> None:
    """Weights that fit noise promise nothing: survival is nearly the same for everybody."""
    frame = store.patients.copy()
    for cohort in "ABC":
        rows = np.flatnonzero((cohorts(store) == cohort) & ~frame["os_time_days"].isna().to_numpy())
        columns = ["os_time_days", "os_event"]
        mixed = np.random.default_rng(1).permutation(rows)
        frame.loc[rows, columns] = frame.loc[mixed, columns].to_numpy()
    table = survival(plan(replace(store, patients=frame), "block_ridge", {"penalty": 0.01}))
    assert median_spread(of(table, pattern="all")) < 0.3
    table = survival(plan(store, "block_ridge"))
    assert median_spread(of(table, pattern="all")) > 0.5


def test_a_source_that_the_cohort_lacks_is_told(store: Store) -> None:
    for settings, name in (({"sizes": {"gene": 3}}, "gene"), ({"word_counts": ["letters"]}, "letters")):
        evaluation = plan(store, "shared_ridge", settings)
        with pytest.raises(
            InputError, match=rf"name {name}, which the cohort lacks; it has tiles, genes, notes"
        ):
            survival(evaluation)
    with pytest.raises(InputError, match="no endpoint 'dss'"):
        survival(plan(store, "shared_ridge", {"endpoints": {"dss": 1.0}}))


# What is done once ------------------------------------------------------------------------------------------


def test_a_second_run_finds_its_parts(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    methods = ["block_ridge", "shared_ridge"]
    first = plan(store, methods, out=tmp_path, cohorts=["A"]).run(progress=False)
    monkeypatch.setattr(grid, "fit_joint", lambda *_: pytest.fail("fitted again"))
    again = plan(store, methods, out=tmp_path, cohorts=["A"])
    assert not again.missing()
    pd.testing.assert_frame_equal(first, again.run(progress=False))
    assert set(first["method"]) == set(methods)
    assert (again.costs()["parameters"] > 10).all()


def parts(evaluation: Evaluation) -> dict[tuple[str, str], str]:
    return {(fit.method, fit.folds[0].cohort): evaluation.part_path(fit).name for fit in evaluation.fits}


def test_a_part_is_named_by_all_that_it_depends_on(store: Store, tmp_path: Path) -> None:
    methods = ["block_ridge", "block_ridge_annotated", "shared_ridge"]
    config = joint_experiment(store, methods)
    before = parts(Evaluation(store, config, None, tmp_path))
    b, c, d = (np.flatnonzero(cohorts(store) == name) for name in "BCD")
    train = b[~store.patients["os_time_days"].iloc[b].isna()]

    def differ(other: Store) -> set[tuple[str, str]]:
        after = parts(Evaluation(other, config, None, tmp_path))
        return {key for key in before if before[key] != after[key]}

    everything, shared = set(before), {("shared_ridge", cohort) for cohort in "ABC"}
    assert len(everything) == 9
    assert differ(store) == set()
    assert differ(with_features(store, tmp_path / "store", d)) == everything
    assert differ(changed_store(store, "x_age", [int(d[0])], 1.0)) == everything
    assert differ(changed_store(store, "cohort", [int(d[0])], "C")) == everything
    labels = differ(changed_store(store, "os_time_days", [int(train[0])], 4321.0))
    assert labels == shared | {(method, "B") for method in methods}
    assert differ(changed_store(store, "pfi_time_days", [int(c[0])], 4321.0)) == set()
    for changes in ({"scale": 0.2}, {"components": 3}, {"impute": True}, {"penalty": 3.0}):
        other = joint_experiment(store, methods, changes)
        after = parts(Evaluation(store, other, None, tmp_path))
        kept = {key for key in before if before[key] == after[key]}
        has_it = everything - {("block_ridge", cohort) for cohort in "ABC"}  # they impute by default
        assert kept == (has_it if "impute" in changes else set())


def test_a_part_of_shared_weights_depends_on_the_other_endpoints_labels(store: Store, tmp_path: Path) -> None:
    config = joint_experiment(store, ["shared_ridge"], WITH_PFI)
    before = parts(Evaluation(store, config, None, tmp_path))
    known = np.flatnonzero(~store.patients["pfi_time_days"].isna().to_numpy() & store.observed().any(axis=1))
    after = parts(Evaluation(other_labels(store, known[:1], ["pfi"]), config, None, tmp_path))
    assert all(before[key] != after[key] for key in before)


@pytest.mark.usefixtures("fresh")
def test_blocks_are_made_once_for_all_who_need_the_same(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[list[int]] = []
    original = BlockRidge.encode

    def counted(self: BlockRidge, population: Population) -> Blocks:
        calls.append(population.training.tolist())
        return original(self, population)

    monkeypatch.setattr(BlockRidge, "encode", counted)
    methods = ["block_ridge", "block_ridge_annotated", "shared_ridge"]
    survival(plan(store, methods, tasks=TASKS), "A")
    assert len(calls) == 4  # a fold each, with annotations, which read more components, or without
    assert calls[0] != calls[1]
    survival(plan(store, "ridge_average", tasks=TASKS), "B")
    survival(plan(store, "block_ridge", {"scale": 0.7, "penalty": 3.0}, tasks=TASKS), "A")
    assert len(calls) == 4
    survival(plan(store, "block_ridge", {"components": 3}, tasks=TASKS), "A")
    assert len(calls) == 6
    other = with_features(store, tmp_path / "store", [0])
    survival(Evaluation(other, joint_experiment(store, ["block_ridge"], tasks=TASKS), None, tmp_path), "A")
    assert len(calls) == 8


def test_what_is_kept_does_not_change_results_and_is_bounded(
    store: Store, fresh: list[Kept[Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    methods = ["block_ridge", "block_ridge_annotated", "shared_ridge"]
    kept = survival(plan(store, methods), "A")
    assert [len(found) for found in fresh] == [4, 4, 6]  # a fold each; with annotations or without; a method
    fewer = forgotten(monkeypatch, most=1)
    assert same(kept, survival(plan(store, methods), "A"))
    assert [len(found) for found in fewer] == [1, 1, 1]


@pytest.mark.usefixtures("fresh")
def test_a_head_over_all_cohorts_is_fitted_once_for_all_of_them(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[int] = []
    original = SharedHead.__call__

    def counted(self: SharedHead, x: Floats, types: Types, labels: Labels, rows: Indices) -> CohortHead:
        calls.append(len(rows))
        return original(self, x, types, labels, rows)

    monkeypatch.setattr(SharedHead, "__call__", counted)
    first = {cohort: survival(plan(store, "shared_ridge"), cohort) for cohort in ("A", "B")}
    assert len(calls) == 2 * 6  # two folds: the head, and those that score the fifths left out
    survival(plan(store, "shared_ridge", {"shared_penalty": 7.0}), "A")
    assert len(calls) == 4 * 6
    forgotten(monkeypatch)
    assert same(first["B"], survival(plan(store, "shared_ridge"), "B"))
    assert len(calls) == 6 * 6


@pytest.mark.usefixtures("fresh")
def test_other_covariates_are_not_taken_for_those_that_were_kept(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Blocks are the same then, designs are not."""
    config = joint_experiment(store, ["block_ridge_annotated", "block_ridge_clinical"])
    age = store.patients["x_age"].to_numpy(np.float64)
    other = replace(store, patients=store.patients.assign(x_age=np.random.default_rng(0).permutation(age)))
    before, after = (survival(Evaluation(s, config, None, tmp_path), "A") for s in (store, other))
    forgotten(monkeypatch)
    assert same(after, survival(Evaluation(other, config, None, tmp_path), "A"))
    for method in config.evaluate.methods:
        assert not same(of(before, method=method), of(after, method=method))

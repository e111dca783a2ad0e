"""Tasks, modes, whom heads are trained on: the downstream protocol on made-up patients."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score, roc_auc_score

from prime.downstream import probe as probe_module
from prime.downstream import supervised as supervised_module
from prime.downstream.grid import Evaluation
from prime.downstream.probe import fit_projection
from prime.errors import InputError
from prime.evaluation.missingness import patterns
from prime.settings.evaluation import EvaluateConfig
from prime.settings.experiment import ExperimentConfig
from prime.splits.evaluation_folds import too_few, training_fold
from prime.splits.folds import Fold
from prime.splits.outcomes import Outcome
from prime.store.store import Store
from tests.made_up import evaluation_settings, planned

HORIZON = 500.0
OS = {"name": "os", "endpoint": "os"}
EARLY = {"name": "early", "endpoint": "os", "horizon_days": HORIZON}
NAMES = list(patterns(["image", "rna", "report"]))


def settings(**changes: Any) -> ExperimentConfig:
    base = {"inits": ["pretrained"], "modes": ["lp"], "bootstrap": 0}
    return evaluation_settings(**{**base, **changes})


def predictions(evaluation: Evaluation) -> pd.DataFrame:
    evaluation.run(progress=False)
    return pd.read_csv(evaluation.out / "predictions.csv")


# A binary task ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def binary(
    evaluation_store: Store, evaluation_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory
) -> Evaluation:
    """A finished evaluation of survival and of death within the horizon."""
    probe = {"components": 3, "ridge": [0.3], "calibrate": False}
    config = settings(tasks=[OS, EARLY], modes=["lp", "ft"], probe=probe)
    config = config.model_copy(update={"evaluate": config.evaluate.model_copy(update={"bootstrap": 20})})
    out = tmp_path_factory.mktemp("binary")
    evaluation = planned(evaluation_store, config, evaluation_checkpoint, out)
    evaluation.run(progress=False)
    return evaluation


def early_rows(binary: Evaluation) -> pd.DataFrame:
    table = pd.read_csv(binary.out / "predictions.csv")
    return table[table["task"] == "early"].dropna(axis=1, how="all")


def truth(store: Store) -> tuple[pd.Series, pd.Series]:
    """The label of each patient by the horizon, and whether it is known, from the table itself."""
    frame = store.patients.set_index("patient_id")
    died = (frame["os_event"] == 1) & (frame["os_time_days"] <= HORIZON)
    return died, died | (frame["os_time_days"] > HORIZON)


def test_labels_are_those_of_the_horizon(binary: Evaluation, evaluation_store: Store) -> None:
    label, known = truth(evaluation_store)
    table = early_rows(binary)
    assert known[table["patient_id"]].all()
    np.testing.assert_array_equal(table["event"] == 1, label[table["patient_id"]])
    cohorts = evaluation_store.patients.set_index("patient_id")["cohort"]
    assert set(table["patient_id"]) == set(known.index[known & cohorts.isin(["A", "B"])])
    later = evaluation_store.patients.set_index("patient_id")["os_event"] == 1
    assert (later & ~label)[table["patient_id"]].any(), "some die after the horizon: negatives"
    assert {"survival_1", "edge_days_1"} <= set(table)
    assert "survival_2" not in table
    assert (table["edge_days_1"] == HORIZON).all()
    np.testing.assert_allclose(table["risk"], -table["survival_1"])


def test_who_is_censored_early_serves_nowhere(binary: Evaluation, evaluation_store: Store) -> None:
    _, known = truth(evaluation_store)
    unknown = np.flatnonzero(~known.to_numpy())
    assert len(unknown) > 20
    for fit in binary.fits:
        for fold in fit.folds:
            used = np.concatenate([fold.train, fold.validation, fold.test])
            assert (len(np.intersect1d(used, unknown)) > 0) == (fit.task.name == "os")
    left_out = binary.manifest()["left_out"]
    assert left_out["early"]["censored within 500 days"] == len(unknown)
    assert "censored within 500 days" not in left_out["os"]


def test_the_probe_is_ridge_logistic_regression(binary: Evaluation, evaluation_store: Store) -> None:
    label, _ = truth(evaluation_store)
    table = early_rows(binary)
    ids = evaluation_store.patients["patient_id"].to_numpy(dtype=object)
    checked = 0
    for fit in binary.fits:
        if fit.mode != "lp" or fit.task.name != "early":
            continue
        cache = binary.networks.embeddings(fit.init, fit.seed, fit.folds)[0]
        for fold in fit.folds:
            blocks = cache.take("all", fold.train)
            projection = fit_projection(blocks, 3, binary.settings.probe.spectrum_power)
            model = LogisticRegression(
                C=1 / (0.3 * len(fold.train)), tol=1e-12, max_iter=1000, solver="newton-cholesky"
            )
            model.fit(projection(blocks).numpy(), label.to_numpy()[fold.train])
            for pattern in ("all", "-rna", "image"):
                chosen = (
                    (table["mode"] == "lp") & (table["pattern"] == pattern) & (table["fold"] == fold.fold)
                )
                mine = table[chosen & (table["cohort"] == fold.cohort)].set_index("patient_id")
                tested = binary.data.tested(fold, pattern)
                features = projection(cache.take(pattern, tested)).numpy()
                found = 1 - mine.loc[ids[tested], "survival_1"]
                np.testing.assert_allclose(found, model.predict_proba(features)[:, 1], rtol=0, atol=1e-6)
                checked += len(tested)
    assert checked > 300


def test_scores_of_a_binary_task(binary: Evaluation) -> None:
    folds = pd.read_csv(binary.out / "folds.csv")
    folds = folds[folds["task"] == "early"]
    assert set(folds["metric"]) == {
        "auroc", "average_precision", "calibration_slope", "calibration_intercept"
    }  # fmt: skip
    table = early_rows(binary)
    checked = 0
    for row in folds[folds["metric"].isin(["auroc", "average_precision"])].itertuples():
        keys = ["init", "mode", "cohort", "fold", "pattern"]
        mine = table[np.logical_and.reduce([table[k] == getattr(row, k) for k in keys])]
        mine = mine[mine["complete"]] if row.test_on == "complete" else mine
        assert (row.n, row.events) == (len(mine), mine["event"].sum())
        if mine["event"].nunique() == 2:
            oracle = roc_auc_score if row.metric == "auroc" else average_precision_score
            assert row.value == pytest.approx(oracle(mine["event"], 1 - mine["survival_1"]), abs=1e-9)
            checked += 1
    assert checked > 50
    summary = pd.read_csv(binary.out / "summary.csv")
    assert {"auroc", "c_index"} <= set(summary[summary["cohort"] == "macro"]["metric"])
    intervals = pd.read_csv(binary.out / "intervals.csv")
    assert set(intervals[intervals["task"] == "early"]["metric"]) == {"auroc_within_fold"}
    assert set(intervals[intervals["task"] == "os"]["metric"]) == {"c_index_within_fold"}


def test_auroc_within_folds_counts_pairs_of_one_fold(binary: Evaluation) -> None:
    intervals = pd.read_csv(binary.out / "intervals.csv")
    table = early_rows(binary)
    wanted = ("lp", "all", "A")
    keys = ["mode", "pattern", "cohort"]
    mine = table[np.logical_and.reduce([table[k] == v for k, v in zip(keys, wanted, strict=True)])]
    won = pairs = 0.0
    for _, part in mine.groupby("fold"):
        positive, negative = (part["risk"][part["event"] == flag].to_numpy() for flag in (1, 0))
        won += (positive[:, None] > negative).sum() + 0.5 * (positive[:, None] == negative).sum()
        pairs += len(positive) * len(negative)
    row = intervals[intervals["task"] == "early"].set_index(keys).loc[wanted]
    assert row["value"] == pytest.approx(won / pairs)


def test_two_tasks_of_one_name_are_refused() -> None:
    with pytest.raises(ValidationError, match="two have the same name"):
        EvaluateConfig.model_validate({"tasks": [OS, {**EARLY, "name": "os"}]})


# Modes ------------------------------------------------------------------------------------------------------


def test_lp_sees_patients_as_they_come_and_lp_missing_what_is_left(
    evaluation_store: Store, evaluation_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The patterns whose rows train heads: "all" alone, each by itself, or all of them together."""
    trained: list[tuple[str, ...]] = []
    original = probe_module.select_and_fit

    def recorded(cache: Any, outcome: Any, folds: Any, config: Any, bins: int, names: list[str]) -> Any:
        trained.append(tuple(names))
        return original(cache, outcome, folds, config, bins, names)

    monkeypatch.setattr(probe_module, "select_and_fit", recorded)
    expected = {
        ("lp", "shared"): {("all",)},
        ("lp", "per_pattern"): {("all",)},
        ("lp_missing", "shared"): {tuple(NAMES)},
        ("lp_missing", "per_pattern"): {(name,) for name in NAMES},
    }
    for (mode, heads), names in expected.items():
        trained.clear()
        config = settings(
            cohorts=["A"], modes=[mode], probe={"components": 3, "ridge": [0.3], "missing_heads": heads}
        )
        out = tmp_path / f"{mode}-{heads}"
        planned(evaluation_store, config, evaluation_checkpoint, out, tmp_path).run(progress=False)
        assert set(trained) == names


def test_modality_dropout_in_ft_missing_alone(
    evaluation_store: Store, evaluation_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rates: list[float] = []
    original = supervised_module.drop_modalities

    def recorded(observed: Any, rate: float, rng: np.random.Generator) -> Any:
        rates.append(rate)
        return original(observed, rate, rng)

    monkeypatch.setattr(supervised_module, "drop_modalities", recorded)
    tuning = {"epochs": 1, "batch_size": 16, "precision": "32-true", "drop_modality": 0.5}
    found: dict[str, pd.DataFrame] = {}
    for mode, expected in (("ft", set()), ("ft_missing", {0.5})):
        rates.clear()
        config = settings(cohorts=["A"], modes=[mode], only_folds=[0], finetune=tuning)
        found[mode] = predictions(planned(evaluation_store, config, evaluation_checkpoint, tmp_path / mode))
        assert set(rates) == expected
    assert np.abs(found["ft"]["risk"] - found["ft_missing"]["risk"]).max() > 1e-4


# Whom heads are trained on ----------------------------------------------------------------------------------


def test_trained_on_complete_patients_tested_on_everyone(
    evaluation_store: Store, evaluation_checkpoint: Path, tmp_path: Path
) -> None:
    config = settings(train_on=["everyone", "complete"])
    evaluation = planned(evaluation_store, config, evaluation_checkpoint, tmp_path)
    complete = evaluation_store.observed().all(axis=1)
    by_whom = {(fit.train_on, fit.folds[0].cohort): fit.folds for fit in evaluation.fits}
    assert len(by_whom) == len(evaluation.fits) == 4
    for cohort in "AB":
        pairs = zip(by_whom["everyone", cohort], by_whom["complete", cohort], strict=True)
        for everyone, chosen in pairs:
            for part in ("train", "validation"):
                mine = getattr(everyone, part)
                np.testing.assert_array_equal(getattr(chosen, part), mine[complete[mine]])
            assert not complete[everyone.train].all()
            np.testing.assert_array_equal(chosen.test, everyone.test)
    table = predictions(evaluation)
    groups = table.groupby("train_on")["patient_id"].apply(set)
    assert groups["everyone"] == groups["complete"]
    ids = evaluation_store.patients["patient_id"]
    assert set(table["patient_id"][table["complete"]]) <= set(ids[complete])
    assert not set(table["patient_id"][~table["complete"]]) & set(ids[complete])
    folds = pd.read_csv(tmp_path / "folds.csv")
    folds = folds[(folds["metric"] == "c_index") & (folds["pattern"] == "all")]
    counts = folds.groupby(["train_on", "test_on"])["n"].sum()
    assert counts["everyone", "everyone"] == counts["complete", "everyone"] == 200
    able = complete & evaluation_store.patients["cohort"].isin(["A", "B"]).to_numpy()
    assert counts["everyone", "complete"] == counts["complete", "complete"] == able.sum()
    risk = {name: part["risk"].to_numpy() for name, part in table.groupby("train_on")}
    assert np.abs(risk["everyone"] - risk["complete"]).max() > 1e-3


def test_smaller_shares_are_nested(
    evaluation_store: Store, evaluation_checkpoint: Path, tmp_path: Path
) -> None:
    config = settings(shares=[1.0, 0.8, 0.6], modes=["lp", "ft"])
    fits = planned(evaluation_store, config, evaluation_checkpoint, tmp_path).fits
    folds: dict[tuple[Any, ...], dict[float, Fold]] = {}
    for fit in fits:
        for fold in fit.folds:
            folds.setdefault((fit.mode, fold.cohort, fold.fold), {})[fit.share] = fold
    assert len(folds) == 2 * 2 * 2
    for one in folds.values():
        for large, small in ((1.0, 0.8), (0.8, 0.6)):
            for part in ("train", "validation"):
                assert set(getattr(one[small], part)) <= set(getattr(one[large], part))
            assert len(one[small].train) < len(one[large].train)
            np.testing.assert_array_equal(one[small].test, one[large].test)
        assert len(one[0.6].train) == pytest.approx(0.6 * len(one[1.0].train), abs=1)
    for key, one in folds.items():  # both modes have the same patients
        for share, fold in one.items():
            np.testing.assert_array_equal(fold.train, folds["lp", *key[1:]][share].train)


def test_too_few_to_train_on_are_listed_and_not_fitted(
    evaluation_store: Store, evaluation_checkpoint: Path, tmp_path: Path
) -> None:
    config = settings(shares=[1.0, 0.3], modes=["lp", "ft"])
    evaluation = planned(evaluation_store, config, evaluation_checkpoint, tmp_path)
    table = predictions(evaluation)
    assert set(table["share"]) == {1.0}
    assert {fit.share for fit in evaluation.fits} == {1.0}
    listed = json.loads((tmp_path / "manifest.json").read_text())["not_fitted"]
    names = [f"os {cohort} fold {k} everyone 0.3 seed 0" for cohort in "AB" for k in (0, 1)]
    assert list(listed) == names
    assert all("13 training patients with" in reason for reason in listed.values())
    none = settings(shares=[0.3])
    with pytest.raises(InputError, match=r"nothing to do.*os A fold 0 everyone 0\.3.*13 training patients"):
        planned(evaluation_store, none, evaluation_checkpoint, tmp_path).run(progress=False)


@pytest.mark.parametrize(
    ("patients", "events", "horizon", "fitted"),
    [
        (20, 4, None, True),
        (19, 4, None, False),
        (20, 3, None, False),
        (20, 20, None, True),  # nobody censored is fine for survival
        (20, 17, 100.0, False),  # three negatives
        (20, 16, 100.0, True),
    ],
)
def test_limits_of_too_few(patients: int, events: int, horizon: float | None, fitted: bool) -> None:
    event = np.arange(40) < events
    outcome = Outcome(np.arange(1.0, 41.0), event, np.ones(40, dtype=bool), {}, horizon)
    fold = Fold("A", 0, np.arange(patients), np.arange(30, 35), np.arange(35, 40))
    assert (too_few(fold, outcome) is None) == fitted
    assert too_few(replace(fold, validation=np.arange(0)), outcome) is not None
    assert too_few(replace(fold, test=np.arange(0)), outcome) is not None


def test_a_whole_share_of_everyone_changes_nothing() -> None:
    outcome = Outcome(np.arange(1.0, 41.0), np.arange(40) % 2 == 0, np.ones(40, dtype=bool), {})
    fold = Fold("A", 0, np.arange(30), np.arange(30, 35), np.arange(35, 40))
    assert training_fold(fold, outcome, np.zeros(40, dtype=bool), "everyone", 1.0, 0) is fold


# Part files -------------------------------------------------------------------------------------------------


def test_part_files_differ_by_task_patients_and_share(
    evaluation_store: Store, evaluation_checkpoint: Path, tmp_path: Path
) -> None:
    config = settings(
        tasks=[OS, EARLY], train_on=["everyone", "complete"], shares=[1.0, 0.9], modes=["lp", "lp_missing"]
    )
    evaluation = planned(evaluation_store, config, evaluation_checkpoint, tmp_path)
    names = [fit.name for fit in evaluation.fits]
    hashes = [evaluation.part_path(fit).stem.rsplit("-", 1)[1] for fit in evaluation.fits]
    assert len(evaluation.fits) == 2 * 2 * 2 * 2 * 2
    assert len(set(names)) == len(set(hashes)) == len(names)
    later = settings(
        tasks=[OS, {**EARLY, "horizon_days": HORIZON + 1}],
        train_on=["everyone", "complete"],
        shares=[1.0, 0.9],
        modes=["lp", "lp_missing"],
    )
    other = planned(evaluation_store, later, evaluation_checkpoint, tmp_path)
    paths = {fit.name: other.part_path(fit) for fit in other.fits}
    same = [fit.task.name for fit in evaluation.fits if evaluation.part_path(fit) == paths.get(fit.name)]
    assert same == ["os"] * 16, "another horizon touches the fits of its own task alone"


def test_lost_parts_and_scores_are_made_again(
    evaluation_store: Store, evaluation_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = settings(tasks=[OS, EARLY])

    def run() -> tuple[bytes, int]:
        evaluation = planned(evaluation_store, config, evaluation_checkpoint, tmp_path)
        todo = len(evaluation.missing())
        evaluation.run(progress=False)
        return (tmp_path / "folds.csv").read_bytes() + (tmp_path / "predictions.csv").read_bytes(), todo

    first, todo = run()
    assert todo == 4
    assert run() == (first, 0)
    parts = sorted(p for p in (tmp_path / "parts").iterdir() if ".scores." not in p.name)
    scores = sorted(p for p in (tmp_path / "parts").iterdir() if ".scores." in p.name)
    assert len(parts) == len(scores) == 4
    parts[0].unlink()
    scores[1].unlink()
    before = parts[1].stat().st_mtime_ns
    assert run() == (first, 2)
    assert parts[1].stat().st_mtime_ns == before, "lost scores need no fit"


def test_costs_of_fits(binary: Evaluation) -> None:
    costs = binary.costs()
    assert len(costs) == len(binary.fits) == 2 * 2 * (1 + 2)
    assert (costs["seconds"] > 0).all()
    assert (costs["peak_bytes"] > 1e6).all()
    network, _ = binary.networks.network("pretrained", 0, binary.fits[0].folds[0])
    whole = sum(p.numel() for p in network.parameters())
    assert (costs["parameters"] == whole).all()
    probes = costs[costs["mode"] == "lp"]
    assert (probes["trainable_parameters"] < whole / 10).all()
    assert (costs[costs["mode"] == "ft"]["trainable_parameters"] > whole).all()


# Nothing leaks ----------------------------------------------------------------------------------------------


def test_permuted_test_labels_change_no_prediction(
    evaluation_store: Store, evaluation_checkpoint: Path, tmp_path: Path
) -> None:
    """With given folds, permuting times and events of the tested patients moves no curve and no edge."""
    frame = evaluation_store.patients
    rows = [f"{p},{c},{i % 2}" for i, (p, c) in enumerate(zip(frame.patient_id, frame.cohort, strict=True))]
    (tmp_path / "folds.csv").write_text("\n".join(["patient_id,cohort,fold", *rows]) + "\n")
    config = settings(
        tasks=[OS, EARLY], folds=str(tmp_path / "folds.csv"), cohorts=["A"], only_folds=[0],
        modes=["lp", "lp_missing", "ft", "ft_missing"], inits=["pretrained", "scratch"],
    )  # fmt: skip
    _, known = truth(evaluation_store)  # permuted among these, so that the same patients can be labelled
    tested = np.flatnonzero((frame["cohort"] == "A") & (np.arange(300) % 2 == 0) & known.to_numpy())
    mixed = frame.copy()
    order = np.random.default_rng(0).permutation(tested)
    for column in ("os_time_days", "os_event"):
        mixed.loc[tested, column] = frame[column].to_numpy()[order]
    tables = [
        predictions(planned(store, config, evaluation_checkpoint, tmp_path / str(number)))
        for number, store in enumerate((evaluation_store, replace(evaluation_store, patients=mixed)))
    ]
    outcome = ["event", "time_days"]
    for task in ("os", "early"):
        one, other = (table[table["task"] == task] for table in tables)
        assert set(one["mode"]) == {"lp", "lp_missing", "ft", "ft_missing"}
        assert (one["event"] != other["event"]).any()
    pd.testing.assert_frame_equal(tables[0].drop(columns=outcome), tables[1].drop(columns=outcome))


def test_permuted_training_labels_do_change_predictions(
    evaluation_store: Store, evaluation_checkpoint: Path, tmp_path: Path
) -> None:
    """The test above can fail: the same change to trained patients moves predictions."""
    frame = evaluation_store.patients
    rows = [f"{p},{c},{i % 2}" for i, (p, c) in enumerate(zip(frame.patient_id, frame.cohort, strict=True))]
    (tmp_path / "folds.csv").write_text("\n".join(["patient_id,cohort,fold", *rows]) + "\n")
    config = settings(tasks=[OS, EARLY], folds=str(tmp_path / "folds.csv"), cohorts=["A"], only_folds=[0])
    _, known = truth(evaluation_store)
    trained = np.flatnonzero((frame["cohort"] == "A") & (np.arange(300) % 2 == 1) & known.to_numpy())
    mixed = frame.copy()
    for column in ("os_time_days", "os_event"):
        mixed.loc[trained, column] = frame[column].to_numpy()[np.roll(trained, 3)]
    tables = [
        predictions(planned(store, config, evaluation_checkpoint, tmp_path / str(number)))
        for number, store in enumerate((evaluation_store, replace(evaluation_store, patients=mixed)))
    ]
    for task in ("os", "early"):
        one, other = (table[table["task"] == task]["risk"].to_numpy() for table in tables)
        assert np.abs(one - other).max() > 1e-3


# A network that diverges ------------------------------------------------------------------------------------


def compared(grid: list[float], store: Store, out: Path) -> Evaluation:
    """One network of the comparison at these learning rates."""
    config = settings(inits=[], methods=["early"]).model_dump(mode="json")
    points = [{"learning_rate": rate} for rate in grid]
    config["comparison"] |= {"blocks": 1, "epochs": 1, "precision": "32-true", "grid": points}
    return planned(store, ExperimentConfig.model_validate(config), None, out)


def test_a_grid_point_that_diverges_loses_and_is_noted(evaluation_store: Store, tmp_path: Path) -> None:
    evaluation = compared([1e38, 1e-3], evaluation_store, tmp_path)
    evaluation.run(progress=False)
    for chosen in evaluation.costs()["chosen"]:
        for found in json.loads(chosen).values():
            assert found["point"]["learning_rate"] == 1e-3
            assert [point["learning_rate"] for point in found["diverged"]] == [1e38]
            assert len(found["validation_losses"]) == 1
            assert np.isfinite(found["validation_losses"]).all()


def test_a_grid_that_diverges_everywhere_is_one_clear_error(evaluation_store: Store, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"method early, every point of comparison\.grid: .* diverged"):
        compared([1e38, 1e37], evaluation_store, tmp_path).run(progress=False)

"""evaluate(): the tables it writes, what it does again and what not, and what it refuses."""

import json
import os
from collections.abc import Callable
from dataclasses import replace
from io import StringIO
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from lifelines.utils import concordance_index
from rich.console import Console

from prime.commands.evaluation_screen import print_evaluation
from prime.downstream import finetuning as finetuning_module
from prime.downstream import grid as evaluate_module
from prime.downstream import networks as networks_module
from prime.downstream import probe_fits as probes_module
from prime.downstream import scoring as scoring_module
from prime.downstream.grid import Evaluation, evaluate
from prime.downstream.networks import CheckpointTemplate
from prime.errors import InputError
from prime.evaluation.averages import CONSTANT
from prime.evaluation.missingness import patterns
from prime.files import writing_below
from prime.model import checkpoint as checkpoint_module
from prime.settings.experiment import ExperimentConfig
from prime.splits.folds import Fold
from prime.store.store import Store
from tests.made_up import changed_store, evaluation_settings, experiment, planned, write_checkpoint

FOLD_COLUMNS = (
    "method,init,mode,train_on,share,task,cohort,fold,seed,pattern,test_on,metric,value,n,events,pairs,reason"
    ",note"
)
PREDICTION_COLUMNS = (
    "method,init,mode,train_on,share,task,pattern,patient_id,cohort,fold,seed,complete,risk,event,time_days"
)
SURVIVAL_METRICS = {
    "c_index", "ipcw_c_index", "mean_time_dependent_auc", "integrated_brier_score", "calibration_slope",
}  # fmt: skip
TABLES = (
    "predictions.csv", "folds.csv", "summary.csv", "intervals.csv", "differences.csv", "manifest.json",
)  # fmt: skip


def probes(**changes: Any) -> ExperimentConfig:
    return evaluation_settings(**{"modes": ["lp"], "inits": ["pretrained"], **changes})


@pytest.mark.parametrize("name", ["x/../../../evil", "T" * 230, "a\0b", "..", "/etc"])
def test_a_cancer_type_is_no_path(evaluation_store: Store, tmp_path: Path, name: str) -> None:
    frame = evaluation_store.patients.replace({"cohort": {"A": name}})
    store = replace(evaluation_store, patients=frame)
    settings = evaluation_settings(
        modes=["lp"], inits=["scratch"], cohorts=[name], bootstrap=0, fold_count=2, probe={"components": 2}
    )
    with writing_below(tmp_path / "out"):
        folds = evaluate(store, settings, None, tmp_path / "out")
    assert set(folds["cohort"]) == {name}
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    template = CheckpointTemplate(f"{tmp_path}/runs/{{cohort}}")
    fold = Fold(name, 0, *[np.arange(1)] * 3)
    assert Path(os.path.normpath(template(0, fold))).parent == tmp_path / "runs"


def everyone(store: Store) -> list[str]:
    return [str(p) for p in store.patients["patient_id"]]


@pytest.fixture(scope="module")
def finished(
    evaluation_store: Store, evaluation_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The whole grid: two initialisations, two modes, two cohorts, two folds."""
    out = tmp_path_factory.mktemp("evaluation")
    evaluate(evaluation_store, evaluation_settings(), evaluation_checkpoint, out)
    return out


def contents(out: Path) -> dict[str, bytes]:
    return {name: (out / name).read_bytes() for name in TABLES}


def parts(out: Path) -> set[str]:
    """The part files: predictions, without the scores that stand beside them."""
    return {path.name for path in (out / "parts").iterdir() if ".scores." not in path.name}


class Counted:
    """Counts the fits that an evaluation does, and can stop before one of them, as a kill would."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, stop_at: int | None = None) -> None:
        self.done = 0
        original = Evaluation._predictions

        def counted(evaluation: Evaluation, fit: Any, *followed: Any) -> pd.DataFrame:
            if self.done == stop_at:
                raise KeyboardInterrupt
            self.done += 1
            return original(evaluation, fit, *followed)

        monkeypatch.setattr(Evaluation, "_predictions", counted)


def forbid_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise AssertionError("what was finished was done again")

    for module, name in (
        (probes_module, "probe_folds"),
        (finetuning_module, "Finetuning"),
        (networks_module, "embed"),
        (evaluate_module, "score_folds"),
    ):
        monkeypatch.setattr(module, name, fail)


def test_columns_and_files(finished: Path) -> None:
    assert set(TABLES) <= {path.name for path in finished.iterdir()}
    assert not list(finished.rglob(".*"))
    assert (finished / "folds.csv").read_text().splitlines()[0] == FOLD_COLUMNS
    header = (finished / "predictions.csv").read_text().splitlines()[0]
    assert header.startswith(PREDICTION_COLUMNS + ",")
    rest = header.removeprefix(PREDICTION_COLUMNS + ",").split(",")
    bins = len(rest) // 2
    assert rest == [f"{name}_{k + 1}" for k in range(bins) for name in ("edge_days", "survival")]


def test_one_row_for_each_patient_who_has_something_left(finished: Path, evaluation_store: Store) -> None:
    table = pd.read_csv(finished / "predictions.csv")
    observed = evaluation_store.observed()
    frame = evaluation_store.patients
    cohorts = frame["cohort"].to_numpy(dtype=str)
    keys = ["init", "mode", "pattern"]
    groups = dict(iter(table.groupby(keys)))
    allowed = patterns(list(evaluation_store.modalities))
    assert len(groups) == 2 * 2 * len(allowed)
    for (_, _, pattern), part in groups.items():
        able = (observed & np.array(allowed[pattern])).any(axis=1) & np.isin(cohorts, ["A", "B"])
        assert sorted(part["patient_id"]) == sorted(frame["patient_id"][able])
    merged = table.merge(frame, on="patient_id", suffixes=("", "_true"))
    assert len(merged) == len(table)
    assert (merged["event"] == merged["os_event"]).all()
    assert (merged["cohort"] == merged["cohort_true"]).all()
    np.testing.assert_allclose(merged["time_days"], merged["os_time_days"])


def test_risk_is_minus_the_sum_of_survival(finished: Path) -> None:
    table = pd.read_csv(finished / "predictions.csv")
    curves = table[[c for c in table if c.startswith("survival_")]]
    np.testing.assert_allclose(table["risk"], -curves.sum(axis=1), rtol=1e-9)
    edges = table[[c for c in table if c.startswith("edge_days_")]].to_numpy()
    bins = curves.notna().sum(axis=1).to_numpy()
    assert np.isinf(edges[np.arange(len(edges)), bins - 1]).all()
    steps = np.diff(edges, axis=1)
    assert (np.isnan(steps) | (steps > 0)).all()


def test_concordance_of_the_folds_table(finished: Path) -> None:
    folds = pd.read_csv(finished / "folds.csv")
    table = pd.read_csv(finished / "predictions.csv")
    keys = ["method", "init", "mode", "train_on", "share", "task", "cohort", "fold", "seed", "pattern"]
    assert not folds.duplicated([*keys, "test_on", "metric"]).any()
    assert set(folds["metric"]) == SURVIVAL_METRICS
    assert (folds["reason"].notna() == folds["value"].isna()).all()
    folds = folds[folds["metric"] == "c_index"]
    assert len(folds) == 2 * 2 * 2 * 2 * 7 * 2
    for row in folds.itertuples():
        mine = table[np.logical_and.reduce([table[k] == getattr(row, k) for k in keys])]
        mine = mine[mine["complete"]] if row.test_on == "complete" else mine
        assert (row.n, row.events) == (len(mine), mine["event"].sum())
        try:
            expected = concordance_index(mine["time_days"], -mine["risk"], mine["event"])
        except ZeroDivisionError:
            expected = np.nan
        assert row.value == pytest.approx(expected, abs=1e-9, nan_ok=True)
    assert folds["value"].notna().mean() > 0.9


def test_summary_intervals_and_manifest(finished: Path) -> None:
    folds = pd.read_csv(finished / "folds.csv")
    summary = pd.read_csv(finished / "summary.csv")
    chosen = (summary["metric"] == "c_index") & (summary["test_on"] == "everyone")
    calibrated = summary[(summary["metric"] == "d_calibration_p") & (summary["cohort"] == "macro")]
    assert len(calibrated) == 2 * 2 * 7 * 2
    assert calibrated["mean"].isna().all()
    assert calibrated["compatible"].between(0, calibrated["n_cohorts"]).all()
    summary = summary[chosen].set_index(["init", "mode", "pattern", "cohort"])
    mine = folds[(folds["init"] == "scratch") & (folds["mode"] == "ft") & (folds["pattern"] == "all")]
    mine = mine[(mine["metric"] == "c_index") & (mine["test_on"] == "everyone")]
    means = mine.groupby("cohort")["value"].mean()
    assert summary.loc[("scratch", "ft", "all", "A"), "fold_mean"] == pytest.approx(means["A"])
    assert summary.loc[("scratch", "ft", "all", "macro"), "fold_mean"] == pytest.approx(means.mean())
    intervals = pd.read_csv(finished / "intervals.csv")
    assert len(intervals) == 2 * 2 * 2 * 7
    pooled = intervals.set_index(["init", "mode", "pattern", "cohort"])["value"].sort_index()
    shared = summary.loc[pooled.index, "mean"]
    assert shared.tolist() == pytest.approx(pooled.tolist(), nan_ok=True), "pairs within folds, pooled"
    assert len(set(shared)) > 20
    macro = summary.loc[("scratch", "ft", "all", "macro"), "mean"]
    assert macro == pytest.approx(pooled["scratch", "ft", "all"].mean())
    usable = intervals[intervals["low"].notna()]
    assert len(usable) > 0
    assert (usable["low"] <= usable["high"]).all()
    manifest = json.loads((finished / "manifest.json").read_text())
    assert manifest["config"]["evaluate"]["fold_count"] == 2
    assert manifest["test_patients"] == 200
    assert manifest["left_out"]["os"]["excluded by the clinical table"] == 0
    assert manifest["not_fitted"] == {}
    assert set(manifest["hashes"]["store"]) == {"tiles", "genes", "words"}


def test_every_two_ways_are_compared(finished: Path) -> None:
    pairs = pd.read_csv(finished / "differences.csv")
    ways = [f"prime {init} {mode}" for init in ("pretrained", "scratch") for mode in ("lp", "ft")]
    assert len(pairs) == 6
    assert {frozenset(pair) for pair in zip(pairs["a"], pairs["b"], strict=True)} == {
        frozenset(pair) for pair in combinations(ways, 2)
    }
    summary = pd.read_csv(finished / "summary.csv").query("cohort == 'macro' and metric == 'c_index'")
    summary = summary[(summary["pattern"] == "all") & (summary["test_on"] == "everyone")]
    means = {f"prime {row.init} {row.mode}": row.mean for row in summary.itertuples()}
    for row in pairs.itertuples():
        assert row.difference == pytest.approx(means[row.a] - means[row.b])
        assert row.low <= row.difference <= row.high
        assert (row.folds, row.task, row.share) == (4, "os", 1.0)
        assert 0 < row.wilcoxon_p <= 1


def test_a_method_with_too_few_to_train_on_is_told(evaluation_store: Store, tmp_path: Path) -> None:
    """Of twenty patients, enough for the fold, some have no image."""
    config = scratch(cohorts=["A"], inits=[], methods=["image_only"], shares=[0.46])
    evaluate(evaluation_store, config, None, tmp_path)
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    assert manifest["not_fitted"] == {}
    assert list(manifest["constant"]) == ["image_only os A fold 0 everyone 0.46 seed 0"]
    assert "training patients with" in manifest["constant"]["image_only os A fold 0 everyone 0.46 seed 0"]
    folds = pd.read_csv(tmp_path / "folds.csv")
    assert (folds["note"] == CONSTANT).all()
    assert set(folds.loc[folds["metric"] == "c_index", "value"]) == {0.5}
    screen = StringIO()
    print_evaluation(tmp_path, Console(file=screen, width=80))
    assert "0.500 (constant)" in screen.getvalue()
    assert "Not fitted, so that everybody has the same risk (1):" in screen.getvalue()


def test_the_folds_are_saved_and_serve_again(
    finished: Path, evaluation_store: Store, evaluation_checkpoint: Path, tmp_path: Path
) -> None:
    saved = finished / "splits" / "os-seed0.json"
    changes: dict[str, Any] = {"folds": str(saved), "modes": ["lp"], "inits": ["pretrained"]}
    evaluate(evaluation_store, evaluation_settings(**changes), evaluation_checkpoint, tmp_path)
    again, first = (pd.read_csv(out / "predictions.csv") for out in (tmp_path, finished))
    first = first[(first["mode"] == "lp") & (first["init"] == "pretrained")].reset_index(drop=True)
    pd.testing.assert_frame_equal(again, first)


def test_no_bootstrap_no_intervals(
    evaluation_store: Store, evaluation_checkpoint: Path, tmp_path: Path
) -> None:
    evaluate(evaluation_store, probes(bootstrap=0, cohorts=["A"]), evaluation_checkpoint, tmp_path)
    assert (tmp_path / "summary.csv").is_file()
    assert not (tmp_path / "intervals.csv").exists()
    assert not (tmp_path / "differences.csv").exists()


def test_a_second_run_does_nothing_again(
    finished: Path, evaluation_store: Store, evaluation_checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = contents(finished)
    forbid_fits(monkeypatch)
    folds = evaluate(evaluation_store, evaluation_settings(), evaluation_checkpoint, finished)
    assert contents(finished) == before
    assert len(folds) == len(pd.read_csv(finished / "folds.csv"))


def test_two_runs_agree(
    finished: Path, evaluation_store: Store, evaluation_checkpoint: Path, tmp_path: Path
) -> None:
    """A run of one cohort and fold from the start gives the same predictions as the whole grid."""
    evaluate(
        evaluation_store,
        evaluation_settings(cohorts=["B"], only_folds=[1], modes=["ft"]),
        evaluation_checkpoint,
        tmp_path,
    )
    found = pd.read_csv(tmp_path / "predictions.csv")
    table = pd.read_csv(finished / "predictions.csv")
    expected = table[(table["mode"] == "ft") & (table["cohort"] == "B") & (table["fold"] == 1)]
    assert len(found) == len(expected) > 0
    np.testing.assert_allclose(found["risk"], expected["risk"], atol=1e-6)


def test_killed_between_fits_resumes(
    finished: Path,
    evaluation_store: Store,
    evaluation_checkpoint: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with monkeypatch.context() as patch:
        killed = Counted(patch, stop_at=4)
        with pytest.raises(KeyboardInterrupt):
            evaluate(evaluation_store, evaluation_settings(), evaluation_checkpoint, tmp_path)
        assert killed.done == len(parts(tmp_path)) == 4
        assert not (tmp_path / "folds.csv").exists()
    rest = Counted(monkeypatch)
    evaluate(evaluation_store, evaluation_settings(), evaluation_checkpoint, tmp_path)
    assert rest.done == len(parts(tmp_path)) - 4 == 8
    assert contents(tmp_path) == contents(finished)


CHANGES: dict[str, tuple[dict[str, Any], int]] = {
    "nothing": ({}, 0),
    "bootstrap": ({"bootstrap": 5}, 0),
    "probe": ({"probe": {"components": 2}}, 2),
    "fine-tuning": ({"finetune": {"epochs": 2, "batch_size": 16, "precision": "32-true"}}, 2),
    "alpha": ({"finetune": {"epochs": 1, "batch_size": 16, "precision": "32-true", "alpha": 0.5}}, 2),
    "bins": ({"bins": 3}, 4),
    "one cohort fewer": ({"cohorts": ["A"]}, 0),
    "a seed more": ({"seeds": [0, 1]}, 4),
}


@pytest.fixture(scope="module")
def scratch_run(evaluation_store: Store, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("scratch")
    evaluate(evaluation_store, scratch(), None, out)
    return out


def scratch(**changes: Any) -> ExperimentConfig:
    base = {"inits": ["scratch"], "only_folds": [0], "bootstrap": 0}
    return evaluation_settings(**{**base, **changes})


def still_to_do(store: Store, config: ExperimentConfig, checkpoint: Path | None, out: Path) -> int:
    """How many fits an evaluation would do, without doing them."""
    return len(planned(store, config, checkpoint, out).missing())


@pytest.mark.parametrize(("changes", "again"), CHANGES.values(), ids=[n.replace(" ", "-") for n in CHANGES])
def test_changed_settings_refit_what_they_touch(
    scratch_run: Path, evaluation_store: Store, changes: dict[str, Any], again: int
) -> None:
    assert still_to_do(evaluation_store, scratch(**changes), None, scratch_run) == again


def test_changed_network_scaling_or_data_refit(scratch_run: Path, evaluation_store: Store) -> None:
    wider = scratch().model_copy(update={"model": experiment({"prototypes": 6}).model})
    assert still_to_do(evaluation_store, wider, None, scratch_run) == 4
    assert still_to_do(evaluation_store, scratch().model_copy(update={"clip": 3.0}), None, scratch_run) == 4
    patient = int(np.flatnonzero(evaluation_store.patients["cohort"] == "A")[0])
    later = float(evaluation_store.patients["os_time_days"].iloc[patient]) + 0.01
    store = changed_store(evaluation_store, "os_time_days", [patient], later)
    assert still_to_do(store, scratch(), None, scratch_run) == 2  # the cohort of that patient alone
    genes = evaluation_store.sources["genes"]
    halves = [i % 2 for i in range(genes.dim)]
    regrouped = replace(
        evaluation_store, sources={**evaluation_store.sources, "genes": replace(genes, groups=halves)}
    )
    assert genes.groups != halves
    assert still_to_do(regrouped, scratch(), None, scratch_run) == 4


@pytest.mark.parametrize(
    ("module", "expected"),
    [
        ("prime.downstream.probe", {"lp"}),
        ("prime.downstream.finetuning", {"ft"}),
        ("prime.downstream.supervised", {"ft", "abmil", "snn", "late_ridge"}),
        ("prime.downstream.method_fits", {"abmil", "snn", "late_ridge"}),
        ("prime.methods.networks.abmil", {"abmil"}),
        ("prime.methods.classical.late_ridge", {"late_ridge"}),
        ("prime.model.backbone", {"lp", "ft"}),
        ("prime.splits.outcomes", {"lp", "ft", "abmil", "snn", "late_ridge"}),
        ("prime.downstream.grid", set()),
        ("prime.pretraining.losses", set()),
    ],
)
def test_changed_code_refits_what_depends_on_it(
    evaluation_store: Store, tmp_path: Path, edit_code: Callable[[str], None], module: str, expected: set[str]
) -> None:
    config = scratch(cohorts=["A"], methods=["abmil", "snn", "late_ridge"])
    before, after = ({}, {})
    for paths in (before, after):
        evaluation = planned(evaluation_store, config, None, tmp_path)
        for fit in evaluation.fits:
            paths[fit.mode if fit.ours else fit.method] = evaluation.part_path(fit)
        edit_code(module)
    assert len(before) == 5
    assert {name for name in before if before[name] != after[name]} == expected


def test_changed_code_of_the_metrics_scores_again(
    evaluation_store: Store, tmp_path: Path, edit_code: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    config = scratch(cohorts=["A"], modes=["lp"])
    evaluate(evaluation_store, config, None, tmp_path)
    edit_code("prime.evaluation.metrics")
    evaluation = planned(evaluation_store, config, None, tmp_path)
    assert evaluation.missing() == list(evaluation.fits)
    counted = Counted(monkeypatch)
    evaluation.run(progress=False)
    assert counted.done == 0
    assert evaluation.missing() == []


def test_changed_settings_do_refit(scratch_run: Path, evaluation_store: Store) -> None:
    before = pd.read_csv(scratch_run / "predictions.csv")
    evaluate(evaluation_store, scratch(modes=["lp"], probe={"ridge": [30.0]}), None, scratch_run)
    after = pd.read_csv(scratch_run / "predictions.csv")
    assert set(after["mode"]) == {"lp"}
    before = before[before["mode"] == "lp"]
    assert np.abs(before["risk"].to_numpy() - after["risk"].to_numpy()).max() > 1e-3


def test_changed_weights_refit(evaluation_store: Store, evaluation_checkpoint: Path, tmp_path: Path) -> None:
    evaluate(evaluation_store, probes(cohorts=["A"]), evaluation_checkpoint, tmp_path / "out")
    assert still_to_do(evaluation_store, probes(cohorts=["A"]), evaluation_checkpoint, tmp_path / "out") == 0
    other = write_checkpoint(tmp_path / "other", evaluation_store, [], seed=5)
    assert still_to_do(evaluation_store, probes(cohorts=["A"]), other, tmp_path / "out") == 1


def test_seed_in_the_checkpoint_path(evaluation_store: Store, tmp_path: Path) -> None:
    for seed in (3, 4):
        write_checkpoint(tmp_path / f"run{seed}", evaluation_store, [], seed)
    config = probes(cohorts=["A"], seeds=[3, 4], bootstrap=0)
    both = planned(evaluation_store, config, tmp_path / "run{seed}", tmp_path / "out")
    folds = both.run(progress=False)
    assert set(folds["seed"]) == {3, 4}
    found = pd.read_csv(tmp_path / "out" / "predictions.csv")
    for seed in (3, 4):
        single = probes(cohorts=["A"], seeds=[seed], bootstrap=0)
        alone = planned(evaluation_store, single, tmp_path / f"run{seed}", tmp_path / f"out{seed}")
        alone.run(progress=False)
        expected = pd.read_csv(tmp_path / f"out{seed}" / "predictions.csv")
        mine = found[found["seed"] == seed].reset_index(drop=True)
        pd.testing.assert_frame_equal(mine, expected, check_exact=False)
    (tmp_path / "run4" / "model.safetensors").unlink()
    with pytest.raises(InputError, match="run4"):
        evaluate(evaluation_store, config, tmp_path / "run{seed}", tmp_path / "out")


def test_a_pattern_that_leaves_nobody_has_no_row(
    evaluation_store: Store, evaluation_checkpoint: Path, tmp_path: Path
) -> None:
    """A fold whose tested patients all lack a modality is left out of that pattern, in both modes."""
    frame, observed = evaluation_store.patients, evaluation_store.observed()
    mine = (frame["cohort"] == "A").to_numpy()
    fold = np.where(observed[:, 1] & (np.arange(300) % 4 > 0), 0, np.where(observed[:, 1], 2, 1))
    assert (fold[mine] == 1).sum() > 3  # nobody of fold 1 has rna
    rows = [f"{p},A,{k}" for p, k in zip(frame["patient_id"][mine], fold[mine], strict=True)]
    (tmp_path / "folds.csv").write_text("\n".join(["patient_id,cohort,fold", *rows]) + "\n")
    config = evaluation_settings(folds=str(tmp_path / "folds.csv"), cohorts=["A"], inits=["pretrained"])
    table = evaluate(evaluation_store, config, evaluation_checkpoint, tmp_path / "out")
    for mode in ("lp", "ft"):
        found = table[table["mode"] == mode]
        assert set(found[found["fold"] == 0]["pattern"]) == set(patterns(["image", "rna", "report"]))
        assert set(found["pattern"][found["fold"] == 1]) == {
            "all", "-image", "-rna", "-report", "image", "report"
        }  # fmt: skip


def test_excluded_patients_are_never_tested(
    evaluation_store: Store, evaluation_checkpoint: Path, tmp_path: Path
) -> None:
    out = [int(i) for i in np.flatnonzero(evaluation_store.patients["cohort"] == "A")[:3]]
    store = changed_store(evaluation_store, "excluded", out, True)
    evaluate(store, probes(cohorts=["A"]), evaluation_checkpoint, tmp_path)
    table = pd.read_csv(tmp_path / "predictions.csv")
    assert not set(table["patient_id"]) & set(store.patients["patient_id"].iloc[out])
    assert table["patient_id"].nunique() == 97
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    assert manifest["left_out"]["os"]["excluded by the clinical table"] == 3
    assert manifest["test_patients"] == 97


def protocol(store: Store, config: ExperimentConfig, checkpoint: Path | None, out: Path) -> tuple[str, int]:
    manifest = planned(store, config, checkpoint, out).manifest()
    return manifest["protocol"], manifest["test_patients_seen_unlabelled_in_pretraining"]


def test_inductive_when_pretraining_saw_no_tested_patient(evaluation_store: Store, tmp_path: Path) -> None:
    config = probes(cohorts=["A"], only_folds=[0])
    first = write_checkpoint(tmp_path / "first", evaluation_store, [])
    (fit,) = planned(evaluation_store, config, first, tmp_path).fits
    ids = everyone(evaluation_store)
    tested = [ids[i] for i in fit.folds[0].test]
    others = [p for p in ids if p not in tested]
    clean = write_checkpoint(tmp_path / "clean", evaluation_store, others)
    assert protocol(evaluation_store, config, clean, tmp_path) == ("inductive", 0)
    for name, seen in (("train", [tested[0], *others]), ("validation", [*others, tested[0]])):
        mixed = write_checkpoint(tmp_path / name, evaluation_store, seen)
        assert protocol(evaluation_store, config, mixed, tmp_path) == ("transductive", 1)
    assert protocol(evaluation_store, scratch(), None, tmp_path) == ("inductive", 0)


def test_each_seed_answers_for_its_own_checkpoint(evaluation_store: Store, tmp_path: Path) -> None:
    """Seeds draw their own folds; each checkpoint left out the patients tested with its own seed."""
    config = probes(cohorts=["A"], only_folds=[0], seeds=[0, 1])
    path, ids = tmp_path / "run{seed}", everyone(evaluation_store)
    fits = planned(evaluation_store, config, path, tmp_path).fits
    for fit in fits:
        tested = {ids[i] for fold in fit.folds for i in fold.test}
        others = [p for p in ids if p not in tested]
        write_checkpoint(tmp_path / f"run{fit.seed}", evaluation_store, others, fit.seed)
    assert [fit.seed for fit in fits] == [0, 1]
    assert not np.array_equal(fits[0].folds[0].test, fits[1].folds[0].test)
    assert protocol(evaluation_store, config, path, tmp_path) == ("inductive", 0)


def test_the_manifest_reads_no_weights(
    finished: Path, evaluation_store: Store, evaluation_checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    evaluation = planned(evaluation_store, evaluation_settings(), evaluation_checkpoint, finished)
    assert not evaluation.missing()  # which looks at the weights once, for their hash
    monkeypatch.setattr(checkpoint_module, "load_file", lambda *_: pytest.fail("weights were read"))
    assert evaluation.manifest()["test_patients_seen_unlabelled_in_pretraining"] == 200


def test_predictions_are_read_by_task_and_pattern(
    finished: Path, evaluation_store: Store, evaluation_checkpoint: Path
) -> None:
    evaluation = planned(evaluation_store, evaluation_settings(), evaluation_checkpoint, finished)
    table = pd.read_csv(finished / "predictions.csv")
    for pattern in ("all", "-rna"):
        found = evaluation.predictions("os", pattern)
        expected = table[table["pattern"] == pattern].reset_index(drop=True)
        pd.testing.assert_frame_equal(found[list(expected)], expected, check_exact=False)
        assert list(evaluation.predictions("os", pattern, curves=False)) == PREDICTION_COLUMNS.split(",")


def test_predictions_are_written_a_cohort_at_a_time(
    finished: Path,
    evaluation_store: Store,
    evaluation_checkpoint: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """No more than one cohort and way of training is held, and the files are those of all at once."""
    held: list[tuple[int, int]] = []
    original = scoring_module.cohort_intervals

    def recorded(predictions: pd.DataFrame, replicates: int) -> pd.DataFrame:
        held.append((len(predictions), predictions["fold"].nunique()))
        return original(predictions, replicates)

    whole = pd.read_csv(finished / "predictions.csv")
    monkeypatch.setattr(scoring_module, "cohort_intervals", recorded)
    planned(evaluation_store, evaluation_settings(), evaluation_checkpoint, tmp_path, finished).run(False)
    assert contents(tmp_path) == contents(finished)
    assert [folds for _, folds in held] == [2] * 8
    assert sum(rows for rows, _ in held) == len(whole)
    monkeypatch.undo()
    expected = scoring_module.cohort_intervals(whole, 20)
    assert expected.pop("reason").isna().all()
    found = pd.read_csv(finished / "intervals.csv").drop(columns="reason")
    pd.testing.assert_frame_equal(found, expected, check_exact=False)


def test_pretrained_needs_a_checkpoint(evaluation_store: Store, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="give --checkpoint"):
        evaluate(evaluation_store, evaluation_settings(), None, tmp_path)
    with pytest.raises(InputError, match=r"no model\.safetensors here"):
        evaluate(evaluation_store, evaluation_settings(), tmp_path / "nowhere", tmp_path)


def test_a_checkpoint_of_other_features(
    evaluation_store: Store, evaluation_checkpoint: Path, tmp_path: Path
) -> None:
    modalities = {"image": ["tiles"], "rna": ["genes"]}
    sources = {name: evaluation_store.sources[name] for name in ("tiles", "genes")}
    store = replace(evaluation_store, modalities=modalities, sources=sources)
    with pytest.raises(InputError, match="needs modality 'report'"):
        evaluate(store, probes(), evaluation_checkpoint, tmp_path)


def test_bad_settings_and_data(evaluation_store: Store, evaluation_checkpoint: Path, tmp_path: Path) -> None:
    censored = changed_store(evaluation_store, "os_event", list(range(0, 300, 3)), 0.0)
    (tmp_path / "folds.csv").write_text("patient_id,cohort,fold\nnobody,A,0\np000,A,1\n")
    cases: list[tuple[Store, ExperimentConfig, str]] = [
        (
            evaluation_store,
            probes(tasks=[{"name": "dss", "endpoint": "dss"}]),
            r"no endpoint 'dss' \(task dss\); the cohort has os",
        ),
        (evaluation_store, probes(cohorts=["Z"]), "cohort 'Z': no patient"),
        (censored, probes(), "cohort 'A': all 100 patients are censored"),
        (evaluation_store, probes(folds=str(tmp_path / "folds.csv")), "patient nobody is not in the cohort"),
        (evaluation_store, probes(only_folds=[7]), "nothing to do"),
    ]
    for store, config, words in cases:
        with pytest.raises(InputError, match=words):
            evaluate(store, config, evaluation_checkpoint, tmp_path / "out")
    assert not (tmp_path / "out").exists()

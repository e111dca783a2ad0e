"""Studies from beginning to end: their files and numbers, and going on after a kill."""

import json
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from lifelines.utils import concordance_index
from sklearn.metrics import roc_auc_score

from prime.render import results as results_module
from prime.settings.experiment import ExperimentConfig
from prime.store.store import Store
from prime.study import context as context_module
from prime.study import jobs as jobs_module
from prime.study.arms import ArmWork
from prime.study.context import Context, method_label
from prime.study.jobs import FINISHED
from prime.study.registry import STUDIES, choose

Configure = Callable[..., ExperimentConfig]
Run = Callable[..., Path]
EVERYTHING = [name for name in STUDIES if name != "sweep"]
TABLES = {
    "table1": ["cohorts", "labels_early"],
    "table2": ["methods_os"],
    "table3": ["methods_early"],
    "table4": ["patterns_os", "patterns_early"],
    "table5": ["ablations_os", "ablations_early"],
    "shared_head": ["shared_head_os", "shared_head_early"],
    "figure2": ["risk_groups_os"],
    "figure3": ["label_efficiency_os", "label_efficiency_early"],
    "figure4": ["sweep_bank_os", "sweep_bank_early", "sweep_balance_os", "sweep_balance_early"],
    "parameters": ["parameters"],
    "methods": [],  # no other method is asked for
    "comparison": ["comparison_os", "comparison_early", "mean_ranks"],
    "metrics": ["metrics_os", "metrics_early"],
    "training": ["trained_on_os", "trained_on_early"],
    "protocols": ["pretraining_saw_os", "pretraining_saw_early"],
    "sites": ["splits_os", "splits_early"],
    "same_site": ["same_site_os", "same_site_early"],
    "intervals": ["intervals_os", "intervals_early"],
    "next_test": ["next_test_os"],
    "sweep": ["sweep_model_queries_os", "sweep_model_queries_early"],
}
FIGURES = {
    "table5": ["ablations"],
    "shared_head": ["shared_head"],
    "figure2": ["kaplan_meier_os_within_fold", "kaplan_meier_os_pooled"],
    "figure3": ["label_efficiency"],
    "figure4": ["sweeps"],
    "comparison": ["averages", "ranks"],
    "metrics": ["calibration"],
}
REFERENCE = pd.DataFrame(
    [
        ("Theirs", "os", "A", "all", 0.987),
        ("Theirs", "os", "mean", "all", 0.876),
        ("Theirs", "os", "mean", "image", 0.765),
        ("Theirs", "another_task", "mean", "all", 0.5),
    ],
    columns=["method", "task", "cohort", "pattern", "mean"],
)


@pytest.fixture(scope="module")
def finished(study_config: Configure, run_study: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every study in the quick preset, with another's figures beside, sharing one cache."""
    out = tmp_path_factory.mktemp("study")
    settings = (("model.queries", (3, 2)),)
    return run_study([*EVERYTHING, "sweep"], study_config(), out, reference=REFERENCE, settings=settings)


INITS = ("Pretrained", "Scratch")
SAME = "Pretrained LP = LP+Missing"  # one fit where everything is observed, with a head a pattern


def manifest(out: Path, study: str) -> dict[str, Any]:
    return json.loads((out / study / "manifest.json").read_text(encoding="utf-8"))


def made(out: Path) -> dict[str, int]:
    """Every finished part and pretraining, with its time of writing."""
    paths = [*(out / "cache" / "parts").glob("*"), *(out / "cache" / "pretrained").glob(f"*/{FINISHED}")]
    return {str(path.relative_to(out)): path.stat().st_mtime_ns for path in paths if path.name[0] != "."}


def tables(out: Path, study: str) -> dict[str, bytes]:
    folder = out / study
    return {path.name: path.read_bytes() for path in sorted([*folder.glob("*.csv"), *folder.glob("*.md")])}


# What a study leaves ----------------------------------------------------------------------------------------


def test_every_study_is_tested() -> None:
    assert list(TABLES) == list(STUDIES)
    assert [study.name for study in choose("all")] == EVERYTHING


@pytest.mark.parametrize("study", list(STUDIES))
def test_a_study_leaves_all_its_files(finished: Path, study: str) -> None:
    figures = FIGURES.get(study, [])
    expected = {f"{name}.{suffix}" for name in TABLES[study] for suffix in ("csv", "md", "tex", "json")}
    expected |= {f"{name}.{suffix}" for name in figures for suffix in ("svg", "pdf", "json")}
    assert {path.name for path in (finished / study).iterdir()} == expected | {"manifest.json"}
    facts = manifest(finished, study)
    assert (facts["preset"], facts["seeds"]) == ("quick", [0])
    assert (facts["tables"], facts["figures"]) == (TABLES[study], figures)
    for name in TABLES[study]:
        assert len(pd.read_csv(finished / study / f"{name}.csv"))
        shown = json.loads((finished / study / f"{name}.json").read_text(encoding="utf-8"))
        assert len(shown["rows"]) == len(shown["index"]) > 0
        assert all(len(row) == len(shown["columns"]) for row in shown["rows"])
    for name in figures:
        drawn = json.loads((finished / study / f"{name}.json").read_text(encoding="utf-8"))
        assert drawn["datasets"]["panel0"]


def test_the_manifest_says_what_a_study_rests_on(finished: Path, study_store: Store) -> None:
    facts = manifest(finished, "table5")
    assert [arm["name"] for arm in facts["arms"]][:2] == ["Full method", "Zero tokens for prototypes"]
    assert len(facts["hashes"]["weights"]) == len(facts["arms"])
    for folder, digest in facts["hashes"]["weights"].items():
        assert (finished / "cache" / "pretrained" / folder / FINISHED).read_text() == f"{digest}\n"
    assert facts["hashes"]["store"] == {n: s.sha256 for n, s in study_store.sources.items()}
    assert facts["compute_seconds"] > 0
    assert {arm["protocol"] for arm in manifest(finished, "protocols")["arms"]} == {
        "transductive", "inductive", "leave_cohort_out",
    }  # fmt: skip


def test_folds_that_could_not_be_fitted_are_listed(finished: Path) -> None:
    found = manifest(finished, "figure3")["not_fitted"]
    assert "os A fold 0 everyone 0.1 seed 0" in found
    assert "training patients" in found["os A fold 0 everyone 0.1 seed 0"]
    assert not manifest(finished, "table2")["not_fitted"]


def test_no_state_of_pretraining_is_kept(finished: Path) -> None:
    assert list((finished / "cache" / "pretrained").glob("*/model.safetensors"))
    assert not list((finished / "cache" / "pretrained").glob("*/state.pt"))


# The numbers ------------------------------------------------------------------------------------------------


def fold_values(out: Path, store: Store, config: ExperimentConfig, task: str) -> pd.DataFrame:
    """C-index by lifelines or AUROC by scikit-learn of every fold, and its comparable pairs."""
    rows: list[dict[str, Any]] = []
    for arm in Context(store, config, "quick", protocol="transductive").main_arms():
        found = ArmWork(arm, out / "cache").evaluation.predictions()
        keys = ["init", "mode", "cohort", "fold", "pattern"]
        for key, part in found[found["task"] == task].groupby(keys):
            if task == "os":
                value = concordance_index(part["time_days"], -part["risk"], part["event"])
                pairs = comparable_pairs(part["time_days"].to_numpy(), part["event"].to_numpy() == 1)
            else:
                value = roc_auc_score(part["event"], part["risk"])
                pairs = part["event"].sum() * (1 - part["event"]).sum()
            rows.append({**dict(zip(keys, key, strict=True)), "value": value, "pairs": pairs})
    frame = pd.DataFrame(rows)
    return frame.assign(
        label=[method_label("prime", *key) for key in zip(frame["init"], frame["mode"], strict=True)]
    )


def comparable_pairs(time: np.ndarray, event: np.ndarray) -> int:
    """Of whom it is known who had the event first."""
    pairs = [(i, j) for i in np.flatnonzero(event) for j in range(len(time)) if i != j]
    return sum(time[i] < time[j] or (time[i] == time[j] and not event[j]) for i, j in pairs)


def pooled(folds: pd.DataFrame) -> float:
    return float(np.average(folds["value"], weights=folds["pairs"]))


@pytest.mark.parametrize(("study", "task"), [("table2", "os"), ("table3", "early")])
def test_tables_two_and_three(
    finished: Path, study_store: Store, study_config: Configure, study: str, task: str
) -> None:
    table = pd.read_csv(finished / study / f"methods_{task}.csv").set_index(["label", "cohort"])
    values = fold_values(finished, study_store, study_config(), task)
    values = values[values["pattern"] == "all"]
    values = values[~values["label"].str.endswith("LP+Missing")]
    values = values.replace({"label": {f"{init} LP": f"{init} LP = LP+Missing" for init in INITS}})
    assert values["label"].nunique() == table.index.get_level_values(0).nunique() == 4
    for label, mine in values.groupby("label"):
        means = []
        for cohort, folds in mine.groupby("cohort"):
            found = folds["value"].to_numpy()
            means.append(pooled(folds))
            assert table.loc[(label, cohort), "mean"] == pytest.approx(means[-1])
            assert table.loc[(label, cohort), "fold_mean"] == pytest.approx(found.mean())
            assert table.loc[(label, cohort), "pairs"] == folds["pairs"].sum()
            assert table.loc[(label, cohort), "folds"] == len(found)
            if len(found) > 1:
                assert table.loc[(label, cohort), "std"] == pytest.approx(found.std(ddof=1))
        assert table.loc[(label, "macro"), "mean"] == pytest.approx(np.mean(means))
        assert table.loc[(label, "macro"), "std_cohorts"] == pytest.approx(np.std(means, ddof=1))
    shown = json.loads((finished / study / f"methods_{task}.json").read_text(encoding="utf-8"))
    cells = dict(zip([key[0] for key in shown["index"]], shown["rows"], strict=True))
    average = [column[0] for column in shown["columns"]].index("Avg")
    mean = table.loc[(SAME, "macro"), "mean"]
    assert f"{mean:.3f} ±" in cells[SAME][average]


@pytest.mark.parametrize("task", ["os", "early"])
def test_table_four(finished: Path, study_store: Store, study_config: Configure, task: str) -> None:
    table = pd.read_csv(finished / "table4" / f"patterns_{task}.csv").set_index(["label", "pattern"])
    values = fold_values(finished, study_store, study_config(), task)
    keys = ["label", "pattern"]
    macro = values.groupby([*keys, "cohort"])[["value", "pairs"]].apply(pooled).groupby(keys).mean()
    assert len(macro) == len(table) == 6 * 7
    for key, value in macro.items():
        assert table.loc[key, "mean"] == pytest.approx(value)
    shown = json.loads((finished / "table4" / f"patterns_{task}.json").read_text(encoding="utf-8"))
    assert [column[0] for column in shown["columns"]][-1] == "incomplete"
    rows = dict(zip([key[0] for key in shown["index"]], shown["rows"], strict=True))
    incomplete = macro["Scratch FT"].drop("all").mean()
    assert f"{incomplete:.3f}" in rows["Scratch FT"][-1]


def test_others_figures_are_printed_beside(finished: Path) -> None:
    shown = json.loads((finished / "table2" / "methods_os.json").read_text(encoding="utf-8"))
    columns = [column[0] for column in shown["columns"]]
    rows = dict(zip([key[0] for key in shown["index"]], shown["rows"], strict=True))
    assert columns == ["A", "B", "Avg", "95% interval"]
    assert rows["Theirs"] == ["**0.987**", "-", "**0.876**", "-"]
    assert len(rows) == 5
    patterns = json.loads((finished / "table4" / "patterns_os.json").read_text(encoding="utf-8"))
    theirs = dict(zip([column[0] for column in patterns["columns"]], patterns["rows"][0], strict=True))
    assert patterns["index"][0] == ["Theirs"]
    assert (theirs["all"], theirs["image"]) == ("**0.876**", "**0.765**")
    assert theirs["-image"] == theirs["incomplete"] == "-"
    other = json.loads((finished / "table3" / "methods_early.json").read_text(encoding="utf-8"))
    assert ["Theirs"] not in other["index"]


# Going on ---------------------------------------------------------------------------------------------------


def forbid_work(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise AssertionError("a finished job was done again")

    monkeypatch.setattr(jobs_module, "Pretraining", fail)
    monkeypatch.setattr(jobs_module, "do_fit", fail)


def test_full_adds_only_what_is_new_and_the_same_again_nothing(
    finished: Path, study_config: Configure, run_study: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One seed and small grids, so that full differs from quick by a few arms, and these in few studies."""
    monkeypatch.setattr(context_module, "FULL_SEEDS", (0,))
    monkeypatch.setattr(results_module, "write_figure", lambda *_: None)  # the quick preset drew them all
    before = made(finished)
    names = ["table2", "table5", "figure3", "figure4", "protocols", "sweep"]
    settings = (("model.queries", (3, 2)),)
    run_study(names, study_config(), finished, preset="full", settings=settings)
    after = made(finished)
    assert before.items() < after.items()
    for name in names:
        assert manifest(finished, name)["preset"] == "full"
        for table in TABLES[name]:
            assert len(pd.read_csv(finished / name / f"{table}.csv"))
    labels = set(pd.read_csv(finished / "figure3" / "label_efficiency_os.csv")["label"])
    assert labels == {"Pretrained LP", "Scratch LP", "Pretrained FT", "Scratch FT"}
    known = {name: tables(finished, name) for name in names}
    forbid_work(monkeypatch)
    run_study(names, study_config(), finished, preset="full", settings=settings)
    assert {name: tables(finished, name) for name in names} == known
    assert made(finished) == after


def test_more_seeds_redo_only_the_new_ones(finished: Path, study_config: Configure, run_study: Run) -> None:
    before = made(finished)
    run_study("training", study_config(seeds=[0, 1]), finished, preset="full")
    after = made(finished)
    assert before.items() < after.items()
    new = {name for name in after if name not in before}
    assert all("seed1" in name for name in new if "parts" in name)
    assert sum("pretrained/" in name for name in new) == 1
    assert manifest(finished, "training")["seeds"] == [0, 1]
    table = pd.read_csv(finished / "training" / "trained_on_os.csv")
    assert set(table["seeds"]) == {2}
    assert table["std_seeds"].notna().any()


SCRIPT = """
import sys
from io import StringIO
from pathlib import Path
import torch
from rich.console import Console
from prime.store.store import Store
from prime.study.context import Context
from prime.job_pool import JobPool
from prime.study.registry import STUDIES
from prime.study.run import run_studies
from prime.pretraining import loop as pretrain
from prime.settings.experiment import ExperimentConfig
torch.set_num_threads(1)
pretrain.plot_curves = lambda *_: None
store, config, out, name = sys.argv[1:]
settings = ExperimentConfig.model_validate_json(config)
context = Context(Store.open(store), settings, "quick", protocol="transductive")
print("started", flush=True)
run_studies([STUDIES[name]], context, Path(out), JobPool(), "prime study", Console(file=StringIO()))
"""


def kill_after(files: int, out: Path, store: Store, config: ExperimentConfig, study: str) -> None:
    """Start a study in a process of its own and kill it a moment after it has finished so many jobs more."""
    words = [sys.executable, "-c", SCRIPT, str(store.path), config.model_dump_json(), str(out), study]
    wanted = len(made(out)) + files
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "started\n"
        while len(made(out)) < wanted and process.poll() is None:
            time.sleep(0.005)
        time.sleep(random.uniform(0.0, 0.2))
        process.kill()
        assert process.wait() == -signal.SIGKILL, "killed before its end"


def test_a_killed_study_goes_on(
    finished: Path, study_store: Store, study_config: Configure, run_study: Run, tmp_path: Path
) -> None:
    """Killed in pretraining and in the fits, then run to the end: the same bytes, nothing done twice."""
    config = study_config(modes=["lp"])
    seen: dict[str, int] = {}
    for files in (1, 7):
        kill_after(files, tmp_path, study_store, config, "protocols")
        now = made(tmp_path)
        assert seen.items() <= now.items(), "what was finished before the kill is still as it was"
        assert len(now) >= len(seen) + files
        seen = now
    run_study("protocols", config, tmp_path)
    assert seen.items() <= made(tmp_path).items()
    run_study("protocols", config, finished)  # the full preset may have been there before
    assert tables(tmp_path, "protocols") == tables(finished, "protocols")
    names = {Path(name).name for name in made(tmp_path) if "parts" in name}
    assert names <= {Path(name).name for name in made(finished)}, "the weights are the same, to the last bit"

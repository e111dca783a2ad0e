"""Mistakes in experiments (settings, folds, checkpoints): one clear error each, and nothing half-written."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

from prime.cli import main
from prime.demo.simulate import simulate

SMALL = {
    "cohort": "cohort/cohort.yaml",
    "store": "store",
    "model": {
        "dim": 16, "queries": 2, "heads": 2, "blocks": 2, "experts": 2, "top_k": 1, "prototypes": 4,
        "projection_dim": 8,
    },
    "pretrain": {"epochs": 1, "batch_size": 16, "precision": "32-true", "top_k": 2},
    "evaluate": {
        "fold_count": 2, "modes": ["lp"], "bootstrap": 0,
        "probe": {"components": 4}, "finetune": {"epochs": 1, "precision": "32-true"},
    },
}  # fmt: skip


@dataclass(frozen=True)
class Workplace:
    """A small cohort of two vector sources, an experiment file, and one finished pretraining run."""

    folder: Path
    run: Path

    @property
    def config(self) -> Path:
        return self.folder / "experiment.yaml"

    def settings(self, change: Callable[[dict[str, Any]], object]) -> Path:
        """Write a changed experiment file and return its path."""
        value = yaml.safe_load(self.config.read_text(encoding="utf-8"))
        change(value)
        path = self.folder / "changed.yaml"
        path.write_text(yaml.safe_dump(value, sort_keys=False), encoding="utf-8")
        return path

    def folds(self, change: Callable[[pd.DataFrame], pd.DataFrame]) -> Path:
        """Write a changed folds file, and return an experiment file that names it."""
        clinical = pd.read_csv(self.folder / "cohort" / "clinical.csv")
        table = pd.DataFrame({"patient_id": clinical["patient_id"], "cohort": clinical["cancer_type"]})
        change(table.assign(fold=table.index % 2)).to_csv(self.folder / "folds.csv", index=False)
        return self.settings(lambda v: v["evaluate"].update(folds="folds.csv"))


def vector_sources_only(value: dict[str, Any]) -> None:
    del value["modalities"]["report"]
    del value["modalities"]["image"]["tiles"]


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Workplace:
    folder = tmp_path_factory.mktemp("experiment")
    cohort = simulate(folder / "cohort", 180, 0)
    value = yaml.safe_load(cohort.read_text(encoding="utf-8"))
    vector_sources_only(value)
    cohort.write_text(yaml.safe_dump(value, sort_keys=False), encoding="utf-8")
    (folder / "experiment.yaml").write_text(yaml.safe_dump(SMALL, sort_keys=False), encoding="utf-8")
    assert main(["pretrain", str(folder / "experiment.yaml"), "--out", str(folder / "run")]) == 0
    return Workplace(folder, folder / "run")


def assert_refused(
    capsys: pytest.CaptureFixture[str], command: list[str], words: tuple[str, ...], out: Path | None = None
) -> None:
    """The command ends with status 2 and one error that holds the words, and writes no result."""
    capsys.readouterr()
    status = main(command)
    text, err = capsys.readouterr()
    lines = [line for line in err.splitlines() if line.startswith("error: ")]
    assert status == 2, text + err
    assert len(lines) == 1, err
    assert all(word in " ".join(err[err.index("error: ") :].split()) for word in words), err
    assert "Traceback" not in text + err
    if out is not None and out.exists():
        names = [path.name for path in out.rglob("*")]
        assert not [name for name in names if name.startswith(".")], "temporary files were left"
        assert not {"folds.csv", "predictions.csv", "summary.csv", "model.safetensors"} & set(names)


SETTINGS: list[tuple[str, Callable[[dict[str, Any]], object], tuple[str, ...]]] = [
    ("unknown key", lambda v: v["pretrain"].update(epoch=3), ("pretrain.epoch",)),
    ("value out of range", lambda v: v["pretrain"].update(epochs=0), ("pretrain.epochs", "0")),
    ("unknown choice", lambda v: v["pretrain"].update(precision="8-bit"), ("pretrain.precision", "8-bit")),
    ("heads that do not divide", lambda v: v["model"].update(heads=3), ("dim 16", "heads 3")),
    ("no cohort", lambda v: v.pop("cohort"), ("cohort", "required")),
    ("cohort file missing", lambda v: v.update(cohort="nowhere.yaml"), ("nowhere.yaml", "no such file")),
    (
        "no loss left",
        lambda v: v["pretrain"].update(losses={n: {"weight": 0} for n in ("alignment", "consistency")}),
        ("pretrain", "nothing to learn from", "retention"),
    ),
    (
        "unknown loss",
        lambda v: v["pretrain"].update(losses={"aligment": {"weight": 1}}),
        ("pretrain.losses", "no loss 'aligment'", "alignment, consistency, balance"),
    ),
    (
        "unknown option of a loss",
        lambda v: v["pretrain"].update(losses={"retention": {"component": 1}}),
        ("pretrain.losses.retention.component", "no such key"),
    ),
]


@pytest.mark.parametrize(
    ("name", "change", "words"), SETTINGS, ids=[s[0].replace(" ", "-") for s in SETTINGS]
)
def test_bad_settings(
    workplace: Workplace,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    name: str,
    change: Callable[[dict[str, Any]], object],
    words: tuple[str, ...],
) -> None:
    out = tmp_path / "out"
    assert_refused(capsys, ["pretrain", str(workplace.settings(change)), "--out", str(out)], words, out)


FOLDS: list[tuple[str, Callable[[pd.DataFrame], pd.DataFrame], tuple[str, ...]]] = [
    ("no fold column", lambda t: t.rename(columns={"fold": "part"}), ("folds.csv", "no column 'fold'")),
    ("wrong cohort", lambda t: t.assign(cohort="BRCA"), ("BRCA", "no patient", "SIMA")),
    ("fold in words", lambda t: t.assign(fold="first"), ("folds.csv", "row 1", "'first'")),
    ("patient in two folds", lambda t: pd.concat([t, t.iloc[[4]]]), ("SIM-0005", "two rows")),
    (
        "unknown patients",
        lambda t: t.assign(patient_id="X" + t["patient_id"]),
        ("folds.csv", "XSIM-0001", "not in the cohort"),
    ),
    ("one fold only", lambda t: t.assign(fold=0), ("folds.csv", "at least two folds")),
]


@pytest.mark.parametrize(("name", "change", "words"), FOLDS, ids=[f[0].replace(" ", "-") for f in FOLDS])
def test_bad_folds(
    workplace: Workplace,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    name: str,
    change: Callable[[pd.DataFrame], pd.DataFrame],
    words: tuple[str, ...],
) -> None:
    config, out = str(workplace.folds(change)), tmp_path / "out"
    assert_refused(
        capsys, ["evaluate", config, "--checkpoint", str(workplace.run), "--out", str(out)], words, out
    )


def test_missing_folds_file(workplace: Workplace, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    config = str(workplace.settings(lambda v: v["evaluate"].update(folds="nowhere.csv")))
    command = ["evaluate", config, "--checkpoint", str(workplace.run), "--out", str(tmp_path / "out")]
    assert_refused(capsys, command, ("nowhere.csv", "no such file"), tmp_path / "out")


def test_unknown_endpoint(workplace: Workplace, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    config = str(workplace.settings(lambda v: v["evaluate"].update(tasks=[{"name": "d", "endpoint": "dss"}])))
    command = ["evaluate", config, "--checkpoint", str(workplace.run), "--out", str(tmp_path / "out")]
    assert_refused(capsys, command, ("dss", "os", "pfi"), tmp_path / "out")


def test_unknown_cohort(workplace: Workplace, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    config = str(workplace.settings(lambda v: v["evaluate"].update(cohorts=["SIMZ"])))
    command = ["evaluate", config, "--checkpoint", str(workplace.run), "--out", str(tmp_path / "out")]
    assert_refused(capsys, command, ("SIMZ",), tmp_path / "out")


def copy_run(source: Path, target: Path) -> Path:
    target.mkdir()
    for path in source.iterdir():
        if path.is_file():
            (target / path.name).write_bytes(path.read_bytes())
    return target


CHECKPOINTS: list[tuple[str, Callable[[Path], object], tuple[str, ...]]] = [
    ("no weights", lambda p: (p / "model.safetensors").unlink(), ("no model.safetensors",)),
    (
        "truncated weights",
        lambda p: (p / "model.safetensors").write_bytes((p / "model.safetensors").read_bytes()[:500]),
        ("damaged",),
    ),
    ("weights of noise", lambda p: (p / "model.safetensors").write_bytes(b"\x00" * 64), ("damaged",)),
    ("no config", lambda p: (p / "config.json").unlink(), ("config.json", "missing")),
    ("config no JSON", lambda p: (p / "config.json").write_text("{"), ("config.json", "checksum")),
    ("config of another", lambda p: (p / "config.json").write_text("{}"), ("damaged",)),
]


@pytest.mark.parametrize(
    ("name", "spoil", "words"), CHECKPOINTS, ids=[c[0].replace(" ", "-") for c in CHECKPOINTS]
)
def test_bad_checkpoint(
    workplace: Workplace,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    name: str,
    spoil: Callable[[Path], object],
    words: tuple[str, ...],
) -> None:
    run, out = copy_run(workplace.run, tmp_path / "run"), tmp_path / "out"
    spoil(run)
    command = ["evaluate", str(workplace.config), "--checkpoint", str(run), "--out", str(out)]
    assert_refused(capsys, command, words, out)


def test_missing_checkpoint(workplace: Workplace, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    command = ["evaluate", str(workplace.config), "--checkpoint", str(tmp_path / "nowhere")]
    assert_refused(capsys, [*command, "--out", str(tmp_path / "out")], ("nowhere",), tmp_path / "out")


def test_missing_model_for_prediction(
    workplace: Workplace, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    cohort = str(workplace.folder / "cohort" / "cohort.yaml")
    command = ["predict", "--model", str(tmp_path / "nowhere"), "--cohort", cohort]
    assert_refused(capsys, [*command, "--out", str(tmp_path / "preds.csv")], ("nowhere",))
    assert not (tmp_path / "preds.csv").exists()


def test_missing_exclusion_list(
    workplace: Workplace, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    command = ["pretrain", str(workplace.config), "--out", str(tmp_path / "out")]
    assert_refused(
        capsys, [*command, "--exclude", str(tmp_path / "nowhere.txt")], ("nowhere.txt",), tmp_path / "out"
    )


def test_run_folder_of_another_run(workplace: Workplace, capsys: pytest.CaptureFixture[str]) -> None:
    before = {path.name: path.read_bytes() for path in workplace.run.iterdir() if path.is_file()}
    config = str(workplace.settings(lambda v: v.update(seed=7)))
    assert_refused(capsys, ["pretrain", config, "--out", str(workplace.run)], ("run", "other settings"))
    assert {path.name: path.read_bytes() for path in workplace.run.iterdir() if path.is_file()} == before


def test_simulate_refusals(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    few = ["simulate", str(tmp_path / "new"), "--patients", "5", "--seed", "0"]
    assert_refused(capsys, few, ("--patients 5", "30"))
    assert not (tmp_path / "new").exists()
    (tmp_path / "mine.txt").write_text("mine", encoding="utf-8")
    foreign = ["simulate", str(tmp_path), "--patients", "30", "--seed", "0"]
    assert_refused(capsys, foreign, ("prime simulate did not make",))
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]

"""The command line: help without torch, exit statuses, settings, stores that pack themselves."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from prime import __version__
from prime.cli import build_app, main, output_folders
from prime.cohort.config import CohortConfig, load_cohort
from prime.demo.simulate import simulate
from prime.errors import InputError
from prime.settings.evaluation import EvaluateConfig
from prime.settings.experiment import ExperimentConfig, load_experiment
from prime.settings.template import experiment_template
from prime.settings.yaml_files import read_yaml
from prime.store.opening import default_store, open_or_pack
from prime.store.store import Store

ROOT = Path(__file__).resolve().parents[1]
COMMANDS = [
    "check",
    "pack",
    "simulate",
    "pretrain",
    "evaluate",
    "fit",
    "predict",
    "serve",
    "explore",
    "demo",
    "config",
]


@pytest.fixture
def vector_cohort(tmp_path: Path) -> Path:
    """A simulated cohort of two vector sources, so that no encoder runs."""
    path = simulate(tmp_path / "cohort", 40, 0)
    value = yaml.safe_load(path.read_text(encoding="utf-8"))
    del value["modalities"]["report"]
    del value["modalities"]["image"]["tiles"]
    path.write_text(yaml.safe_dump(value, sort_keys=False), encoding="utf-8")
    return path


def arguments(words: list[str]) -> dict[str, Any]:
    """What a command would be called with; defaults are left out."""
    return build_app().parse_args(words)[1].arguments


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([command, "--help"]) == 0
    assert capsys.readouterr().out.startswith(f"usage: prime {command}")


PARTS = [
    *([name] for name in (*COMMANDS, "study", "methods", "report")),
    *(["encode", name] for name in ("slides", "rna", "reports")),
    *(["gdc", name] for name in ("query", "fetch", "build")),
]


@pytest.mark.parametrize("words", PARTS, ids=" ".join)
def test_every_argument_says_what_it_is(words: list[str]) -> None:
    _, (*_, command), rest = build_app().parse_commands(words)
    assert not rest
    for argument in command.assemble_argument_collection():
        if argument.show:
            help = argument.parameter.help or ""
            assert help.endswith((".", ")")), f"{argument.name}: {help!r}"


def test_the_help_lists_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    out = capsys.readouterr().out
    assert all(f"  {command} " in out for command in COMMANDS)


@pytest.mark.parametrize("words", [["--help"], ["pretrain", "--help"], ["--version"], ["nonsense"]])
def test_answering_imports_no_heavy_library(words: list[str]) -> None:
    script = (
        "import sys; from prime.cli import main; main(sys.argv[1:]);"
        "print('HEAVY', sorted({'torch', 'pandas', 'numpy', 'pydantic'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", script, *words], capture_output=True, text=True, check=True)
    assert done.stdout.endswith("HEAVY []\n")


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"prime {__version__}\n"


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([], "COMMAND"),
        (["fly"], '"fly"'),
        (["pack", "a.yaml"], "--out"),
        (["pretrain", "a.yaml", "--out", "b", "--devices", "0"], "--devices"),
        (["pretrain", "a.yaml", "--out", "b", "--precision", "8"], "--precision"),
    ],
)
def test_wrong_usage_is_one_error(
    words: list[str], expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words) == 2
    err = capsys.readouterr().err
    assert err.startswith("error: ")
    assert expected in err.splitlines()[0]


@pytest.mark.parametrize(
    ("raised", "status", "message"),
    [
        (InputError("a.csv: row 3"), 2, "error: a.csv: row 3\n"),
        (PermissionError(13, "Permission denied", "out"), 2, "error: out: Permission denied\n"),
        (OSError(28, "No space left on device", "out"), 2, "error: out: No space left on device\n"),
        (KeyboardInterrupt(), 130, "stopped"),
    ],
)
def test_exit_statuses(
    raised: BaseException,
    status: int,
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def fail() -> int:
        raise raised

    monkeypatch.setattr("prime.settings.template.experiment_template", fail)
    assert main(["config"]) == status
    assert capsys.readouterr().err.startswith(message)


def test_a_command_writes_in_its_folder_or_beside_its_file() -> None:
    assert output_folders(None) == []
    assert output_folders(Path("runs/a")) == [Path("runs/a")]
    assert output_folders(Path("runs/p.csv")) == [Path("runs")]


def test_our_own_mistakes_are_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> int:
        raise KeyError("x")

    monkeypatch.setattr("prime.settings.template.experiment_template", fail)
    with pytest.raises(KeyError):
        main(["config"])


def test_settings_may_be_given_together_or_apart() -> None:
    words = ["evaluate", "a.yaml", "--out", "b", "--set", "seed=1", "clip=2", "--set", "evaluate.bins=3"]
    assert arguments(words)["settings"] == ("seed=1", "clip=2", "evaluate.bins=3")


def test_the_template_states_the_defaults(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["config"]) == 0
    text = capsys.readouterr().out
    assert text == experiment_template()
    (tmp_path / "experiment.yaml").write_text(text, encoding="utf-8")
    found = load_experiment(tmp_path / "experiment.yaml")
    expected = ExperimentConfig(cohort=str(tmp_path / "cohort.yaml"))
    assert found == expected
    assert "precision: auto                     # auto | bf16-mixed | 32-true" in text
    keys = "name, endpoint, horizon_days, landmark_days, competing"
    first = "[{name: os, endpoint: os, horizon_days: null, landmark_days: null, competing: []}]"
    assert f"{first} # each {{{keys}}}" in text


def test_every_remark_of_the_template_is_a_comment() -> None:
    """A # without a blank before it would belong to the value."""
    lines = [line for line in experiment_template().splitlines() if "#" in line and line[0] != "#"]
    assert len(lines) > 40
    assert all(line.lstrip().startswith("#") or " # " in line for line in lines)


def test_lists_of_settings_in_the_template(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A template with two tasks, external cohorts and several settings reads back as they are."""
    evaluate = {
        "tasks": [{"name": "a", "endpoint": "os"}, {"name": "b", "endpoint": "pfi", "horizon_days": 1095.5}],
        "external": [{"train": ["A", "B"], "test": "C"}],
        "train_on": ["everyone", "complete"],
        "shares": [1.0, 0.25],
    }
    expected = EvaluateConfig.model_validate(evaluate)
    for name in evaluate:
        monkeypatch.setattr(EvaluateConfig.model_fields[name], "default", getattr(expected, name))
    text = experiment_template()
    monkeypatch.undo()
    (tmp_path / "experiment.yaml").write_text(text, encoding="utf-8")
    assert load_experiment(tmp_path / "experiment.yaml").evaluate == expected


def test_fit_takes_a_task() -> None:
    words = ["fit", "a.yaml", "--checkpoint", "r", "--cohort-name", "all", "--out", "b"]
    assert "task" not in arguments(words)
    assert arguments([*words, "--task", "early"])["task"] == "early"


@pytest.mark.parametrize("path", sorted((ROOT / "configs").glob("*.yaml")), ids=lambda path: path.name)
def test_every_config_of_the_project_loads(path: Path) -> None:
    if path.name.endswith(".cohort.yaml"):
        assert CohortConfig.model_validate(read_yaml(path)).modalities
        return
    config = load_experiment(path)
    cohort = CohortConfig.model_validate(read_yaml(Path(config.cohort)))
    assert list(cohort.modalities)[:3] == ["image", "rna", "report"]
    assert {task.endpoint for task in config.evaluate.tasks} == {"os", "pfi"}


def test_check_prints_json(vector_cohort: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", str(vector_cohort), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["patients"], report["errors"]) == (40, [])
    assert {item["source"] for item in report["sources"]} == {"slide_stats", "genes"}


def test_check_takes_another_root(vector_cohort: Path, tmp_path: Path) -> None:
    elsewhere = vector_cohort.rename(tmp_path / "elsewhere.yaml")
    assert main(["check", str(elsewhere)]) == 2
    assert main(["check", str(elsewhere), "--root", str(tmp_path / "cohort")]) == 0


# Stores that pack themselves --------------------------------------------------------------------------------


def test_a_store_is_packed_once_and_again_where_stale(vector_cohort: Path, tmp_path: Path) -> None:
    said: list[str] = []
    config = load_cohort(vector_cohort)
    first = open_or_pack(config, tmp_path / "store", said.append)
    assert len(said) == 1
    assert "packing" in said[0]
    written = (tmp_path / "store" / "manifest.json").stat().st_mtime_ns
    open_or_pack(config, tmp_path / "store", said.append)
    assert len(said) == 1, "nothing changed, nothing to say"
    assert (tmp_path / "store" / "manifest.json").stat().st_mtime_ns == written

    stats = vector_cohort.parent / "slide_stats.csv"
    lines = stats.read_text(encoding="utf-8").splitlines()
    stats.write_text("\n".join(lines[:-1]) + "\n", encoding="utf-8")
    again = open_or_pack(config, tmp_path / "store", said.append)
    assert "stale" in said[1]
    assert "slide_stats.csv changed" in said[1]
    assert again.sources["slide_stats"].rows == first.sources["slide_stats"].rows - 1


def test_a_store_of_another_cohort_is_left_alone(vector_cohort: Path, tmp_path: Path) -> None:
    config = load_cohort(vector_cohort)
    open_or_pack(config, tmp_path / "store", print)
    other = config.model_copy(update={"name": "other"})
    with pytest.raises(InputError, match=r"holds the cohort 'simulated', not 'other'"):
        open_or_pack(other, tmp_path / "store", print)
    assert Store.open(tmp_path / "store").manifest["name"] == "simulated"


def test_two_cohorts_never_share_a_default_store(vector_cohort: Path) -> None:
    config = load_cohort(vector_cohort)
    moved = config.model_copy(update={"root": str(Path(config.root).parent)})
    odd = config.model_copy(update={"name": "my cohort/2024"})
    assert len({default_store(c) for c in (config, moved, odd)}) == 3
    assert default_store(config) == default_store(load_cohort(vector_cohort))
    assert default_store(odd).parent == Path("runs")


def test_without_a_store_setting_the_cohort_is_packed_below_runs(
    vector_cohort: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "experiment.yaml").write_text("cohort: cohort/cohort.yaml\n", encoding="utf-8")
    command = ["pretrain", "experiment.yaml", "--out", "run", "--exclude", "nobody.txt"]
    assert main(command) == 2  # the list is missing, but by then the store is there
    assert [path.name for path in (tmp_path / "runs").iterdir()] == [
        default_store(load_cohort(vector_cohort)).name
    ]
    assert "nobody.txt" in capsys.readouterr().err


def test_excluded_patients_are_kept_out(
    vector_cohort: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "experiment.yaml").write_text(
        "cohort: cohort/cohort.yaml\nstore: store\n"
        "model: {dim: 8, queries: 2, heads: 2, blocks: 2, experts: 2, top_k: 1, prototypes: 4,"
        " projection_dim: 8}\npretrain: {epochs: 1, batch_size: 16, precision: 32-true, top_k: 2}\n",
        encoding="utf-8",
    )
    (tmp_path / "out.txt").write_text("SIM-0003\nSIM-0007\n", encoding="utf-8")
    command = ["pretrain", "experiment.yaml", "--out", "run", "--exclude", "out.txt", "--accelerator", "cpu"]
    assert main(command) == 0
    manifest = json.loads((tmp_path / "run" / "manifest.json").read_text(encoding="utf-8"))
    seen = {*manifest["train_patients"], *manifest["validation_patients"]}
    assert manifest["excluded"] == ["SIM-0003", "SIM-0007"]
    assert not seen & {"SIM-0003", "SIM-0007"}
    assert len(seen) > 20


def test_the_installed_command_runs() -> None:
    command = Path(sys.executable).parent / ("prime.exe" if os.name == "nt" else "prime")
    done = subprocess.run([command, "--version"], capture_output=True, text=True, check=True)
    assert done.stdout == f"prime {__version__}\n"

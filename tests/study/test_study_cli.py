"""prime study and prime report on the command line: help, errors, a table that needs no model."""

import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from prime.cli import build_app, main
from prime.errors import InputError
from prime.job_pool import JobPool
from prime.settings.experiment import ExperimentConfig, load_overrides
from prime.store.store import Store
from prime.study.registry import STUDIES, choose
from prime.study.run import read_reference
from prime.study.sweeps import read_setting

HEADER = "method,task,cohort,pattern,mean\n"


@pytest.mark.parametrize("command", ["study", "report"])
def test_help_imports_no_heavy_library(command: str) -> None:
    script = (
        "import sys; from prime.cli import main; status = main(sys.argv[1:]);"
        "print('HEAVY', status, sorted({'torch', 'pandas', 'numpy', 'joblib'} & set(sys.modules)))"
    )
    words = [sys.executable, "-c", script, command, "--help"]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    assert done.stdout.startswith(f"usage: prime {command}")
    assert done.stdout.endswith("HEAVY 0 []\n")


def test_the_choices_of_the_command() -> None:
    words = ["study", "table2", "--config", "a.yaml", "--out", "b"]
    assert set(build_app().parse_args(words)[1].arguments) == {"name", "config", "out"}
    assert JobPool() == JobPool(None, 1, None)
    more = ["--preset", "quick", "--jobs", "3", "--cluster", "ray", "--setting", "a.b=1,2", "c.d=3"]
    found = build_app().parse_args([*words, *more])[1].arguments
    assert (found["preset"], found["pool"]) == ("quick", JobPool(3, 1, "ray"))
    assert found["setting"] == ("a.b=1,2", "c.d=3")


def test_a_study_from_the_command_line(experiment_file: Path, study_store: Store, tmp_path: Path) -> None:
    out = tmp_path / "out"
    command = ["study", "table1", "--config", str(experiment_file), "--out", str(out), "--preset", "quick"]
    assert main(command) == 0
    table = pd.read_csv(out / "table1" / "cohorts.csv").set_index("cohort")
    counts = study_store.patients["cohort"].value_counts()
    for cohort in ("A", "B", "C"):
        assert table.loc[cohort, "patients"] == counts[cohort]
    assert (out / "flow.json").is_file()


def run_badly(words: list[str], experiment: Path, out: Path, capsys: pytest.CaptureFixture[str]) -> str:
    """The one line of the error of a study that must not start."""
    status = main(["study", *words, "--config", str(experiment), "--out", str(out)])
    err = capsys.readouterr().err
    assert status == 2
    assert err.startswith("error: ")
    assert "Traceback" not in err
    assert not (out / "cache").exists(), "nothing was begun"
    return err.splitlines()[0]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["table9"], "no study 'table9'; there are table1, table2"),
        (["sweep"], "--setting key=a,b and study sweep go together"),
        (["table2", "--setting", "model.queries=2"], "--setting key=a,b and study sweep go together"),
        (["sweep", "--setting", "model.queries"], "--setting model.queries: write it as key=a,b,c"),
        (["sweep", "--setting", "model.queries="], "write it as key=a,b,c"),
        (["sweep", "--setting", "model.queries=2,[3"], "--setting model.queries: '[3' is not a value"),
        (["sweep", "--setting", "model.querys=2,3"], "model.querys: no such key"),
        (["sweep", "--setting", "models.queries=2,3"], "models: no such key"),
        (["sweep", "--setting", "model.queries=2,many"], "model.queries"),
        (["sweep", "--setting", "pretrain.learning_rate=-1"], "pretrain.learning_rate"),
        (["table2", "--reference", "absent.csv"], "absent.csv: no such file"),
        (["table2", "--preset", "tiny"], "--preset"),
        (["table2", "--jobs", "0"], "--jobs"),
        (["table2", "--cluster", "pbs"], "--cluster"),
    ],
)
def test_wrong_use_is_one_error(
    words: list[str],
    expected: str,
    experiment_file: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert expected in run_badly(words, experiment_file, tmp_path / "out", capsys)


def test_unknown_studies_are_refused_with_their_names() -> None:
    with pytest.raises(InputError) as caught:
        choose("fig2")
    assert all(name in str(caught.value) for name in STUDIES)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "not a csv file in UTF-8"),
        (b"\xff\xfe\x00", "not a csv file in UTF-8"),
        (b"method,task,cohort,mean\nX,os,A,0.6\n", "no column 'pattern'; found method, task, cohort, mean"),
        ((HEADER + "X, or so,os,A,all,0.6\n").encode(), "more fields than the header has names"),
        ((HEADER + "X,os,A,all,high\n").encode(), "column 'mean' holds something that is not a number"),
        ((HEADER + "X,os,A,all,0.6\nX,os,A,all,0.7\n").encode(), "row 3: method 'X' .* twice; keep one"),
    ],
)
def test_bad_reference_files(content: bytes, expected: str, tmp_path: Path) -> None:
    path = tmp_path / "theirs.csv"
    path.write_bytes(content)
    with pytest.raises(InputError, match=expected) as caught:
        read_reference(path)
    assert str(caught.value).startswith(str(path))


def test_a_good_reference_file(tmp_path: Path) -> None:
    path = tmp_path / "theirs.csv"
    path.write_text(HEADER + "1,os,A,all,0.6\nX,os,mean,all,0.7\n", encoding="utf-8")
    found = read_reference(path)
    assert found["method"].tolist() == ["1", "X"]
    assert found["mean"].tolist() == [0.6, 0.7]


def test_settings_are_read_as_yaml() -> None:
    assert read_setting("model.refiner=true,false") == ("model.refiner", (True, False))
    assert read_setting("a.b=2,0.5,word") == ("a.b", (2, 0.5, "word"))
    assert read_setting("a.b=2,2,4") == ("a.b", (2, 4))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("model.prototypes", "many"),
        ("model.prototypes", 0),
        ("pretrain.epochs", 1.5),
        ("evaluate.probe.hazard", "wild"),
        ("no.such", 1),
        ("model.no_such", 1),
        ("seed.deeper", 1),
    ],
)
def test_overrides_that_fail_name_the_key(key: str, value: object) -> None:
    with pytest.raises(InputError, match=key):
        load_overrides(ExperimentConfig(cohort="a.yaml"), ((key, value),))


def test_overrides() -> None:
    base = ExperimentConfig(cohort="a.yaml")
    found = load_overrides(base, (("model.prototypes", 16), ("evaluate.probe.components", 5)))
    assert (found.model.prototypes, found.evaluate.probe.components) == (16, 5)
    assert base.model.prototypes != 16

"""A study that fails stops no other; a study of one's own is one object and one entry in the registry."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from io import StringIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pandas as pd
import pytest
from rich.console import Console

from prime.cli import main
from prime.downstream.grid import Evaluation
from prime.errors import InputError
from prime.job_pool import JobPool
from prime.parsing import read_json
from prime.render.tables import ABSENT, Table
from prime.settings.experiment import ExperimentConfig
from prime.store.store import Store
from prime.study import ablations
from prime.study import run as run_module
from prime.study.arms import Arm, PretrainingRun
from prime.study.context import Context, Output, Results, Study
from prime.study.jobs import Job, Where, pretraining_job
from prime.study.metric_tables import build_costs
from prime.study.registry import STUDIES, choose
from prime.study.run import run_studies

Configure = Callable[..., ExperimentConfig]


def probe_arms(context: Context) -> list[Arm]:
    return [context.probe_arm("toy", evaluate={"modes": ["lp"]})]


def counted(_: Context, results: Results) -> Output:
    """How many patients each cohort's folds tested."""
    tested = results.predictions("os").groupby("cohort")["patient_id"].nunique().reset_index()
    return Output([Table("tested", "Tested patients", "", tested, tested.set_index("cohort").map(str))])


def divided(*_: object) -> Output:
    raise ZeroDivisionError("division by zero")


def refused(_: Context) -> list[Arm]:
    raise InputError("no such setting")


TOY = Study("toy", "A toy", probe_arms, counted)
BROKEN = Study("broken", "A table that fails", probe_arms, divided)
REFUSED = Study("refused", "Arms that cannot be", refused, counted)


Register = Callable[..., None]


@pytest.fixture
def register() -> Iterator[Register]:
    """Registers studies for the length of a test."""
    before = dict(STUDIES)
    yield lambda *studies: STUDIES.update({study.name: study for study in studies})
    STUDIES.clear()
    STUDIES.update(before)


def run(
    studies: list[Study], store: Store, config: ExperimentConfig, out: Path, jobs: int = 1
) -> tuple[list[str], str]:
    """The lines of what failed, and what is printed."""
    console = Console(file=StringIO(), width=300)
    context = Context(store, config, "quick")
    failed = run_studies(studies, context, out, JobPool(jobs), "prime study", console)
    return failed, cast(StringIO, console.file).getvalue()


def test_a_failing_study_stops_no_other(
    study_store: Store, study_config: Configure, tmp_path: Path, register: Register
) -> None:
    register(BROKEN, REFUSED, TOY)
    failed, printed = run([BROKEN, REFUSED, TOY], study_store, study_config(), tmp_path)
    log = tmp_path / "broken" / "error.log"
    assert failed == [
        f"broken: ZeroDivisionError: division by zero (see {log})",
        "refused: no such setting",
    ]
    assert [line.removeprefix("failed: ") for line in printed.splitlines()[-2:]] == failed
    assert "in divided" in log.read_text(encoding="utf-8")
    assert not (tmp_path / "refused").exists()
    table = pd.read_csv(tmp_path / "toy" / "tested.csv")
    assert table["patient_id"].tolist() == [90, 90]
    mended = replace(BROKEN, build=counted)
    assert run([mended], study_store, study_config(), tmp_path)[0] == []
    assert not log.exists()


def test_the_mistake_of_a_single_study_is_the_users_error(
    study_store: Store, study_config: Configure, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match="no such setting"):
        run([REFUSED], study_store, study_config(), tmp_path)
    assert len(run([BROKEN], study_store, study_config(), tmp_path)[0]) == 1


def explode(tries: Path, where: Where) -> None:
    with tries.open("a", encoding="utf-8") as file:
        file.write("tried\n")
    raise ArithmeticError("no more numbers")


@pytest.mark.parametrize("jobs", [1, 2])
def test_jobs_that_fail_stop_no_other_study_and_are_not_tried_again(
    study_store: Store, study_config: Configure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, jobs: int
) -> None:
    def failing(pretraining: PretrainingRun) -> Job:
        return Job(explode, (tmp_path / "tries",), pretraining_job(pretraining).result)

    monkeypatch.setattr(run_module, "pretraining_job", failing)
    again = replace(TOY, name="again")
    failed, _ = run([TOY, again, STUDIES["table1"]], study_store, study_config(), tmp_path, jobs)
    assert [line.partition(" (see")[0] for line in failed] == [
        "toy: ArithmeticError: no more numbers", "again: ArithmeticError: no more numbers",
    ]  # fmt: skip
    tries = (tmp_path / "tries").read_text(encoding="utf-8").splitlines()
    assert 1 <= len(tries) <= jobs  # who had begun, and nobody later
    assert "in explode" in (tmp_path / "toy" / "error.log").read_text(encoding="utf-8")
    assert (tmp_path / "table1" / "cohorts.csv").is_file()


def test_study_all_ends_with_status_1_where_one_failed(
    experiment_file: Path, tmp_path: Path, register: Register, capsys: pytest.CaptureFixture[str]
) -> None:
    first = STUDIES["table1"]
    STUDIES.clear()
    register(replace(BROKEN, arms=lambda _: []), first)
    assert main(["study", "all", "--config", str(experiment_file), "--out", str(tmp_path)]) == 1
    assert "failed: broken: ZeroDivisionError" in capsys.readouterr().out
    assert (tmp_path / "table1" / "cohorts.csv").is_file()
    del STUDIES["broken"]
    assert main(["study", "all", "--config", str(experiment_file), "--out", str(tmp_path)]) == 0


# A study of one's own ---------------------------------------------------------------------------------------


def test_a_registered_study_runs_by_name(
    study_config: Configure, run_study: Callable[..., Path], tmp_path: Path, register: Register
) -> None:
    """One object, one entry: it is among `all`, and leaves tables and a manifest like any other."""
    register(TOY)
    assert choose("toy") == [TOY]
    assert choose("all")[-1] is TOY
    out = run_study("toy", study_config(), tmp_path)
    assert (out / "toy" / "tested.md").is_file()
    facts = read_json(out / "toy" / "manifest.json")
    assert facts["tables"] == ["tested"]
    assert facts["order"] == len(STUDIES) - 1


def test_an_ablation_is_one_entry(
    study_config: Configure, run_study: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pretrained anew with its change, a row of the table with its paired difference, and in the figure."""
    monkeypatch.setattr(ablations, "ABLATIONS", {"Two experts": {"model": {"experts": 2}}})
    out = run_study("table5", study_config(tasks=[{"name": "os", "endpoint": "os"}]), tmp_path)
    table = pd.read_csv(out / "table5" / "ablations_os.csv").set_index("arm")
    assert list(table.index) == ["Full method", "Two experts", "No alignment loss", "No consistency loss",
                                 "No balance loss"]  # fmt: skip
    row = table.loc["Two experts"]
    assert row["low"] <= row["difference"] <= row["high"]
    arms = {arm["name"]: arm for arm in read_json(out / "table5" / "manifest.json")["arms"]}
    assert arms["Two experts"]["config"]["model"]["experts"] == 2
    assert arms["Full method"]["config"]["model"]["experts"] == 4
    assert len(list((out / "cache" / "pretrained").iterdir())) == 5
    assert "Two experts" in (out / "table5" / "ablations.json").read_text(encoding="utf-8")


def test_ablations_are_shown_for_each_shared_head_that_is_named(
    study_config: Configure, run_study: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ablations, "ABLATIONS", {"Two experts": {"model": {"experts": 2}}})
    monkeypatch.setattr(ablations, "without_losses", lambda _: {})
    config = study_config(tasks=[{"name": "os", "endpoint": "os"}], modes=["lp_missing", "lp_shared"])
    out = run_study("table5", config, tmp_path) / "table5"
    found = {
        name: pd.read_csv(out / f"{name}_os.csv").set_index("arm")
        for name in ("ablations", "ablations_lp_shared")
    }
    assert not list(out.glob("*lp_missing*"))
    assert (out / "ablations_lp_shared.json").is_file()
    values = [table.loc["Full method", "all"] for table in found.values()]
    assert values[0] != values[1]


def test_the_evaluation_of_an_arm_is_planned_once(
    study_store: Store,
    study_config: Configure,
    tmp_path: Path,
    register: Register,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    register(TOY)
    planned: list[str] = []
    original = Evaluation.__init__

    def recorded(self: Evaluation, *arguments: Any) -> None:
        planned.append(arguments[1].evaluate.modes[0])
        original(self, *arguments)

    monkeypatch.setattr(Evaluation, "__init__", recorded)
    assert run([TOY], study_store, study_config(), tmp_path)[0] == []
    assert planned == ["lp"]


def test_the_comparison_of_one_way_of_training(
    study_config: Configure, run_study: Callable[..., Path], tmp_path: Path
) -> None:
    """Nothing to pair it with, and no network is trained that was not asked for."""
    config = study_config(modes=["lp_missing"], inits=["scratch"], methods=["late_ridge"])
    out = run_study(["comparison", "table2"], config, tmp_path)
    pairs = pd.read_csv(out / "comparison" / "rivals_os.csv")
    assert pairs[["a", "b"]].to_numpy().tolist() == [["Scratch LP+Missing", "Late ridge"]]
    assert not (out / "comparison" / "comparison_os.csv").exists()
    parts = {path.name.partition("-os-")[0] for path in (out / "cache" / "parts").glob("*-os-*")}
    assert parts == {"scratch-lp_missing", "late_ridge"}


def test_costs_of_a_method_that_fell_back_to_a_constant() -> None:
    """It has no parameters: nothing trained of nothing in all."""
    row = {"mode": "fit", "folds": 1, "seconds": 0.1, "peak_bytes": 2**30, "parameters": 0}
    costs = pd.DataFrame(
        [
            {**row, "label": "ABMIL", "trainable_parameters": 0},
            {**row, "label": "SNN", "trainable_parameters": 250, "parameters": 250},
        ]
    )
    output = build_costs(cast(Context, None), cast(Results, SimpleNamespace(costs=costs)))
    assert output.tables[0].display["Share"].tolist() == [ABSENT, "100.00%"]


def test_tasks_that_figures_would_not_show_are_refused(
    study_store: Store, study_config: Configure, tmp_path: Path
) -> None:
    config = study_config(tasks=[{"name": "os", "endpoint": "os", "competing": ["death"]}])
    with pytest.raises(InputError, match="task os: competing events"):
        run([TOY], study_store, config, tmp_path)
    assert not list(tmp_path.iterdir())

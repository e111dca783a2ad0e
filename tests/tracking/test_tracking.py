"""Trackers hold what the run's own log holds, once each; they change nothing, and stop nothing."""

import csv
import json
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from prime.devices import device_of
from prime.downstream.grid import Evaluation
from prime.errors import InputError
from prime.pretraining.loop import Pretraining, pretrain
from prime.provenance import source_files
from prime.store.store import Store
from prime.study.arms import Arm, ArmWork
from prime.study.jobs import Where, do_fit, do_pretraining
from prime.tracking.followed import Followed, numbers_of
from prime.tracking.options import NOWHERE, Tracking, read_tracking
from tests.made_up import evaluation_settings, experiment, planned

KINDS = ("csv", "tensorboard", "mlflow")
Steps = dict[str, list[tuple[int, float]]]


class Killed(BaseException):
    """Stands for a signal that nothing can catch."""


@pytest.fixture(autouse=True)
def curves_are_not_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("prime.pretraining.loop.plot_curves", lambda *_: None)
    monkeypatch.setattr("prime.tracking.followed._left_out", set())


def in_csv(place: Path, name: str) -> Steps:
    with (place / name / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    keys = [key for key in rows[0] if key != "step"]
    return {key: [(int(row["step"]), float(row[key])) for row in rows] for key in keys}


def in_tensorboard(place: Path, name: str) -> Steps:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    found = EventAccumulator(str(place / name)).Reload()
    return {key: [(e.step, e.value) for e in found.Scalars(key)] for key in found.Tags()["scalars"]}


def in_mlflow(place: Path, name: str) -> Steps:
    """From the tables of the database, where a step that was told twice stands twice."""
    with sqlite3.connect(place / "mlflow.db") as database:
        runs = database.execute("select run_uuid from runs where name = ?", (name,)).fetchall()
        ((run,),) = runs  # one alone
        rows = database.execute(
            "select key, step, value from metrics where run_uuid = ? order by key, step", (run,)
        ).fetchall()
    database.close()
    found: Steps = {}
    for key, step, value in rows:
        found.setdefault(key, []).append((step, value))
    return found


READ: dict[str, Callable[[Path, str], Steps]] = {
    "csv": in_csv, "tensorboard": in_tensorboard, "mlflow": in_mlflow
}  # fmt: skip


def in_log(run: Path) -> Steps:
    rows = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    return {key: [(row["epoch"], numbers_of(row)[key]) for row in rows] for key in numbers_of(rows[0])}


def require_same(found: Steps, expected: Steps) -> None:
    assert set(found) == set(expected)
    for key, values in expected.items():
        assert [step for step, _ in found[key]] == [step for step, _ in values]
        assert [value for _, value in found[key]] == pytest.approx(
            [v for _, v in values], rel=1e-6, nan_ok=True
        )


@pytest.fixture(scope="module")
def followed(made_up_store: Store, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A run of three epochs that all trackers follow, of which one is killed twice; and one without."""
    folder = tmp_path_factory.mktemp("tracking")
    config = experiment(epochs=3)
    tell, end = Followed.log, Followed.__exit__
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("prime.pretraining.loop.plot_curves", lambda *_: None)
        pretrain(made_up_store, config, folder / "plain" / "run", progress=False)

        def early(self: Followed, row: Any) -> None:  # after the state is saved, before it is told
            raise Killed

        def late(self: Followed, row: Any) -> None:
            tell(self, row)
            raise Killed

        for dies in (early, late, tell):
            patch.setattr(Followed, "log", dies)
            patch.setattr(Followed, "__exit__", end if dies is tell else lambda *_: None)
            tracking = read_tracking(["csv,tensorboard", "mlflow"], folder / "run")
            try:
                pretrain(made_up_store, config, folder / "run", progress=False, tracking=tracking)
            except Killed:
                continue
    return folder / "plain" / "run", folder / "run"


def test_a_followed_run_has_the_same_weights_and_seal(followed: tuple[Path, Path]) -> None:
    plain, run = followed
    for name in ("model.safetensors", "manifest.json", "config.json"):
        assert (plain / name).read_bytes() == (run / name).read_bytes()
    losses = [{k: v for k, v in in_log(one).items() if "/" in k} for one in followed]
    assert losses[0] == losses[1]


@pytest.mark.parametrize("kind", KINDS)
def test_a_tracker_has_every_step_once_after_kills(followed: tuple[Path, Path], kind: str) -> None:
    run = followed[1]
    expected = in_log(run)
    assert [step for step, _ in expected["train/total"]] == [0, 1, 2]
    require_same(READ[kind](run / "tracking" / kind, "run"), expected)


def test_a_tracker_that_comes_late_is_told_everything(
    followed: tuple[Path, Path], made_up_store: Store, tmp_path: Path
) -> None:
    plain = followed[0]
    tracking = read_tracking([f"csv={tmp_path}"], plain)
    pretrain(made_up_store, experiment(epochs=3), plain, progress=False, tracking=tracking)
    require_same(in_csv(tmp_path, "run"), in_log(plain))


def test_no_patient_is_told(followed: tuple[Path, Path], made_up_store: Store) -> None:
    files = [path for path in (followed[1] / "tracking").rglob("*") if path.is_file()]
    assert len(files) >= 5
    everything = b"".join(path.read_bytes() for path in files)
    assert b"learning_rate" in everything
    assert not any(str(name).encode() in everything for name in made_up_store.patients["patient_id"])


def test_a_tracker_that_fails_is_left_out_with_one_line(
    made_up_store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    places = ["mlflow=http://127.0.0.1:9", f"csv={tmp_path / 'csv'}"]
    tracking = read_tracking(places, tmp_path)
    pretrain(made_up_store, experiment(epochs=2), tmp_path / "run", progress=False, tracking=tracking)
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("--track mlflow: left out from here on, training goes on (MlflowException: ")
    require_same(in_csv(tmp_path / "csv", "run"), in_log(tmp_path / "run"))


class Failing:
    """A tracker whose second step fails, as on a full disk."""

    def __init__(self) -> None:
        self.told: list[int] = []

    def tell(self, step: int, numbers: Any) -> None:
        self.told.append(step)
        if len(self.told) > 1:
            raise OSError("no space left")

    def close(self, finished: bool) -> None:
        raise AssertionError("it was left out")


def test_one_that_fails_in_between_is_not_asked_again(capsys: pytest.CaptureFixture[str]) -> None:
    made: list[Failing] = []

    def make() -> Failing:
        made.append(Failing())
        return made[-1]

    for _ in range(2):  # nor for the next run
        with Followed({"csv=secret": make}, []) as run:
            for epoch in range(4):
                run.log({"epoch": epoch, "loss": 1.0})
    assert [tracker.told for tracker in made] == [[0, 1]]
    (line,) = capsys.readouterr().err.splitlines()
    assert line == "--track csv: left out from here on, training goes on (OSError: no space left)"


def test_files_of_others_are_not_overwritten(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tracking = Tracking((("csv", str(tmp_path)),), ("run",))
    with tracking.follow("one", {}) as run:
        run.log({"epoch": 0, "loss": 1.0})
    with tracking.follow("another", {}) as run:
        run.log({"epoch": 0, "loss": 2.0})
    assert "holds another run; name another folder" in capsys.readouterr().err
    assert in_csv(tmp_path, "run") == {"loss": [(0, 1.0)]}
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs" / "metrics.csv").write_text("theirs")
    with Tracking((("csv", str(tmp_path)),), ("theirs",)).follow("one", {}):
        pass
    assert "is none of PRIME's" in capsys.readouterr().err
    assert (tmp_path / "theirs" / "metrics.csv").read_text() == "theirs"


def test_only_single_numbers_are_told() -> None:
    row = {"epoch": 3, "a": 1, "b": 0.5, "c": [1.0], "d": "x", "e": True, "f": {"g": 1.0}, "h": None}
    assert numbers_of(row) == {"a": 1.0, "b": 0.5}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["wandb"], "--track wandb: give csv, tensorboard, mlflow, with =FOLDER"),
        (["csv="], "--track csv=: give csv"),
        (["csv", "tensorboard,csv=x"], "--track csv is given twice"),
    ],
)
def test_what_cannot_be_followed_is_said(given: list[str], said: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=said):
        read_tracking(given, tmp_path)


def test_a_missing_package_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "tensorboard", None)
    with pytest.raises(InputError, match=r"--track tensorboard needs the extra tracking: pip install"):
        read_tracking(["tensorboard"], tmp_path)
    assert read_tracking(["csv", "mlflow=http://here:5000"], tmp_path).places == (
        ("csv", str(tmp_path / "tracking" / "csv")),
        ("mlflow", "http://here:5000"),
    )
    assert read_tracking([], tmp_path) == NOWHERE


def test_no_digest_counts_it() -> None:
    counted = source_files("prime.pretraining.loop", "prime.downstream.grid", "prime.study.run")
    assert "prime.pretraining.loop" in counted
    assert not [name for name in counted if name.startswith("prime.tracking")]


# Fine-tuning and studies ------------------------------------------------------------------------------------


def fine_tuning(store: Store, checkpoint: Path, out: Path, tracking: Tracking) -> Evaluation:
    config = evaluation_settings(modes=["ft"], cohorts=["A"], only_folds=[0], inits=["pretrained"])
    evaluation = planned(store, config, checkpoint, out)
    (fit,) = evaluation.fits
    evaluation.do(fit, device_of("cpu"), tracking)
    return evaluation


def test_a_followed_fit_is_the_same_fit(
    evaluation_store: Store, evaluation_checkpoint: Path, tmp_path: Path
) -> None:
    tracking = read_tracking(["csv"], tmp_path / "followed")
    plain = fine_tuning(evaluation_store, evaluation_checkpoint, tmp_path / "plain", NOWHERE)
    told = fine_tuning(evaluation_store, evaluation_checkpoint, tmp_path / "followed", tracking)
    paths = [one.part_path(one.fits[0]) for one in (plain, told)]
    assert paths[0].name == paths[1].name
    risks = [one.predictions()["risk"].tolist() for one in (plain, told)]
    assert risks[0] == risks[1]
    found = in_csv(tmp_path / "followed" / "tracking" / "csv", "A/fold0/seed0/pretrained-ft-os")
    assert set(found) == {"train/loss", "validation/loss"}
    assert [step for step, _ in found["validation/loss"]] == [0]


def test_runs_of_a_study_are_named_by_arm_cohort_fold_and_seed(
    evaluation_store: Store, tmp_path: Path
) -> None:
    settings: dict[str, Any] = {"modes": ["ft"], "inits": ["pretrained"], "cohorts": ["A"], "seeds": [3]}
    config = evaluation_settings(**settings).model_copy(update={"pretrain": experiment(epochs=1).pretrain})
    work = ArmWork(Arm("No refiner", evaluation_store, config), tmp_path / "cache")
    where = Where("cpu", 0, read_tracking(["csv"], tmp_path))
    first = work.pretraining[0]
    do_pretraining(first, where)
    do_fit(work, [fit.folds[0].fold for fit in work.evaluation.fits].index(0), where)
    place = tmp_path / "tracking" / "csv"
    names = sorted(str(path.parent.relative_to(place)) for path in place.rglob("metrics.csv"))
    arm = "No refiner"
    assert names == [f"{arm}/A/fold0/seed3/pretrained-ft-os", f"{arm}/A/fold0/seed3/pretraining"]
    assert len({run.name for run in work.pretraining}) == len(work.pretraining) == 2
    assert all(isinstance(run.folder, Path) for run in work.pretraining)


def test_other_processes_do_not_follow(made_up_store: Store, tmp_path: Path) -> None:
    from prime.pretraining.devices import Devices

    run = Pretraining(made_up_store, experiment(), tmp_path / "run", frozenset(), Devices())
    run.fabric = type("Other", (), {"is_global_zero": False})()
    with run._followed(read_tracking(["csv"], tmp_path).below("run"), []) as followed:
        followed.log({"epoch": 0, "loss": 1.0})
    assert not (tmp_path / "tracking").exists()

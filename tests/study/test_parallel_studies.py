"""Studies with several jobs at once, here and on Ray, make what one job at a time makes."""

import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from prime import job_pool as job_pool_module
from prime.errors import InputError
from prime.files import sole_process
from prime.job_pool import JobPool
from prime.settings.experiment import ExperimentConfig
from prime.store.store import Store
from prime.study import jobs as jobs_module
from prime.study.arms import ArmWork, PretrainingRun
from prime.study.context import Context
from prime.study.jobs import FINISHED, Job, Runner, Where, do_pretraining, fit_jobs, grouped

Configure = Callable[..., ExperimentConfig]
Run = Callable[..., Path]


def tables(out: Path) -> dict[str, bytes]:
    files = [*(out / "sites").glob("*.csv"), *(out / "sites").glob("*.md")]
    return {path.name: path.read_bytes() for path in files}


@pytest.fixture(scope="module")
def probes_alone(study_config: Configure) -> ExperimentConfig:
    return study_config(modes=["lp"])


@pytest.fixture(scope="module")
def one_by_one(
    probes_alone: ExperimentConfig, run_study: Run, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, bytes]:
    """The tables of study `sites` with one job at a time."""
    found = tables(run_study("sites", probes_alone, tmp_path_factory.mktemp("one_by_one")))
    assert len(found) == 4, "two tables, each as .csv and .md"
    return found


def test_a_worker_that_outlives_its_study_is_waited_for(
    study_config: Configure, study_store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It ends its pretraining run after the next study has begun, which must not train it again."""
    monkeypatch.setattr(jobs_module, "Pretraining", lambda *_: pytest.fail("it was trained again"))
    run = PretrainingRun(study_store.path, study_config(), frozenset(), tmp_path, ("PRIME",))
    with ThreadPoolExecutor(1) as pool:
        with sole_process(tmp_path):
            second = pool.submit(do_pretraining, run)
            with pytest.raises(TimeoutError):
                second.result(timeout=0.2)
            (tmp_path / FINISHED).write_text("", encoding="utf-8")
        second.result(timeout=60)


def test_two_jobs_at_once_make_the_same(
    one_by_one: dict[str, bytes], probes_alone: ExperimentConfig, run_study: Run, tmp_path: Path
) -> None:
    run_study("sites", probes_alone, tmp_path, JobPool(jobs=2))
    assert tables(tmp_path) == one_by_one


def test_fits_of_one_head_over_all_cohorts_are_done_by_one_process(
    study_store: Store, study_config: Configure, tmp_path: Path
) -> None:
    config = study_config(inits=[], methods=["shared_ridge", "late_ridge"])
    (arm,) = Context(study_store, config, "quick").main_arms()
    jobs = fit_jobs(ArmWork(arm, tmp_path))
    groups = [[job.result.stem.split("-fold")[0] for job in group] for group in grouped(jobs)]
    tasks = ("early", "os")
    alone = [[f"late_ridge-{task}-{cohort}"] for task in tasks for cohort in "AB"]
    assert groups == alone + [[f"shared_ridge-{task}-{cohort}" for cohort in "AB"] for task in tasks]


def test_a_group_ends_with_its_first_failure(tmp_path: Path) -> None:
    done: list[str] = []

    def work(name: str, where: Where) -> None:
        if name == "b":
            raise InputError("no")
        done.append(name)

    jobs = [Job(work, (name,), tmp_path / "parts" / name, group="x") for name in "abc"]
    runner = Runner(JobPool())
    for _ in range(2):
        with pytest.raises(InputError, match="no"):
            runner.run(jobs, "work")
    assert done == ["a"]  # what failed once is not tried again


def test_the_error_of_a_job_comes_through(study_config: Configure, run_study: Run, tmp_path: Path) -> None:
    config = study_config(pretrain={"validation_share": 0.001})
    with pytest.raises(InputError, match="0 to validate are too few"):
        run_study("protocols", config, tmp_path, JobPool(jobs=2))


@pytest.fixture
def local_ray(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Ray on this machine with two workers, which writes nothing into the user's home."""
    ray = pytest.importorskip("ray", reason="Ray is not installed: pip install -e '.[ray]'")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    ray.init(num_cpus=2, include_dashboard=False, logging_level="ERROR", log_to_driver=False)
    yield ray
    ray.shutdown()


def test_ray_makes_the_same(
    one_by_one: dict[str, bytes],
    probes_alone: ExperimentConfig,
    run_study: Run,
    local_ray: Any,
    tmp_path: Path,
) -> None:
    with pytest.raises(InputError, match="3 jobs of 1 threads, but the cluster has 2 processors"):
        run_study("sites", probes_alone, tmp_path / "out", JobPool(jobs=3, cluster="ray"))
    run_study("sites", probes_alone, tmp_path / "out", JobPool(cluster="ray"))
    assert tables(tmp_path / "out") == one_by_one


def test_without_ray_the_error_says_what_to_install(
    probes_alone: ExperimentConfig, run_study: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(InputError, match=r"--cluster ray: Ray is not installed; pip install"):
        run_study("sites", probes_alone, tmp_path, JobPool(cluster="ray"))


def test_as_an_array_job_of_slurm(
    one_by_one: dict[str, bytes], probes_alone: ExperimentConfig, run_study: Run, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """Submitit runs the tasks as processes of this machine here, from the files that it writes for SLURM."""
    monkeypatch.setattr(job_pool_module, "_SUBMITIT", "local")
    out = run_study("sites", probes_alone, tmp_path, JobPool(jobs=2, cluster="slurm"))
    assert tables(out) == one_by_one
    assert list((out / "cache").rglob("*_submitted.pkl"))


def test_what_slurm_is_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The batch script that would be submitted."""
    monkeypatch.setattr("shutil.which", lambda name, *_: f"/usr/bin/{name}" if name == "srun" else None)
    pool = JobPool(threads=4, cluster="slurm", slurm=("partition=gpu", "--time=120", "gres=gpu:1"))
    executor = pool._executor(tmp_path)
    script = executor._executor._make_submission_file_text("python task.py", "1")
    for line in ("--cpus-per-task=4", "--partition=gpu", "--time=120", "--gres=gpu:1", "--job-name=prime"):
        assert f"#SBATCH {line}" in script, script
    with pytest.raises(InputError, match="--slurm partition: write it as KEY=VALUE"):
        JobPool(cluster="slurm", slurm=("partition",))._executor(tmp_path)


def test_no_slurm_here_is_one_clear_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda *_, **__: None)
    with pytest.raises(InputError, match=r"--cluster slurm: .*srun"):
        JobPool(cluster="slurm").map(len, [("a",)], tmp_path)


def test_slurm_without_submitit_is_one_clear_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "submitit", None)
    with pytest.raises(
        InputError, match=r"submitit is not installed; pip install 'prime-prognosis\[slurm\]'"
    ):
        JobPool(cluster="slurm").map(len, [("a",)], tmp_path)


class Inline:
    """Tasks that are done when they are asked for."""

    def map_array(self, call: Callable[..., Any], *columns: Any) -> list[Any]:
        return [SimpleNamespace(result=partial(call, *given)) for given in zip(*columns, strict=True)]


@pytest.mark.parametrize("jobs", [None, 1, 2, 5, 9])
def test_results_keep_their_order(jobs: int | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(JobPool, "_executor", lambda *_: Inline())
    given = [(number, 2) for number in range(5)]
    assert JobPool(jobs, cluster="slurm").map(pow, given, tmp_path) == [0, 1, 4, 9, 16]
    assert JobPool(1).map(pow, given, tmp_path) == [0, 1, 4, 9, 16]

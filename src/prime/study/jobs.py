"""The grid of a study: jobs that each leave a file, done in parallel, on one machine or on a Ray cluster.

A job whose file exists is not done again, so a study that was killed or extended goes on where it was.
"""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportMissingTypeStubs=false
# pyright: reportUnknownArgumentType=false

import logging
import threading
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from uuid import uuid4

import joblib
import torch
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from prime.cohort.store import Store
from prime.errors import InputError
from prime.files import sha256_file, write_text
from prime.libraries import quiet_libraries
from prime.study.arms import Arm, PretrainingRun, evaluation_of
from prime.training.checkpoint import WEIGHTS
from prime.training.config import ExperimentConfig
from prime.training.evaluate import scores_path
from prime.training.pretrain import STATE, pretrain

FINISHED = "finished"


@dataclass(frozen=True)
class Machines:
    """Where jobs run: `jobs` at once, each with `threads` processor threads, here or on a Ray cluster.

    Without a number of jobs they run one by one here, and as many as there are processors on a cluster. The
    cluster is the one that RAY_ADDRESS names, or one that is started on this machine.
    """

    jobs: int | None = None
    threads: int = 1
    cluster: str | None = None

    @contextmanager
    def backend(self) -> Generator[None]:
        """The joblib backend. Raises InputError where Ray is asked for and not installed."""
        if self.cluster is None:
            jobs = self.jobs or 1
            with joblib.parallel_config(backend="loky" if jobs > 1 else "sequential", n_jobs=jobs):
                yield
            return
        jobs = self._join_cluster()
        with joblib.parallel_config(backend="ray", n_jobs=jobs, ray_remote_args={"num_cpus": self.threads}):
            yield

    def _join_cluster(self) -> int:
        """Connect to Ray, and say how many jobs run at once there."""
        try:
            import ray
            from ray.util.joblib import register_ray
        except ImportError:
            raise InputError(
                "--cluster ray: Ray is not installed; pip install 'prime-prognosis[ray]'"
            ) from None
        if not ray.is_initialized():
            ray.init(logging_level=logging.ERROR, log_to_driver=False)
        register_ray()
        processors = int(ray.cluster_resources().get("CPU", 0))
        jobs = self.jobs or max(1, processors // self.threads)
        if jobs * self.threads > processors:
            raise InputError(
                f"--cluster ray: {jobs} jobs of {self.threads} threads, but the cluster has {processors}"
                " processors; lower --jobs or --threads"
            )
        return jobs


@dataclass(frozen=True)
class Job:
    """A call that leaves `result`, a file. All of it can be sent to another process."""

    call: Callable[..., None]
    arguments: tuple[object, ...]
    result: Path

    @property
    def done(self) -> bool:
        """Whether its file is there."""
        return self.result.is_file()


def pretraining_job(store: Path, run: PretrainingRun) -> Job:
    """One pretraining run; its marker is written once it is done."""
    return Job(do_pretraining, (store, run), run.folder / FINISHED)


def do_pretraining(store: Path, run: PretrainingRun) -> None:
    """Pretrain, going on from the last epoch of an interrupted run."""
    pretrain(_open(store), run.config, run.folder, run.excluded, progress=False)
    write_text(run.folder / FINISHED, f"{sha256_file(run.folder / WEIGHTS)}\n")
    (run.folder / STATE).unlink(missing_ok=True)  # three times the weights, and only for going on


def fit_jobs(store: Store, arm: Arm, cache: Path) -> list[Job]:
    """The fits of an arm; its pretraining must be done."""
    evaluation = evaluation_of(store, arm, cache)
    text = arm.config.model_dump_json()
    return [
        Job(
            do_fit,
            (store.path, arm.name, text, arm.protocol, cache, number),
            scores_path(evaluation.part_path(fit)),
        )
        for number, fit in enumerate(evaluation.fits)
    ]


def do_fit(store: Path, name: str, config: str, protocol: str, cache: Path, number: int) -> None:
    """Do one fit of an arm, by its number."""
    evaluation = _evaluation(store, name, config, protocol, cache)
    evaluation.do(evaluation.fits[number])


@lru_cache(maxsize=1)
def _open(store: Path) -> Store:
    return Store.open(store)


@lru_cache(maxsize=1)
def _evaluation(store: Path, name: str, config: str, protocol: str, cache: Path):
    arm = Arm(name, ExperimentConfig.model_validate_json(config), protocol)  # pyright: ignore[reportArgumentType]
    return evaluation_of(_open(store), arm, cache)


def _call(job: Job, threads: int, stop: Path) -> InputError | None:
    """Do a job, unless another one has failed. A user's error is handed back and makes the rest stop.

    Raising it here would tear down the pool of workers in the middle of its work, which loky does not always
    survive without a traceback of its own.
    """
    if stop.exists():
        return None
    torch.set_num_threads(threads)
    quiet_libraries()
    try:
        job.call(*job.arguments)
    except InputError as error:
        stop.parent.mkdir(parents=True, exist_ok=True)
        stop.touch()
        return error
    return None


def run_jobs(jobs: Sequence[Job], machines: Machines, title: str, console: Console) -> int:
    """Do the jobs that are not done, showing how many and the time left. Returns how many were done.

    Raises whatever the first failing job raises; what others finished stays.
    """
    distinct = list({job.result: job for job in jobs}.values())
    todo = [job for job in distinct if not job.done]
    if not todo:
        return 0
    stop = todo[0].result.parent.parent / f".stop-{uuid4().hex}"
    try:
        with machines.backend(), _watched(todo, title, console):
            errors = joblib.Parallel(pre_dispatch="all")(
                joblib.delayed(_call)(job, machines.threads, stop) for job in todo
            )
    finally:
        stop.unlink(missing_ok=True)
    for error in errors:
        if error is not None:
            raise error
    return len(todo)


@contextmanager
def _watched(jobs: list[Job], title: str, console: Console) -> Generator[None]:
    """A progress bar that counts the files: the same for every backend."""
    columns = (
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(),
        TextColumn("left"), TimeRemainingColumn(),
    )  # fmt: skip
    over = threading.Event()
    with Progress(*columns, console=console) as progress:
        task = progress.add_task(title, total=len(jobs))

        def watch() -> None:
            while not over.wait(1.0):
                progress.update(task, completed=sum(job.done for job in jobs))

        thread = threading.Thread(target=watch, daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()
            progress.update(task, completed=sum(job.done for job in jobs))

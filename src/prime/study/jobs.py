"""The grid of a study: jobs that each leave a file, done in parallel, on one machine or on a Ray cluster.

A job whose file exists is not done again, so a study that was killed or extended goes on where it was.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from uuid import uuid4

import joblib
import torch

from prime.downstream.grid import scores_path
from prime.errors import InputError
from prime.files import sha256_file, sole_process, write_text
from prime.libraries import quiet_libraries
from prime.machines import Machines
from prime.model.checkpoint import WEIGHTS
from prime.pretraining.loop import STATE, Machine, Pretraining
from prime.progress import watched
from prime.settings.experiment import ExperimentConfig
from prime.store.store import Store
from prime.study.arms import Arm, PretrainingRun, evaluation_of

FINISHED = "finished"


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


def pretraining_job(run: PretrainingRun) -> Job:
    """One pretraining run; its marker is written once it is done."""
    return Job(do_pretraining, (run,), run.folder / FINISHED)


def do_pretraining(run: PretrainingRun) -> None:
    """Pretrain, going on from the last epoch of an interrupted run."""
    with sole_process(run.folder, wait=True):  # a worker of a killed study may still be at it
        if (run.folder / FINISHED).is_file():
            return
        Pretraining(_open(run.store), run.config, run.folder, run.excluded, Machine()).run(shown=False)
        write_text(run.folder / FINISHED, f"{sha256_file(run.folder / WEIGHTS)}\n")
        (run.folder / STATE).unlink(missing_ok=True)  # three times the weights, and only for going on


def fit_jobs(arm: Arm, cache: Path) -> list[Job]:
    """The fits of an arm; its pretraining must be done."""
    evaluation = evaluation_of(arm, cache)
    text = arm.config.model_dump_json()
    return [
        Job(
            do_fit,
            (arm.store.path, arm.name, text, arm.protocol, cache, number),
            scores_path(evaluation.part_path(fit)),
        )
        for number, fit in enumerate(evaluation.fits)
    ]


def do_fit(store: Path, name: str, config: str, protocol: str, cache: Path, number: int) -> None:
    """Do one fit of an arm, by its number."""
    evaluation = _evaluation(store, name, config, protocol, cache)
    evaluation.do(evaluation.fits[number])


@lru_cache(maxsize=2)
def _open(store: Path) -> Store:
    return Store.open(store)


@lru_cache(maxsize=1)
def _evaluation(store: Path, name: str, config: str, protocol: str, cache: Path):
    arm = Arm(name, _open(store), ExperimentConfig.model_validate_json(config), protocol)  # pyright: ignore[reportArgumentType]
    return evaluation_of(arm, cache)


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


def run_jobs(jobs: Sequence[Job], machines: Machines, title: str) -> int:
    """Do the jobs that are not done, showing how many and the time left. Returns how many were done.

    Raises whatever the first failing job raises; what others finished stays.
    """
    distinct = list({job.result: job for job in jobs}.values())
    todo = [job for job in distinct if not job.done]
    if not todo:
        return 0
    stop = todo[0].result.parent.parent / f".stop-{uuid4().hex}"
    try:
        with machines.backend(), watched(lambda: sum(job.done for job in todo), len(todo), title):
            errors = joblib.Parallel(pre_dispatch="all")(
                joblib.delayed(_call)(job, machines.threads, stop) for job in todo
            )
    finally:
        stop.unlink(missing_ok=True)
    for error in errors:
        if error is not None:
            raise error
    return len(todo)

"""The grid of a study: jobs that each leave a file, done in parallel, on one machine or on a Ray cluster.

A job whose file exists is not done again, so a study that was killed or extended goes on where it was.
"""

import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from prime.devices import device_of
from prime.errors import InputError, first_line
from prime.files import is_whole_parquet, sha256_file, sole_process, write_text
from prime.job_pool import JobPool
from prime.leftovers import hidden_name
from prime.libraries import quiet_libraries
from prime.model.checkpoint import WEIGHTS
from prime.pretraining.devices import Devices
from prime.pretraining.loop import STATE, Pretraining
from prime.progress import watched
from prime.study.arms import ArmWork, PretrainingRun, open_store
from prime.tracking.options import NOWHERE, Tracking

FINISHED = "finished"


@dataclass(frozen=True)
class Where:
    """The accelerator of a job, its number among those that share the machine's devices, and who follows."""

    accelerator: str = "auto"
    number: int = 0
    tracking: Tracking = NOWHERE


HERE = Where()


@dataclass(frozen=True)
class Job:
    """A call that leaves `result`, a file; it is given `Where` last. All of it can go to another process.

    Jobs of one `group` share what one process keeps, and are done by one, in their order; "" is no group.
    """

    call: Callable[..., None]
    arguments: tuple[object, ...]
    result: Path
    group: str = ""

    @property
    def done(self) -> bool:
        """Whether its file is there, and whole."""
        if self.result.suffix == ".parquet":
            return is_whole_parquet(self.result)
        return self.result.is_file()


def pretraining_job(run: PretrainingRun) -> Job:
    """One pretraining run; its marker is written once it is done."""
    return Job(do_pretraining, (run,), run.folder / FINISHED)


def do_pretraining(run: PretrainingRun, where: Where = HERE) -> None:
    """Pretrain, going on from the last epoch of an interrupted run."""
    with sole_process(run.folder, wait=True):  # a worker of a killed study may still be at it
        if (run.folder / FINISHED).is_file():
            return
        devices = Devices(accelerator=where.accelerator, number=where.number)
        training = Pretraining(open_store(run.store), run.config, run.folder, run.excluded, devices)
        training.run(shown=False, tracking=where.tracking.below(*run.name))
        write_text(run.folder / FINISHED, f"{sha256_file(run.folder / WEIGHTS)}\n")
        (run.folder / STATE).unlink(missing_ok=True)  # three times the weights, and only for going on


def fit_jobs(work: ArmWork) -> list[Job]:
    """The fits of an arm, way by way; its pretraining must be done."""
    evaluation = work.evaluation
    jobs: list[Job] = []
    for number, fit in sorted(enumerate(evaluation.fits), key=lambda item: item[1].way):
        group = f"{work.arm.name} {fit.way}" if evaluation.joint(fit) else ""
        jobs.append(Job(do_fit, (work, number), evaluation.scores_path(fit), group))
    return jobs


def do_fit(work: ArmWork, number: int, where: Where = HERE) -> None:
    """Do one fit of an arm, by its number."""
    device, tracking = device_of(where.accelerator, where.number), where.tracking.below(work.arm.name)
    work.evaluation.do(work.evaluation.fits[number], device, tracking)


class JobFailed(Exception):
    """A job that ended in an error that nobody foresaw: a line that says which, and its traceback."""

    def __init__(self, line: str, trace: str) -> None:
        super().__init__(line, trace)
        self.line, self.trace = line, trace

    def __str__(self) -> str:
        return self.line


Failure = InputError | JobFailed


def _call(jobs: Sequence[Job], threads: int, stop: Path, where: Where) -> dict[Path, Failure]:
    """Do jobs of one group until any fails. An error is handed back and makes the rest stop, everywhere.

    Raising it here would tear down the pool of workers in the middle of its work, which loky does not always
    survive without a traceback of its own.
    """
    torch.set_num_threads(threads)
    quiet_libraries()
    for job in jobs:
        if stop.exists():
            break
        try:
            job.call(*job.arguments, where)
            continue
        except InputError as caught:
            error: Failure = caught
        except Exception as caught:
            error = JobFailed(one_line(caught), traceback.format_exc())
        stop.parent.mkdir(parents=True, exist_ok=True)
        stop.touch()
        return {job.result: error}
    return {}


def grouped(jobs: Sequence[Job]) -> list[list[Job]]:
    """The jobs by group, in the order in which groups first appear; one without a group stands alone."""
    groups: dict[str, list[Job]] = {}
    for job in jobs:
        groups.setdefault(job.group or str(job.result), []).append(job)
    return list(groups.values())


def one_line(error: Exception) -> str:
    """The kind of an error and the first line of what it says."""
    return f"{type(error).__name__}: {first_line(error)}"


class Runner:
    """Does jobs in a pool, showing how many are done; what failed once is not tried again."""

    def __init__(self, pool: JobPool, accelerator: str = "auto", tracking: Tracking = NOWHERE) -> None:
        self.pool, self.accelerator, self.tracking = pool, accelerator, tracking
        self.failed: dict[Path, Failure] = {}

    def run(self, jobs: Sequence[Job], title: str) -> int:
        """Do the jobs that are not done. Returns how many that were.

        Raises the InputError of the first job that failed, or JobFailed; what others finished stays.
        """
        todo = list({job.result: job for job in jobs if not job.done}.values())
        if not todo:
            return 0
        for job in todo:
            if job.result in self.failed:
                raise self.failed[job.result]
        stop = hidden_name(todo[0].result.parent.parent / "stop")
        bar = watched(lambda: sum(job.done for job in todo), len(todo), title)
        try:
            arguments = [
                (group, self.pool.threads, stop, Where(self.accelerator, number, self.tracking))
                for number, group in enumerate(grouped(todo))
            ]
            with bar:
                failures = self.pool.map(_call, arguments, stop.parent)
        finally:
            stop.unlink(missing_ok=True)
        failed = {result: error for found in failures for result, error in found.items()}
        self.failed |= failed
        for error in failed.values():
            raise error
        return len(todo)

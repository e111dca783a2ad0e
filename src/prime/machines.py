"""Where many independent jobs run: one after the other, on this machine's processors, or on a Ray cluster."""

import logging
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from prime.errors import InputError

if TYPE_CHECKING:
    from rich.console import Console


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
        import joblib

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


@contextmanager
def watched(done: Callable[[], int], total: int, title: str, console: "Console") -> Generator[None]:
    """A progress bar that asks every second how many of `total` are done: the same for every backend."""
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    from prime.progress import LongProgress

    columns = (
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(),
        TextColumn("left"), TimeRemainingColumn(),
    )  # fmt: skip
    over = threading.Event()
    with LongProgress(*columns, console=console) as progress:
        task = progress.add_task(title, total=total, completed=done())

        def watch() -> None:
            while not over.wait(1.0):
                progress.update(task, completed=done())

        thread = threading.Thread(target=watch, daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()
            progress.update(task, completed=done())

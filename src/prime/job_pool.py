"""Where many independent jobs run: one after the other, on this machine's processors, or on a Ray cluster."""

import logging
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Annotated, Literal

from cyclopts import Parameter

from prime.arguments import Count, about
from prime.errors import InputError


@Parameter("*")
@dataclass(frozen=True)
class JobPool:
    """Where jobs run: `jobs` at once, each with `threads` processor threads, here or on a Ray cluster.

    Without a number of jobs they run one by one here, and as many as there are processors on a cluster. The
    cluster is the one that RAY_ADDRESS names, or one that is started on this machine.
    """

    jobs: Annotated[Count | None, about("How many at once (1; on a cluster all processors).")] = None
    threads: Annotated[Count, about("Processor threads of each.")] = 1
    cluster: Annotated[Literal["ray"] | None, about("Run on a Ray cluster.")] = None

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

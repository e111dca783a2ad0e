"""Where many independent jobs run: one after the other, on this machine's processors, on Ray, or in SLURM."""

import logging
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, cast

from cyclopts import Parameter

from prime.arguments import Count, Words, about
from prime.errors import InputError, first_line

Result = TypeVar("Result")


@Parameter("*")
@dataclass(frozen=True)
class JobPool:
    """Where jobs run: `jobs` at once, each with `threads` processor threads, here or on a cluster.

    Without a number of jobs they run one by one here, as many as there are processors on Ray, and each as a
    task of its own in SLURM. Ray's cluster is the one that RAY_ADDRESS names, or one that is started on this
    machine. In SLURM the jobs are the tasks of one array job, whose sbatch options are `slurm`; the folder of
    the results must be on a disk that all machines share.
    """

    jobs: Annotated[Count | None, about("How many at once (1; on a cluster all processors).")] = None
    threads: Annotated[Count, about("Processor threads of each.")] = 1
    cluster: Annotated[Literal["ray", "slurm"] | None, about("Run on Ray, or as a SLURM array.")] = None
    slurm: Annotated[Words, about("Options of sbatch, such as partition=gpu time=120.", "KEY=VALUE")] = ()

    def map(
        self, call: Callable[..., Result], arguments: Sequence[tuple[Any, ...]], folder: Path
    ) -> list[Result]:
        """What `call` returns for each tuple of arguments, in their order; `folder` is for SLURM's files.

        Raises InputError where Ray or submitit is asked for and not installed.
        """
        if self.cluster == "slurm":
            return self._in_slurm(call, arguments, folder)
        import joblib

        with self._backend():
            done = joblib.Parallel(pre_dispatch="all")(joblib.delayed(call)(*given) for given in arguments)
            return cast(list[Result], done)

    # SLURM --------------------------------------------------------------------------------------------------

    def _in_slurm(
        self, call: Callable[..., Result], arguments: Sequence[tuple[Any, ...]], folder: Path
    ) -> list[Result]:
        """One array job: a task for each of `jobs` shares of the arguments, or for each of them."""
        shares = min(self.jobs or len(arguments), len(arguments))
        parts = [list(arguments[share::shares]) for share in range(shares)]
        tasks = self._executor(folder).map_array(_all_of, [call] * shares, parts)
        results: list[Any] = [None] * len(arguments)
        for share, task in enumerate(tasks):
            results[share::shares] = task.result()
        return results

    def _executor(self, folder: Path) -> Any:
        try:
            import submitit
        except ImportError:
            raise InputError(
                "--cluster slurm: submitit is not installed; pip install 'prime-prognosis[slurm]'"
            ) from None
        options = self._sbatch_options()
        try:
            executor = submitit.AutoExecutor(folder / "slurm", cluster=_SUBMITIT)
        except RuntimeError as error:
            raise InputError(f"--cluster slurm: {first_line(error)}") from None
        executor.update_parameters(
            name="prime", cpus_per_task=self.threads, slurm_additional_parameters=options
        )
        return executor

    def _sbatch_options(self) -> dict[str, str]:
        options: dict[str, str] = {}
        for text in self.slurm:
            key, equals, value = text.partition("=")
            if not (key and equals and value):
                raise InputError(f"--slurm {text}: write it as KEY=VALUE, for example partition=gpu")
            options[key.removeprefix("--")] = value
        return options

    # This machine and Ray -----------------------------------------------------------------------------------

    @contextmanager
    def _backend(self) -> Generator[None]:
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


_SUBMITIT: str | None = "slurm"  # tests put `local` here, which runs tasks as processes of this machine


def _all_of(call: Callable[..., Result], arguments: list[tuple[Any, ...]]) -> list[Result]:
    """One task of the array."""
    return [call(*given) for given in arguments]

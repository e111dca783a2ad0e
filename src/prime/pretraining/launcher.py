"""Who starts the processes of a run on several devices: torchrun, srun, or the run itself.

What the environment says is read here and checked against `--devices` and `--nodes`, so that no run trains
alone in every process, waits for processes that nobody starts, or dies of a variable of SLURM that does not
concern it. An interactive shell (salloc), a batch script without srun and an array task are all one process:
it starts the others itself.
"""

import os
import socket
from collections.abc import Mapping

from lightning_fabric.plugins.environments.cluster_environment import ClusterEnvironment
from lightning_fabric.plugins.environments.lightning import LightningEnvironment
from lightning_fabric.plugins.environments.slurm import SLURMEnvironment
from lightning_fabric.plugins.environments.torchelastic import TorchElasticEnvironment

from prime.errors import InputError

HERE = "127.0.0.1"
STEP = ("SLURM_STEP_ID", "SLURM_STEPID")


class SlurmStep(SLURMEnvironment):
    """The tasks of one srun; Lightning's own takes every variable of the job for one of the step."""

    def __init__(self, nodes: int) -> None:
        self.nodes = nodes

    @property
    def main_address(self) -> str:
        """Where the tasks meet: MASTER_ADDR, this machine where there is one, else the step's first node.

        Raises InputError for a node whose name cannot be resolved.
        """
        if "MASTER_ADDR" in os.environ:
            return os.environ["MASTER_ADDR"]
        if self.nodes == 1:
            return HERE
        names = ("SLURM_STEP_NODELIST", "SLURM_JOB_NODELIST", "SLURM_NODELIST")
        listed = next((os.environ[name] for name in names if name in os.environ), HERE)
        first = self.resolve_root_node_address(listed)
        try:
            socket.getaddrinfo(first, None)
        except OSError:
            raise InputError(
                f"SLURM: the first node of {listed!r}, {first!r}, cannot be resolved to an address; set"
                " MASTER_ADDR to that node's address before srun"
            ) from None
        return first

    def world_size(self) -> int:
        """The tasks of the step."""
        return step_tasks(os.environ)

    def validate_settings(self, num_devices: int, num_nodes: int) -> None:
        """Nothing: `process_environment` has checked both."""


def step_tasks(environment: Mapping[str, str]) -> int:
    """How many processes srun started together with this one; 1 outside of a step."""
    if not any(name in environment for name in STEP):
        return 1
    return int(environment.get("SLURM_STEP_NUM_TASKS", environment.get("SLURM_NTASKS", "1")))


def process_environment(devices: int, nodes: int) -> ClusterEnvironment:
    """What tells each process its place among `devices` processes on each of `nodes` machines.

    Raises InputError where torchrun or srun started another number of processes than were asked for, and
    where several machines are asked for and nobody starts processes on the others.
    """
    wanted, asked = devices * nodes, f"--devices {devices} --nodes {nodes}"
    if TorchElasticEnvironment.detect():
        started = int(os.environ["WORLD_SIZE"])
        _require(started, wanted, f"torchrun started {started} processes", asked)
        return TorchElasticEnvironment()
    if (started := step_tasks(os.environ)) > 1:
        _require(started, wanted, f"srun started {started} processes", asked)
        return SlurmStep(nodes)
    if nodes > 1 and "NODE_RANK" not in os.environ:
        raise InputError(
            f"{asked}: nothing starts the processes on the other machines; start prime with"
            f" srun --nodes={nodes} --ntasks-per-node={devices}, or with torchrun on every machine"
        )
    return LightningEnvironment()


def _require(started: int, wanted: int, found: str, asked: str) -> None:
    if started != wanted:
        raise InputError(
            f"{found}, {asked} asks for {wanted}: each process would train on its own, or wait for others;"
            " give --devices and --nodes as they were started"
        )

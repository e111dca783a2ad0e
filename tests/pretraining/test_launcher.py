"""Where processes come from: the four environments of SLURM, torchrun, and none of them."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from lightning_fabric.plugins.environments import LightningEnvironment, TorchElasticEnvironment

from prime.errors import InputError
from prime.pretraining.launcher import HERE, SlurmStep, process_environment
from prime.store.store import Store

JOB = {"SLURM_JOB_ID": "4711", "SLURM_NNODES": "1", "SLURM_NODELIST": "node7", "SLURM_JOB_NODELIST": "node7"}
INTERACTIVE = {**JOB, "SLURM_NTASKS": "4", "SLURM_JOB_NAME": "allocation"}  # salloc -n 4, then a shell
BATCH = {**JOB, "SLURM_NTASKS": "2", "SLURM_JOB_NAME": "run.sh", "SLURM_PROCID": "0", "SLURM_LOCALID": "0"}
ARRAY = {**JOB, "SLURM_NTASKS": "1", "SLURM_ARRAY_TASK_ID": "3", "SLURM_ARRAY_JOB_ID": "4700"}
STEP = {**JOB, "SLURM_NTASKS": "8", "SLURM_STEP_ID": "0", "SLURM_STEP_NUM_TASKS": "4", "SLURM_PROCID": "2",
        "SLURM_LOCALID": "0", "SLURM_NODEID": "1", "SLURM_STEP_NODELIST": "no-such-node[7-8]"}  # fmt: skip
TORCHRUN = {"RANK": "1", "GROUP_RANK": "0", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "2", "WORLD_SIZE": "2",
            "TORCHELASTIC_RUN_ID": "none"}  # fmt: skip


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith(("SLURM_", "TORCHELASTIC_")) or name in (*TORCHRUN, "MASTER_ADDR", "NODE_RANK"):
            monkeypatch.delenv(name)


def put(monkeypatch: pytest.MonkeyPatch, variables: dict[str, str]) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)


@pytest.mark.parametrize(
    "variables", [{}, INTERACTIVE, BATCH, ARRAY], ids=["none", "shell", "batch", "array"]
)
@pytest.mark.parametrize("devices", [1, 2])
def test_one_process_starts_the_others_itself(
    variables: dict[str, str], devices: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(monkeypatch, variables)
    assert isinstance(process_environment(devices, 1), LightningEnvironment)


def test_the_tasks_of_a_step_are_the_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    put(monkeypatch, STEP)
    found = process_environment(2, 2)
    assert isinstance(found, SlurmStep)
    assert (found.world_size(), found.global_rank(), found.local_rank(), found.node_rank()) == (4, 2, 0, 1)
    assert found.creates_processes_externally


@pytest.mark.parametrize(("devices", "nodes"), [(1, 1), (2, 1), (8, 1), (4, 2)])
def test_another_number_of_tasks_is_one_clear_error(
    devices: int, nodes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(monkeypatch, STEP)
    with pytest.raises(
        InputError, match=f"srun started 4 processes, --devices {devices} --nodes {nodes} asks"
    ):
        process_environment(devices, nodes)


def test_a_node_whose_name_nobody_resolves(monkeypatch: pytest.MonkeyPatch) -> None:
    put(monkeypatch, STEP)
    with pytest.raises(InputError, match=r"'no-such-node7', cannot be resolved.*set MASTER_ADDR"):
        _ = process_environment(2, 2).main_address
    monkeypatch.setenv("MASTER_ADDR", "10.0.0.7")
    assert process_environment(2, 2).main_address == "10.0.0.7"
    monkeypatch.delenv("MASTER_ADDR")
    assert process_environment(4, 1).main_address == HERE  # one machine needs no name


def test_torchrun(monkeypatch: pytest.MonkeyPatch) -> None:
    put(monkeypatch, {**INTERACTIVE, **TORCHRUN})
    assert isinstance(process_environment(2, 1), TorchElasticEnvironment)
    with pytest.raises(InputError, match="torchrun started 2 processes"):
        process_environment(1, 1)


def test_machines_that_nobody_starts_are_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="--nodes 2: nothing starts the processes on the other machines"):
        process_environment(1, 2)
    put(monkeypatch, {**INTERACTIVE, "NODE_RANK": "0"})
    assert isinstance(process_environment(1, 2), LightningEnvironment)


DRIVER = """
import sys, torch
from pathlib import Path
from tests.made_up import experiment
from prime.store.store import Store
from prime.pretraining.devices import Devices
from prime.pretraining.loop import pretrain
torch.set_num_threads(1)
pretrain(Store.open(sys.argv[1]), experiment(epochs=1), Path(sys.argv[2]), devices=Devices(2, 1, "cpu"))
"""


def test_two_tasks_of_srun_write_one_run(made_up_store: Store, tmp_path: Path) -> None:
    """Both processes are started from outside, as srun does, in a job that has more tasks than the step."""
    script, out = tmp_path / "driver.py", tmp_path / "run"
    script.write_text(DRIVER, encoding="utf-8")
    tests = Path(__file__).resolve().parents[1]
    tasks: list[subprocess.Popen[str]] = []
    for rank in range(2):
        step = {**STEP, "SLURM_STEP_NUM_TASKS": "2", "SLURM_PROCID": str(rank), "SLURM_LOCALID": str(rank)}
        step |= {"SLURM_NODEID": "0", "MASTER_PORT": str(20000 + os.getpid() % 20000)}
        path = os.pathsep.join([str(tests), os.environ.get("PYTHONPATH", "")])
        tasks.append(
            subprocess.Popen(
                [sys.executable, str(script), str(made_up_store.path), str(out)],
                env={**os.environ, **step, "PYTHONPATH": path},
                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            )
        )  # fmt: skip
    said = [task.communicate(timeout=300)[1] for task in tasks]
    assert [task.returncode for task in tasks] == [0, 0], said
    assert (out / "model.safetensors").is_file()
    assert len((out / "log.jsonl").read_text(encoding="utf-8").splitlines()) == 1

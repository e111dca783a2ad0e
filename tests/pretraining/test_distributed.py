"""Two gloo processes give the gradients of one process on the joined batch."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch import Tensor

from prime.pretraining.gather import gather
from prime.pretraining.network import OpaqueBatch, PretrainingModel
from prime.pretraining.setup import freeze_unread
from prime.store.batch import Batch
from prime.store.store import Store
from tests.made_up import losses_of, make_batch, patterns_without_nothing, pretraining_model, select

RANKS, EACH = 2, 6
CASES: dict[str, dict[str, dict[str, Any]]] = {
    "plain": {},
    "options": {
        "alignment": {"pair_weighting": "patients"},
        "consistency": {"negatives": "both_views"},
        "balance": {"weight": 0.01, "imputed": False},
        "prediction": {"weight": 0.5},
    },
    "alone": {name: {"weight": 0.0} for name in ("consistency", "balance")},
    "absent": {},  # the second rank has no patient with the third modality
}


def joined_batch(case: str) -> Batch:
    observed = patterns_without_nothing(RANKS * EACH, 3, 0)
    if case == "absent":
        observed[EACH:, 2] = False
        observed[EACH:, 0] = True
    return make_batch(observed)


def small_model(case: str) -> PretrainingModel:
    """No dropping and no noise: nothing random, whatever the rank."""
    quiet = {"drop_modality": 0.0, "drop_token": 0.0, "dirichlet_noise": False}
    model = pretraining_model(losses=CASES[case], learn_temperature=True, **quiet)
    freeze_unread(model, make_batch(patterns_without_nothing(4, 3, 1)))
    return model.train()


def worker(rank: int, folder: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=RANKS)
    for case in CASES:
        model = small_model(case)
        parallel = torch.nn.parallel.DistributedDataParallel(model)
        mine = select(joined_batch(case), torch.arange(rank * EACH, (rank + 1) * EACH))
        for _ in range(2):  # a parameter without a gradient would be missed at the second step
            model.zero_grad()
            rows = parallel(OpaqueBatch(mine)).rows
            losses = model.weigh({name: gather(tensors) for name, tensors in rows.items()})
            losses["total"].backward()
        gradients = {n: p.grad for n, p in model.named_parameters()}
        torch.save({"losses": losses, "gradients": gradients}, Path(folder) / f"{case}-{rank}.pt")
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def two_processes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder in which two processes leave what they found in every case."""
    folder = tmp_path_factory.mktemp("ranks")
    mp.spawn(worker, args=(str(folder),), nprocs=RANKS)
    return folder


@pytest.mark.parametrize("case", CASES)
def test_gradients_equal_those_of_one_process(case: str, two_processes: Path) -> None:
    model = small_model(case)
    losses = losses_of(model, joined_batch(case))
    losses["total"].backward()
    results = [torch.load(two_processes / f"{case}-{rank}.pt", weights_only=True) for rank in range(RANKS)]
    for result in results:
        for name, loss in losses.items():
            assert torch.allclose(result["losses"][name], loss, atol=1e-5), name
        for name, parameter in model.named_parameters():
            found: Tensor | None = result["gradients"][name]
            assert (found is None) == (parameter.grad is None), name
            if found is not None and parameter.grad is not None:
                assert torch.allclose(found, parameter.grad, atol=1e-5), name
    for name, first in results[0]["gradients"].items():
        assert first is None or torch.equal(first, results[1]["gradients"][name]), name


DRIVER = """
import sys, torch
from pathlib import Path
from tests.made_up import experiment
from prime.store.store import Store
from prime.pretraining.devices import Devices
from prime.pretraining.loop import pretrain
if __name__ == "__main__":
    torch.set_num_threads(1)
    pretrain(Store.open(sys.argv[1]), experiment(), Path(sys.argv[2]), devices=Devices(2, 1, "cpu"))
"""


def test_pretraining_on_two_devices_writes_one_run(made_up_store: Store, tmp_path: Path) -> None:
    script, out = tmp_path / "driver.py", tmp_path / "run"
    script.write_text(DRIVER, encoding="utf-8")
    tests = Path(__file__).resolve().parents[1]
    result = subprocess.run(
        [sys.executable, str(script), str(made_up_store.path), str(out)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(tests), os.environ.get("PYTHONPATH", "")])},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert result.returncode == 0, result.stderr[-3000:]
    rows = [json.loads(line) for line in (out / "log.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [row["epoch"] for row in rows] == [0, 1]
    assert rows[1]["validation/total"] < 4
    assert (out / "model.safetensors").is_file()

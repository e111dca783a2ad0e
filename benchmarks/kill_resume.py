"""Kill pretraining with SIGKILL at random moments, resume it, and compare the weights with a whole run.

    python benchmarks/kill_resume.py [--store STORE --config EXPERIMENT.yaml] [--kills 10] [--seed 0]

Prints one line a kill: where it struck, and the SHA-256 of the final model.safetensors. Ends with status 1
where a hash, or the log of any epoch, differs. Without --store a
cohort is simulated (no reports, so no text encoder is needed).
"""

import argparse
import json
import multiprocessing
import os
import signal
import sys
import tempfile
import time
from pathlib import Path
from random import Random
from typing import Any

import torch

from prime.cohort.config import load_cohort
from prime.demo.simulate import simulate
from prime.files import sha256_file
from prime.pretraining.loop import LOG, pretrain
from prime.settings.experiment import ExperimentConfig, load_experiment
from prime.store.packing import pack
from prime.store.store import Store

# This process computes nothing with torch, so its children may be forked: their start costs no imports.
FORK = multiprocessing.get_context("fork")
SMALL = {
    "cohort": "cohort.yaml",
    "model": {"dim": 32, "queries": 4, "prototypes": 16},
    "pretrain": {"epochs": 8, "batch_size": 32, "precision": "32-true"},
}


def simulated_store(folder: Path, patients: int) -> Store:
    """A packed simulated cohort without its reports."""
    cohort = load_cohort(simulate(folder / "cohort", patients=patients, seed=0))
    kept = {name: sources for name, sources in cohort.modalities.items() if name != "report"}
    return Store.open(pack(cohort.model_copy(update={"modalities": kept}), folder / "store", progress=False))


def child(store: Path, config: ExperimentConfig, out: Path) -> None:
    """Pretrain, silently, on one thread: a network this small gains nothing from more."""
    torch.set_num_threads(1)
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, sys.stdout.fileno())
    pretrain(Store.open(store), config, out)


def start(store: Path, config: ExperimentConfig, out: Path) -> FORK.Process:  # type: ignore[name-defined]
    process = FORK.Process(target=child, args=(store, config, out))
    process.start()
    return process


def finish(store: Path, config: ExperimentConfig, out: Path) -> str:
    """Run to the end; the hash of the weights."""
    process = start(store, config, out)
    process.join()
    if process.exitcode != 0:
        sys.exit(f"pretraining failed with status {process.exitcode}")
    return sha256_file(out / "model.safetensors")


def finished_epochs(out: Path) -> int:
    """Epochs in the log; -1 before training begins."""
    if (out / LOG).is_file():
        return len((out / LOG).read_text(encoding="utf-8").splitlines())
    return 0 if (out / "manifest.json").is_file() else -1


def timeless_log(out: Path) -> list[dict[str, Any]]:
    """Every epoch's figures but its speed: the best weights alone would hide a later difference."""
    rows = [json.loads(line) for line in (out / LOG).read_text(encoding="utf-8").splitlines()]
    return [
        {key: value for key, value in row.items() if key not in ("patients_per_second", "waiting_share")}
        for row in rows
    ]


def kill(store: Path, config: ExperimentConfig, out: Path, random: Random, epoch_seconds: float) -> str:
    """Start a run and kill it after a random epoch and a random while. Says where it struck."""
    after = random.randrange(config.pretrain.epochs - 1)
    pause = random.uniform(0, epoch_seconds)
    process = start(store, config, out)
    while finished_epochs(out) < after and process.is_alive():
        time.sleep(0.002)
    time.sleep(pause)
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    left = sorted(path.name for path in out.iterdir() if path.name.startswith("."))
    note = f", {len(left)} half-written file" if left else ""
    if process.exitcode != -signal.SIGKILL:
        note = ", too late: it had ended"
    return f"killed after epoch {finished_epochs(out)} of {config.pretrain.epochs}{note}"


def read_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--store", type=Path, help="a packed store; default: simulate one")
    parser.add_argument("--config", type=Path, help="an experiment; default: a small one of 8 epochs")
    parser.add_argument("--patients", type=int, default=200, help="of the simulated cohort")
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    return parser.parse_args()


def main() -> int:
    options = read_options()
    random = Random(options.seed)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        store = options.store or simulated_store(folder, options.patients).path
        config = load_experiment(options.config) if options.config else ExperimentConfig.model_validate(SMALL)
        started = time.perf_counter()
        whole = finish(store, config, folder / "whole")
        epoch_seconds = (time.perf_counter() - started) / config.pretrain.epochs
        print(f"uninterrupted: {whole}", flush=True)
        same = 0
        for number in range(1, options.kills + 1):
            out = folder / f"killed-{number}"
            where = kill(store, config, out, random, epoch_seconds)
            digest = finish(store, config, out)
            same += digest == whole
            verdict = "same" if digest == whole else "DIFFERENT"
            print(f"{number}: {where}; resumed: {digest} {verdict}", flush=True)
            if timeless_log(out) != timeless_log(folder / "whole"):
                sys.exit(f"the log of run {number} is not that of the uninterrupted run")
    print(f"{same} of {options.kills} resumed runs have the weights of the uninterrupted run")
    return 0 if same == options.kills else 1


if __name__ == "__main__":
    sys.exit(main())

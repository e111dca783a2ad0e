"""Time a pretraining step: plain float32 eager, the default, and the floor of its matrix products.

    python benchmarks/step_time.py [--store STORE --config EXPERIMENT.yaml] [--repeats 15] [--batch 256]

Plain is float32 with torch's scaled_dot_product_attention and keys and values of every token, fed by an
ordinary torch DataLoader; the default is the experiment's own precision and attention, fed by batches made
ahead. The floor is the default step's matrix-product operations (counted over one step, forward and backward)
divided by the rate this machine reaches on large products in the default's precision. All of them take turns
in every repeat. A step is a new batch, forward, losses, backward, clipping and the optimiser. Prints medians,
ratios, patients per second, the share of a step that waits for its batch, and the peak memory of the process.
"""

import argparse
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from kill_resume import simulated_store
from torch.utils.data import DataLoader, Dataset
from torch.utils.flop_counter import FlopCounterMode

from prime.arrays import Indices
from prime.model.parameters import parameter_groups
from prime.precision import resolved
from prime.pretraining.losses.interface import TrainingData
from prime.pretraining.network import OpaqueBatch
from prime.pretraining.setup import build_model, choose_patients
from prime.settings.experiment import ExperimentConfig, load_experiment
from prime.store.ahead import made_ahead
from prime.store.batch import Batch
from prime.store.loading import PatientLoader, fit_scalings
from prime.store.store import Store

Step = Callable[[], None]


def make_step(
    data: TrainingData,
    config: ExperimentConfig,
    batches: Iterator[Batch],
    device: str,
    precision: str,
    attention: str,
    waited: list[float],
) -> Step:
    """One training step without arguments; `waited` takes the seconds until it has its batch."""
    model_config = config.model.model_copy(update={"attention": attention})
    model = build_model(config.model_copy(update={"model": model_config}), data).to(device).train()
    groups = parameter_groups(model, config.pretrain.weight_decay)
    optimizer = torch.optim.AdamW(groups, lr=config.pretrain.learning_rate)
    mixed = precision == "bf16-mixed"

    def step() -> None:
        asked = time.perf_counter()
        batch = next(batches).to(device)
        waited.append(time.perf_counter() - asked)
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast(device, dtype=torch.bfloat16, enabled=mixed):
            rows = model(OpaqueBatch(batch)).rows
        model.weigh(rows)["total"].backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), config.pretrain.gradient_clip)
        optimizer.step()

    return step


class Drawn(Dataset[Batch]):
    """Endless batches of patients drawn with a seed, for a DataLoader."""

    def __init__(self, loader: PatientLoader, able: Indices, size: int) -> None:
        self.loader, self.able, self.size = loader, able, size

    def __getitem__(self, number: int) -> Batch:
        chosen = np.random.default_rng(number).choice(self.able, self.size, replace=False)
        return self.loader.batch(np.sort(chosen))


def seconds(work: Step, device: str) -> float:
    """Wall time of one call."""
    if device == "cuda":
        torch.cuda.synchronize()
    started = time.perf_counter()
    work()
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - started


def count_operations(step: Step) -> int:
    """Floating-point operations of a step's matrix products, two for each multiply-add."""
    with FlopCounterMode(display=False) as counter:
        step()
    return counter.get_total_flops()


def big_product(device: str, dtype: torch.dtype, size: int) -> Step:
    a, b = torch.randn((2, size, size), device=device).to(dtype)

    def work() -> None:
        torch.mm(a, b)

    return work


def read_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--store", type=Path, help="a packed store; default: simulate one")
    parser.add_argument("--config", type=Path, help="an experiment; default: all defaults")
    parser.add_argument("--patients", type=int, default=300, help="of the simulated cohort")
    parser.add_argument("--batch", type=int, help="default: the experiment's batch_size")
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--product", type=int, help="size of the large products; default 2048, 8192 on a GPU")
    return parser.parse_args()


def report(
    medians: dict[str, float], operations: int, size: int, patients: int, precision: str, waiting: float
) -> None:
    """Print times, ratios and rates."""
    rate = {name: 2 * size**3 / medians[name] for name in ("product bf16", "product float32")}
    floor = operations / rate["product bf16" if precision == "bf16-mixed" else "product float32"]
    print(f"matrix products of a step: {operations / 1e9:.1f} G operations")
    for name, value in rate.items():
        print(f"{name}: {value / 1e9:.0f} G operations a second, {size} x {size}")
    for name in ("plain", "default"):
        per_second = patients / medians[name]
        print(
            f"{name}: {medians[name] * 1e3:.1f} ms a step, {per_second:.0f} patients a second,"
            f" {medians[name] / floor:.2f} times the floor"
        )
    print(f"floor, {precision}: {floor * 1e3:.1f} ms")
    print(f"default: {100 * waiting / medians['default']:.1f} % of a step waits for its batch")
    print(f"plain / default: {medians['plain'] / medians['default']:.2f}")


def main() -> None:
    options = read_options()
    device: str = options.device
    with tempfile.TemporaryDirectory() as name:
        store = Store.open(options.store) if options.store else simulated_store(Path(name), options.patients)
        config = (
            load_experiment(options.config)
            if options.config
            else ExperimentConfig.model_validate({"cohort": "cohort.yaml"})
        )
        able = choose_patients(store, config.pretrain, frozenset())
        data = TrainingData(store, fit_scalings(store, able, config.clip), able)
        loader = PatientLoader(store, data.scaling)
        size = min(options.batch or config.pretrain.batch_size, len(able))
        drawn, steps, waited = Drawn(loader, able, size), options.repeats + 4, list[float]()
        ordinary = iter(DataLoader(drawn, batch_size=None, sampler=range(steps)))
        ahead = made_ahead(drawn.__getitem__, range(steps), 1)
        precision = resolved(config.pretrain.precision, device)
        plain = make_step(data, config, ordinary, device, "32-true", "sdpa", [])
        default = make_step(data, config, ahead, device, precision, config.model.attention, waited)
    large = options.product or (8192 if device == "cuda" else 2048)
    work = {
        "plain": plain,
        "default": default,
        "product bf16": big_product(device, torch.bfloat16, large),
        "product float32": big_product(device, torch.float32, large),
    }
    print(f"{size} patients a step, {device}, {torch.get_num_threads()} threads, torch {torch.__version__}")
    operations = count_operations(default)
    times: dict[str, list[float]] = {kind: [] for kind in work}
    for repeat in range(options.repeats + 2):  # two to warm up
        for kind, function in work.items():
            taken = seconds(function, device)
            if repeat >= 2:
                times[kind].append(taken)
    medians = {kind: statistics.median(values) for kind, values in times.items()}
    report(medians, operations, large, size, precision, statistics.median(waited[2:]))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    print(f"peak memory of the process, all four together: {peak / 2**30:.2f} GiB")
    if device == "cuda":
        print(f"peak memory of the device: {torch.cuda.max_memory_allocated() / 2**30:.2f} GiB")


if __name__ == "__main__":
    main()

"""Time the linear probes of one task against a plain loop with the frozen network inside, and compare both.

    python benchmarks/linear_probe.py [--store STORE --config EXPERIMENT.yaml --checkpoint FOLDER]
                                      [--cohorts 5] [--epochs 50] [--folds-timed 1] [--repeats 3]

Fast is what an evaluation does: every patient of a cohort embedded once (a cache of distinct subsets of
modalities), then the heads of all its folds fitted in one batch by Newton's method, then the test patients
predicted. Plain is the loop that one writes first: for each fold one pass of its patients through the frozen
network for the components, then epochs, each of which takes every training patient through the frozen network
again, in mini-batches, for one step of an optimiser on the head; then the test patients. Both solve the same
problem (components, time bins, ridge), and neither is charged for loading the store, its scaling or the
checkpoint. The plain loop takes the ridge that the fast one has chosen and pays nothing for choosing.

Measured in this one run, on one thread:
  - fast, `repeats` times, medians: one pattern (patients as they come), and every pattern with its own heads;
  - plain, one epoch of EVERY fold: the pass for the components, one epoch, the test patients. The whole loop
    is the first and the last as measured, and the epoch times `epochs`;
  - plain, all epochs of `folds-timed` folds, the smallest ones: L-BFGS, one step an epoch with the gradient
    of all patients, in float64. It checks the extrapolation, and its head is compared with the fast one;
  - plain with AdamW, one step a mini-batch, one epoch of the same folds: the usual form, for its time.
Seconds are those of the wall and, less disturbed by other work on the machine, of the processor. Ends with
status 1 where the survival of a test patient differs by more than 1e-5.
"""

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np
import torch
from kill_resume import simulated_store
from numpy.typing import NDArray
from torch import Tensor

from prime.downstream.embeddings import EmbeddingCache, embed, read_out
from prime.downstream.probe import FittedHead, Projection, fit_projection, probe_folds
from prime.evaluation.missingness import patterns
from prime.model.checkpoint import load_checkpoint
from prime.model.prime import Prime, random_prime
from prime.objectives.survival import assign_bins, nll
from prime.settings.evaluation import EvaluateConfig
from prime.settings.experiment import ExperimentConfig, load_experiment
from prime.splits.evaluation_folds import evaluation_folds
from prime.splits.folds import Fold
from prime.splits.outcomes import Outcome, read_outcome
from prime.store.inputs import input_spec
from prime.store.loading import PatientLoader, fit_scalings
from prime.store.store import Store

Indices = NDArray[np.int64]
Patterns = dict[str, tuple[bool, ...]]
Result = TypeVar("Result")
AGREE = 1e-5


class Seconds(NamedTuple):
    """Time of the wall and of the processor."""

    wall: float
    cpu: float

    def plus(self, other: "Seconds", times: float = 1.0) -> "Seconds":
        return Seconds(self.wall + times * other.wall, self.cpu + times * other.cpu)

    def __str__(self) -> str:
        return f"{self.wall:.2f} s ({self.cpu:.2f} s of the processor)"


NOTHING = Seconds(0.0, 0.0)


def timed(work: Callable[[], Result]) -> tuple[Result, Seconds]:
    """What a call returns and what it took."""
    wall, cpu = time.perf_counter(), time.process_time()
    result = work()
    return result, Seconds(time.perf_counter() - wall, time.process_time() - cpu)


def median(values: list[Seconds]) -> Seconds:
    return Seconds(statistics.median(v.wall for v in values), statistics.median(v.cpu for v in values))


@dataclass(frozen=True)
class Task:
    """What both ways are given: data, frozen network, folds by cohort, outcome, settings."""

    store: Store
    model: Prime
    loader: PatientLoader
    outcome: Outcome
    folds: dict[str, list[Fold]]
    settings: EvaluateConfig

    @property
    def every_fold(self) -> list[Fold]:
        return [fold for folds in self.folds.values() for fold in folds]

    def fitted_on(self, fold: Fold) -> Indices:
        """Whom the final head of a fold is fitted on."""
        return np.concatenate([fold.train, fold.validation]) if self.settings.probe.refit else fold.train


@dataclass(frozen=True)
class Fast:
    """The heads of "all" of every fold, the embeddings of its cohort, and the seconds of each part."""

    heads: list[FittedHead]
    caches: list[EmbeddingCache]
    embedding: Seconds
    fitting: Seconds
    predicting: Seconds

    @property
    def seconds(self) -> Seconds:
        return self.embedding.plus(self.fitting).plus(self.predicting)


def predict(task: Task, cache: EmbeddingCache, folds: list[Fold], heads: dict[str, list[FittedHead]]) -> None:
    """Survival of every test patient under every pattern that leaves something of the patient."""
    for pattern, row in heads.items():
        for fold, head in zip(folds, row, strict=True):
            head.survival(cache.take(pattern, fold.test[cache.row[pattern][fold.test] >= 0]))


def run_fast(task: Task, subsets: Patterns, missing: bool) -> Fast:
    """Embed, fit and predict all folds, cohort by cohort, as an evaluation does."""
    config, names = task.settings.probe, list(subsets)
    observed, cohorts = task.store.observed(), task.store.patients["cohort"].to_numpy(dtype=str)
    heads: list[FittedHead] = []
    caches: list[EmbeddingCache] = []
    embedding = fitting = predicting = NOTHING
    for cohort, folds in task.folds.items():
        members = np.flatnonzero((cohorts == cohort) & observed.any(axis=1))

        def embedded(members: Indices = members) -> EmbeddingCache:
            return embed(task.model, task.loader, observed, members, subsets, config.readout)

        cache, taken = timed(embedded)
        embedding = embedding.plus(taken)

        def fitted(cache: EmbeddingCache = cache, folds: list[Fold] = folds) -> dict[str, list[FittedHead]]:
            return probe_folds(cache, task.outcome, folds, config, task.settings.bins, names, missing)

        found, taken = timed(fitted)
        fitting = fitting.plus(taken)
        _, taken = timed(lambda c=cache, f=folds, h=found: predict(task, c, f, h))
        predicting = predicting.plus(taken)
        heads += found["all"]
        caches += [cache] * len(folds)
    return Fast(heads, caches, embedding, fitting, predicting)


@torch.no_grad()
def through_network(task: Task, patients: Indices) -> NDArray[np.float32]:
    """What the head reads of a mini-batch: (n, blocks, width). The network is frozen, in eval mode."""
    task.model.eval()
    return read_out(task.model(task.loader.batch(patients)), task.settings.probe.readout).float().numpy()


def minibatches(patients: Indices, size: int) -> Iterator[Indices]:
    return (patients[start : start + size] for start in range(0, len(patients), size))


class PlainLoop:
    """One fold, written plainly: the network runs for every mini-batch of every epoch."""

    def __init__(self, task: Task, fold: Fold, ridge: float, batch_size: int) -> None:
        self.task, self.fold, self.ridge, self.batch_size = task, fold, ridge, batch_size
        self.patients = task.fitted_on(fold)
        self.edges = task.outcome.edges(self.patients, task.settings.bins)
        self.projection: Projection | None = None

    def embed_all(self, patients: Indices) -> NDArray[np.float32]:
        return np.concatenate([through_network(self.task, p) for p in minibatches(patients, self.batch_size)])

    def prepare(self) -> None:
        """A pass over the training patients for their principal components, and a head of zeros."""
        config = self.task.settings.probe
        blocks = self.embed_all(self.patients)
        self.projection = fit_projection(blocks, config.components, config.spectrum_power)
        columns = 1 if config.hazard == "proportional" else len(self.edges) - 1
        features = self.projection.matrix.shape[1]
        self.weight = torch.zeros(features, columns, dtype=torch.float64, requires_grad=True)
        self.bias = torch.zeros(len(self.edges) - 1, dtype=torch.float64, requires_grad=True)

    def share_of_loss(self, patients: Indices) -> Tensor:
        """The part of these patients in the mean loss over all training patients, ridge included."""
        assert self.projection is not None
        outcome = self.task.outcome
        logits = self.projection(through_network(self.task, patients)) @ self.weight + self.bias
        label = torch.from_numpy(assign_bins(outcome.time_days[patients], self.edges))
        loss = nll(logits, label, torch.from_numpy(outcome.event[patients]), reduction="none").sum()
        penalty = 0.5 * self.ridge * self.weight.square().sum()
        return (loss + len(patients) * penalty) / len(self.patients)

    def lbfgs_epochs(self, epochs: int) -> list[FittedHead]:
        """One step an epoch, with the gradient of all patients. Returns the head after each epoch."""
        optimizer = torch.optim.LBFGS(
            [self.weight, self.bias], max_iter=1, history_size=100, tolerance_grad=0, tolerance_change=0
        )

        def closure() -> Tensor:
            optimizer.zero_grad()
            total = torch.zeros((), dtype=torch.float64)
            for patients in minibatches(self.patients, self.batch_size):
                part = self.share_of_loss(patients)
                part.backward()
                total += part.detach()
            return total

        heads: list[FittedHead] = []
        for _ in range(epochs):
            optimizer.step(closure)
            heads.append(self.head())
        return heads

    def adamw_epochs(self, epochs: int) -> None:
        """The usual form: one step a mini-batch, of freshly mixed patients."""
        optimizer = torch.optim.AdamW([self.weight, self.bias], lr=1e-3, weight_decay=0.0)
        rng = np.random.default_rng(0)
        for _ in range(epochs):
            for patients in minibatches(rng.permutation(self.patients), self.batch_size):
                optimizer.zero_grad()
                (self.share_of_loss(patients) * len(self.patients) / len(patients)).backward()
                optimizer.step()

    def head(self) -> FittedHead:
        """The head as it stands, with scaling and components folded in."""
        assert self.projection is not None
        weight, bias = self.weight.detach(), self.bias.detach()
        weight = weight.expand(-1, len(bias)).clone()
        return FittedHead(
            self.projection.matrix @ weight, bias + self.projection.offset @ weight, self.edges, self.ridge
        )


class PlainTimes(NamedTuple):
    """Seconds of one fold's loop: pass for the components, epochs, test patients."""

    before: Seconds
    epochs: Seconds
    after: Seconds

    def at(self, factor: float) -> Seconds:
        """The whole fold, its epochs times `factor`."""
        return self.before.plus(self.after).plus(self.epochs, factor)


class Agreement(NamedTuple):
    """Largest differences of one fold over its test patients, and the epoch from which survival agrees."""

    survival: float
    logits: float
    epoch: int | None


def run_plain(loop: PlainLoop, epochs: int) -> tuple[PlainTimes, list[FittedHead], NDArray[np.float32]]:
    """One fold by L-BFGS: its seconds, the head after each epoch, what heads read of the test patients."""
    _, before = timed(loop.prepare)
    heads, during = timed(lambda: loop.lbfgs_epochs(epochs))

    def test() -> NDArray[np.float32]:
        blocks = loop.embed_all(loop.fold.test)
        heads[-1].survival(blocks)
        return blocks

    blocks, after = timed(test)
    return PlainTimes(before, during, after), heads, blocks


def logits_of(head: FittedHead, blocks: NDArray[np.float32]) -> Tensor:
    return torch.from_numpy(blocks).double().flatten(1) @ head.weight + head.bias


def agreement(
    fast: FittedHead, cached: NDArray[np.float32], heads: list[FittedHead], blocks: NDArray[np.float32]
) -> Agreement:
    """Compare the fast head on cached embeddings with the plain heads on their own."""
    expected = fast.survival(cached)
    gaps = [float(np.abs(head.survival(blocks) - expected).max()) for head in heads]
    late = [i for i, gap in enumerate(gaps) if not gap <= AGREE]
    first = (late[-1] + 2 if late else 1) if gaps[-1] <= AGREE else None
    logits = float((logits_of(heads[-1], blocks) - logits_of(fast, cached)).abs().max())
    return Agreement(gaps[-1], logits, first)


def read_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--store", type=Path, help="a packed store; default: simulate one")
    parser.add_argument("--config", type=Path, help="an experiment; default: all defaults")
    parser.add_argument("--checkpoint", type=Path, help="of prime pretrain; default: an untrained network")
    parser.add_argument("--patients", type=int, default=600, help="of the simulated cohort")
    parser.add_argument("--cohorts", type=int, default=5, help="the first of those that the experiment names")
    parser.add_argument("--epochs", type=int, default=50, help="of the plain loop")
    parser.add_argument("--batch", type=int, default=64, help="of the plain loop")
    parser.add_argument("--folds-timed", type=int, default=1, help="folds of which all epochs are run")
    parser.add_argument("--repeats", type=int, default=3, help="of the fast way")
    return parser.parse_args()


def make_task(options: argparse.Namespace, folder: Path) -> Task:
    """Open or simulate everything, before any clock runs."""
    config = (
        load_experiment(options.config)
        if options.config
        else ExperimentConfig.model_validate({"cohort": "cohort.yaml"})
    )
    store = Store.open(options.store) if options.store else simulated_store(folder, options.patients)
    if options.checkpoint:
        checkpoint = load_checkpoint(options.checkpoint)
        model, scaling = checkpoint.model, checkpoint.scaling
    else:
        model = random_prime(input_spec(store), config.model, config.seed)
        scaling = fit_scalings(store, np.flatnonzero(store.observed().any(axis=1)), config.clip)
    settings = config.evaluate
    outcome = read_outcome(store, settings.tasks[0])
    folds: dict[str, list[Fold]] = {}
    for fold in evaluation_folds(store, outcome, settings, settings.seeds[0]):
        folds.setdefault(fold.cohort, []).append(fold)
    chosen = dict(list(folds.items())[: options.cohorts])
    return Task(store, model, PatientLoader(store, scaling), outcome, chosen, settings)


def rows_by_pattern(task: Task, subsets: Patterns) -> float:
    """Rows that heads of their own for every pattern are fitted on, over the rows of "all"."""
    observed = task.store.observed()
    fitted = np.concatenate([task.fitted_on(fold) for fold in task.every_fold])
    kept = [int((observed[fitted] & np.array(keep)).any(axis=1).sum()) for keep in subsets.values()]
    return sum(kept) / len(fitted)


def describe_fast(name: str, runs: list[Fast]) -> Seconds:
    total = median([run.seconds for run in runs])
    print(f"fast, {name}: {total}, median of {len(runs)}")
    print(f"  embedding {median([run.embedding for run in runs])}")
    print(f"  fitting all heads {median([run.fitting for run in runs])}")
    print(f"  predicting {median([run.predicting for run in runs])}", flush=True)
    return total


def whole_folds(task: Task, fast: Fast, one_epoch: list[PlainTimes], options: argparse.Namespace) -> bool:
    """Run the smallest folds to the end and compare. True where all of them agree."""
    epochs: int = options.epochs
    sizes = [len(task.fitted_on(fold)) for fold in task.every_fold]
    same = True
    for i in sorted(range(len(sizes)), key=sizes.__getitem__)[: options.folds_timed]:
        fold = task.every_fold[i]
        loop = PlainLoop(task, fold, fast.heads[i].ridge, options.batch)
        times, heads, blocks = run_plain(loop, epochs)
        found = agreement(fast.heads[i], fast.caches[i].take("all", fold.test), heads, blocks)
        same &= found.survival <= AGREE
        print(f"plain, {fold.cohort} fold {fold.fold}, {sizes[i]} training patients, {epochs} epochs run")
        print(f"  measured {times.at(1)}; extrapolated from one epoch {one_epoch[i].at(epochs)}")
        print(f"  largest difference from fast: survival {found.survival:.1e}, logits {found.logits:.1e}")
        print(f"  survival agrees to {AGREE:.0e} from epoch {found.epoch} on")
        loop.prepare()
        adamw = timed(partial(loop.adamw_epochs, 1))[1]
        lbfgs = NOTHING.plus(times.epochs, 1 / epochs)
        print(f"  an epoch by L-BFGS {lbfgs}, by AdamW {adamw}", flush=True)
    return same


def main() -> int:
    options = read_options()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        task = make_task(options, Path(name))
        every = patterns(list(task.store.modalities))
        single = {"all": every["all"]}
        sizes = [len(task.fitted_on(fold)) for fold in task.every_fold]
        print(
            f"task {task.settings.tasks[0].name}, {len(task.folds)} cohorts, {len(sizes)} folds,"
            f" {sum(sizes)} training rows, one thread, torch {torch.__version__}"
        )
        run_fast(task, single, False)  # to warm up
        one: list[Fast] = [run_fast(task, single, False)]
        pairs = zip(task.every_fold, one[0].heads, strict=True)
        plain = [run_plain(PlainLoop(task, f, h.ridge, options.batch), 1)[0] for f, h in pairs]
        one += [run_fast(task, single, False) for _ in range(options.repeats - 1)]
        seven = [run_fast(task, every, True) for _ in range(options.repeats)]
        fast = describe_fast("one pattern", one)
        fast_every = describe_fast(f"all {len(every)} patterns, heads of their own", seven)
        measured, whole = NOTHING, NOTHING
        for times in plain:
            measured, whole = measured.plus(times.at(1)), whole.plus(times.at(options.epochs))
        print(f"plain, every fold with one epoch, measured: {measured}")
        print(f"plain, every fold with {options.epochs} epochs, extrapolated: {whole}")
        ratio = whole.wall / fast.wall
        print(f"plain / fast, one pattern: {ratio:.0f} ({whole.cpu / fast.cpu:.0f} by the processor)")
        times_rows = rows_by_pattern(task, every)
        print(
            f"plain / fast, all {len(every)} patterns ({times_rows:.2f} times the rows):"
            f" {times_rows * whole.wall / fast_every.wall:.0f}"
            f" ({times_rows * whole.cpu / fast_every.cpu:.0f} by the processor)",
            flush=True,
        )
        same = whole_folds(task, one[0], plain, options)
    print("same numbers" if same else f"DIFFERENT: survival by more than {AGREE:.0e}")
    return 0 if same else 1


if __name__ == "__main__":
    sys.exit(main())

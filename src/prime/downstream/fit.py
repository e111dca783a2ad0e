"""One unit of an evaluation: the predictions of a fitted head, and what fitting it took."""

import importlib
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from prime.arrays import Indices
from prime.downstream.embeddings import EmbeddingCache
from prime.downstream.finetuning import Finetuning
from prime.downstream.probe import probe_folds
from prime.model.prime import Prime
from prime.settings.evaluation import EvaluateConfig, TaskConfig
from prime.splits.folds import Fold
from prime.splits.outcomes import Outcome
from prime.store.inputs import input_spec
from prime.store.loading import PatientLoader
from prime.store.store import Store

PRIME, FITTED = "prime", "fit"  # our method's name; the mode of every other method


@dataclass(frozen=True)
class Fit:
    """One resumable unit of work: all folds of a cohort for what is quick, one fold for a trained network.

    `method` is `prime`, or the name of a method of the comparison, whose mode is `fit`.
    """

    init: str
    mode: str
    task: TaskConfig
    seed: int
    train_on: str
    share: float
    folds: tuple[Fold, ...]
    method: str = PRIME

    @property
    def ours(self) -> bool:
        """Whether this is PRIME."""
        return self.method == PRIME

    @property
    def name(self) -> str:
        """The name of its part file."""
        numbers = "".join(str(fold.fold) for fold in self.folds)
        cohort = self.folds[0].cohort.replace(">", "-to-")
        share = "" if self.share == 1 else f"-{self.share:g}"
        whom = "" if self.train_on == "everyone" else f"-{self.train_on}"
        how = f"{self.init}-{self.mode}" if self.ours else self.method
        return f"{how}-{self.task.name}-{cohort}{whom}{share}-fold{numbers}-seed{self.seed}"

    @property
    def probes(self) -> bool:
        """Whether the network stays frozen."""
        return self.mode.startswith("lp")

    @property
    def missing(self) -> bool:
        """Whether the head is trained on what is left when modalities are taken away."""
        return self.mode.endswith("_missing")


@dataclass(frozen=True)
class Setting:
    """What every fit of an evaluation shares. complete (P,) bool: patients with every modality."""

    store: Store
    settings: EvaluateConfig
    patterns: dict[str, tuple[bool, ...]]
    observed: NDArray[np.bool_]

    @property
    def complete(self) -> NDArray[np.bool_]:
        """(P,) bool: has every modality."""
        return np.logical_and.reduce(self.observed, axis=1)

    @property
    def data(self) -> dict[str, Any]:
        """What of the store a network's embeddings depend on."""
        return {
            "values": {name: source.sha256 for name, source in self.store.sources.items()},
            "rows": self.store.manifest["index_sha256"],
            "inputs": input_spec(self.store).model_dump(mode="json"),
        }

    def tested(self, fold: Fold, pattern: str) -> Indices:
        """The fold's test patients who have something left in a pattern."""
        keep = np.array(self.patterns[pattern])
        return fold.test[(self.observed[fold.test] & keep).any(axis=1)]


def prediction_rows(
    setting: Setting,
    outcome: Outcome,
    fit: Fit,
    fold: Fold,
    pattern: str,
    patients: Indices,
    survival: NDArray[np.float64],
    edges: NDArray[np.float64],
) -> pd.DataFrame:
    """The rows of predictions.csv of one fold and pattern; survival (n, T), edges (T + 1,) in days.

    The only bin of a binary task ends at its horizon: survival_1 is the probability of no event by then.
    """
    ends = edges[1:] if outcome.horizon_days is None else np.array([outcome.horizon_days])
    frame = pd.DataFrame(
        {
            "method": fit.method,
            "init": fit.init,
            "mode": fit.mode,
            "train_on": fit.train_on,
            "share": fit.share,
            "task": fit.task.name,
            "pattern": pattern,
            "patient_id": setting.store.patients["patient_id"].to_numpy(dtype=object)[patients],
            "cohort": fold.cohort,
            "fold": fold.fold,
            "seed": fit.seed,
            "complete": setting.complete[patients],
            "risk": -survival.sum(axis=1),
            "event": outcome.event[patients].astype(int),
            "time_days": outcome.time_days[patients],
        }
    )
    for k in range(survival.shape[1]):
        frame[f"edge_days_{k + 1}"] = ends[k]
        frame[f"survival_{k + 1}"] = survival[:, k]
    return frame


def fit_probes(
    setting: Setting, outcome: Outcome, fit: Fit, embedded: Callable[[tuple[Fold, ...]], list[EmbeddingCache]]
) -> pd.DataFrame:
    """Predictions of the linear probes of one cohort; folds that share embeddings are fitted in one batch."""
    caches = embedded(fit.folds)
    groups: dict[int, tuple[EmbeddingCache, list[Fold]]] = {}
    for cache, fold in zip(caches, fit.folds, strict=True):
        groups.setdefault(id(cache), (cache, []))[1].append(fold)
    settings, names = setting.settings, list(setting.patterns)
    frames: list[pd.DataFrame] = []
    trainable = 0
    for cache, folds in groups.values():
        heads = probe_folds(cache, outcome, folds, settings.probe, settings.bins, names, fit.missing)
        distinct = {id(heads[p][0]): heads[p][0] for p in names}.values()
        trainable = sum(head.weight[:, 0].numel() + head.bias.numel() for head in distinct)
        for pattern in names:
            for fold, head in zip(folds, heads[pattern], strict=True):
                tested = setting.tested(fold, pattern)
                survival = head.survival(cache.take(pattern, tested))
                frames.append(
                    prediction_rows(setting, outcome, fit, fold, pattern, tested, survival, head.edges)
                )
    table = pd.concat(frames, ignore_index=True)
    table.attrs["trainable_parameters"] = trainable
    return table


def fit_network(
    setting: Setting, outcome: Outcome, fit: Fit, network: tuple[Prime, PatientLoader]
) -> pd.DataFrame:
    """Predictions of one fine-tuned fold."""
    (fold,) = fit.folds
    tuned = Finetuning(*network, outcome, fold, setting.settings, fit.seed, fit.missing)
    tuned.fit()
    frames: list[pd.DataFrame] = []
    for pattern, keep in setting.patterns.items():
        tested = setting.tested(fold, pattern)
        if len(tested):
            survival = tuned.predict(tested, keep)
            frames.append(
                prediction_rows(setting, outcome, fit, fold, pattern, tested, survival, tuned.edges)
            )
    table = pd.concat(frames, ignore_index=True)
    table.attrs["trainable_parameters"] = sum(p.numel() for p in tuned.model.parameters() if p.requires_grad)
    return table


def peak_memory() -> float:
    """Peak memory of this process so far, bytes; NaN on Windows, which does not say."""
    if sys.platform == "win32":
        return float("nan")
    resource = importlib.import_module("resource")
    return float(
        resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    )


def with_cost(work: Callable[[], pd.DataFrame], parameters: Callable[[], int] | None = None) -> pd.DataFrame:
    """The frame of `work` with the seconds, memory and parameters that it took in its attrs.

    Without `parameters` the trained ones are all there are.
    """
    started = time.perf_counter()
    frame = work()
    cost: dict[str, Any] = {
        "seconds": time.perf_counter() - started,
        "peak_bytes": peak_memory(),
        "parameters": frame.attrs["trainable_parameters"] if parameters is None else parameters(),
    }
    frame.attrs.update(cost)
    return frame

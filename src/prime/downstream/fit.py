"""One unit of an evaluation, what its predictions look like, and what it took."""

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
from prime.downstream.data import EvaluationData
from prime.file_names import file_name
from prime.settings.evaluation import TaskConfig
from prime.splits.folds import Fold
from prime.splits.outcomes import Outcome

PRIME, FITTED = "prime", "fit"  # our method's name; the mode of every other method
SHARED_MODES = ("lp_shared", "lp_shared_annotated", "lp_shared_clinical")  # heads over all cohorts
FROM_HEAD = "ft_shared"  # fine-tuning that starts from one of them
ACROSS_MODES = (*SHARED_MODES, FROM_HEAD)  # in which labels of other cohorts serve as well


@dataclass(frozen=True)
class Fit:
    """One resumable unit of work: all folds of a cohort for what is quick, one fold for a trained network.

    `method` is `prime`, or the name of a method of the comparison, whose mode is `fit`. `others` are the
    folds of other cohorts whose labels serve as well, in the fit of a fold of their number.
    """

    init: str
    mode: str
    task: TaskConfig
    seed: int
    train_on: str
    share: float
    folds: tuple[Fold, ...]
    method: str = PRIME
    others: tuple[Fold, ...] = ()

    @property
    def ours(self) -> bool:
        """Whether this is PRIME."""
        return self.method == PRIME

    @property
    def name(self) -> str:
        """The name of its part file."""
        numbers = "".join(str(fold.fold) for fold in self.folds)
        cohort = file_name(self.folds[0].cohort.replace(">", "-to-"))
        share = "" if self.share == 1 else f"-{self.share:g}"
        whom = "" if self.train_on == "everyone" else f"-{self.train_on}"
        how = f"{self.init}-{self.mode}" if self.ours else self.method
        return f"{how}-{file_name(self.task.name)}-{cohort}{whom}{share}-fold{numbers}-seed{self.seed}"

    @property
    def place(self) -> tuple[str, ...]:
        """Cohort, folds, seed, and the way of training: its name where it is followed."""
        share = "" if self.share == 1 else f"-{self.share:g}"
        whom = "" if self.train_on == "everyone" else f"-{self.train_on}"
        numbers = "+".join(str(fold.fold) for fold in self.folds)
        way = f"{self.init}-{self.mode}-{self.task.name}{whom}{share}"
        return self.folds[0].cohort.replace(">", "-to-"), f"fold{numbers}", f"seed{self.seed}", way

    @property
    def way(self) -> tuple[int, str, str, str, str, float, str]:
        """All but the cohort. Fits of one way share features and heads: they come one after the other."""
        return self.seed, self.method, self.init, self.mode, self.train_on, self.share, self.task.name

    @property
    def probes(self) -> bool:
        """Whether the network stays frozen."""
        return self.mode.startswith("lp")

    @property
    def shared(self) -> bool:
        """Whether the head is one over all cohorts."""
        return self.mode in SHARED_MODES

    @property
    def from_head(self) -> bool:
        """Whether a network is trained from a head over all cohorts on."""
        return self.mode == FROM_HEAD

    @property
    def missing(self) -> bool:
        """Whether the head is trained on what is left when modalities are taken away."""
        return self.mode.endswith("_missing")

    @property
    def members(self) -> Indices:
        """Everybody in its folds, and who trains in those of others, sorted."""
        own = [part for f in self.folds for part in (f.train, f.validation, f.test)]
        return np.unique(np.concatenate([*own, *(f.labelled for f in self.others)]))


def prediction_rows(
    data: EvaluationData,
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
            "patient_id": data.store.patients["patient_id"].to_numpy(dtype=object)[patients],
            "cohort": fold.cohort,
            "fold": fold.fold,
            "seed": fit.seed,
            "complete": data.complete[patients],
            "risk": -survival.sum(axis=1),
            "event": outcome.event[patients].astype(int),
            "time_days": outcome.time_days[patients],
        }
    )
    if outcome.entry_days is not None:
        frame["entry_days"] = outcome.entry_days[patients]
    if outcome.cause is not None:
        frame["cause"] = outcome.cause[patients]
    for k in range(survival.shape[1]):
        frame[f"edge_days_{k + 1}"] = ends[k]
        frame[f"survival_{k + 1}"] = survival[:, k]
    return frame


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

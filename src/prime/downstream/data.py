"""What every fit of an evaluation reads: the store, the settings, and who has what."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from prime.arrays import Indices
from prime.evaluation.missingness import patterns
from prime.settings.evaluation import EvaluateConfig
from prime.splits.folds import Fold
from prime.store.store import Store


@dataclass(frozen=True)
class EvaluationData:
    """A packed cohort and the settings of an evaluation on it."""

    store: Store
    settings: EvaluateConfig

    @cached_property
    def patterns(self) -> dict[str, tuple[bool, ...]]:
        """Pattern name to the M modalities, True where they may be seen."""
        return patterns(list(self.store.modalities))

    @cached_property
    def observed(self) -> NDArray[np.bool_]:
        """(P, M) bool: who has which modality."""
        return self.store.observed()

    @cached_property
    def complete(self) -> NDArray[np.bool_]:
        """(P,) bool: who has every modality."""
        return np.logical_and.reduce(self.observed, axis=1)

    def tested(self, fold: Fold, pattern: str) -> Indices:
        """The fold's test patients who have something left in a pattern."""
        keep = np.array(self.patterns[pattern])
        return fold.test[(self.observed[fold.test] & keep).any(axis=1)]

"""Song et al.: principal components and a ridge Cox model a modality, stacked by a second Cox model.

In one picture:

    image  -> mean vector -> PCA -> ridge Cox -> risk --+
    rna    -> mean vector -> PCA -> ridge Cox -> risk --+--> ridge Cox on out-of-fold risks -> risk
    report -> mean vector -> PCA -> ridge Cox -> risk --+
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from prime.arrays import Floats
from prime.evaluation.metrics import auroc, concordance
from prime.methods.interface import ClassicalModel
from prime.methods.statistics.components import Components, fit_components
from prime.methods.statistics.examples import Examples, Target
from prime.methods.statistics.ridge import RidgeModel, fit_ridge
from prime.settings.strict import Strict
from prime.store.vectors import PatientVectors


class SongSettings(Strict):
    """Settings of Song.

    The number of principal components is the one of `components`, not above a tenth of the patients (but the
    smallest is always allowed), that discriminates best in `inner_folds` folds of the training patients.
    `alpha` is the penalty of both stages, against the summed log likelihood. The second stage is fitted on
    risks of those folds (`oof`) or of the patients that the first stage was fitted on (`in_sample`).
    """

    components: tuple[int, ...] = Field(default=(4, 8, 16, 32), min_length=1)
    alpha: float = Field(default=0.1, gt=0)
    inner_folds: int = Field(default=3, ge=2)
    stacking: Literal["in_sample", "oof"] = "oof"


@dataclass(frozen=True)
class FirstStage:
    """The model of one modality; `mean` and `spread` standardise its risks for the second stage."""

    components: Components
    model: RidgeModel
    mean: float
    spread: float

    def __call__(self, values: Floats) -> Floats:
        """Standardised risk (n,) of vectors (n, d); 0 for a patient who lacks the modality."""
        risk = (self.model.score(self.components(values)) - self.mean) / self.spread
        return np.where(np.isnan(values).all(axis=1), 0.0, risk)


def out_of_fold(
    values: Floats, target: Target, sizes: list[int], settings: SongSettings, seed: int
) -> tuple[Floats, Floats]:
    """Risks of patients whom the model has not seen, for each number of components.

    values (n, d), sizes in rising order. Returns risks (sizes, n) and their mean discrimination (sizes,).
    """
    risks = np.zeros((len(sizes), len(values)))
    quality = np.zeros((settings.inner_folds, len(sizes)))
    fold = deal(target.event, settings.inner_folds, seed)
    for number in range(settings.inner_folds):
        train, held = np.flatnonzero(fold != number), np.flatnonzero(fold == number)
        largest = fit_components(values[train], sizes[-1], fill="mean", whiten=False)
        own, other = largest(values[train]), largest(values[held])
        for row, size in enumerate(sizes):
            model = fit_ridge(own[:, :size], target.take(train), settings.alpha)
            risks[row, held] = model.score(other[:, :size])
        quality[number] = [_discrimination(risk[held], target.take(held)) for risk in risks]
    return risks, quality.mean(axis=0)


def deal(event: NDArray[np.bool_], folds: int, seed: int) -> NDArray[np.int64]:
    """A fold for each patient (n,), at random, events and others in equal shares."""
    order = np.random.default_rng(seed).permutation(len(event))
    order = order[np.argsort(event[order], kind="stable")]
    fold = np.empty(len(event), dtype=np.int64)
    fold[order] = np.arange(len(event)) % folds
    return fold


def _discrimination(risk: Floats, target: Target) -> float:
    """AUROC or C-index of risks; one half where it is undefined."""
    time, event = target.time_days, target.event
    found = auroc(event, risk).value if target.binary else concordance(time, event, risk).value
    return 0.5 if np.isnan(found) else found


def fit_first_stage(
    values: Floats, target: Target, settings: SongSettings, seed: int
) -> tuple[FirstStage, Floats]:
    """The model of a modality's vectors (n, d), and standardised risks (n,) to fit the second stage on."""
    allowed = max(min(settings.components), len(values) // 10)
    sizes = sorted(size for size in settings.components if size <= allowed)
    risks, quality = out_of_fold(values, target, sizes, settings, seed)
    best = int(quality.argmax())
    components = fit_components(values, sizes[best], fill="mean", whiten=False)
    x = components(values)
    model = fit_ridge(x, target, settings.alpha)
    risk = risks[best] if settings.stacking == "oof" else model.score(x)
    mean, spread = float(risk.mean()), float(risk.std()) or 1.0
    return FirstStage(components, model, mean, spread), (risk - mean) / spread


class Song(ClassicalModel):
    """Unimodal risks, then a regression on them."""

    Settings = SongSettings

    settings: SongSettings

    def fit(self, train: Examples, validation: Examples) -> None:
        """Fit on both sets."""
        both = train.join(validation)
        vectors, target = both.vectors, both.target
        self.stages: dict[str, FirstStage] = {}
        risks = np.zeros((len(vectors), len(vectors.modalities)))
        for column, name in enumerate(vectors.modalities):
            values = _vectors(vectors, name)
            rows = np.flatnonzero(~np.isnan(values).all(axis=1))
            if _enough(target.take(rows), self.settings.inner_folds):
                self.stages[name], risks[rows, column] = fit_first_stage(
                    values[rows], target.take(rows), self.settings, self.seed
                )
        self.second = fit_ridge(risks, target, self.settings.alpha)

    def survival(self, vectors: PatientVectors) -> Floats:
        """Survival at the end of each bin, (n, T)."""
        return self.second.survival(self._risks(vectors))

    @property
    def parameters(self) -> int:
        """The weights of both stages and the baseline."""
        first = sum(stage.model.weight.size for stage in self.stages.values())
        return first + self.second.weight.size + self.second.hazard.size

    def _risks(self, vectors: PatientVectors) -> Floats:
        """Standardised unimodal risks (n, M); 0 for a modality that is missing or was not fitted."""
        risks = np.zeros((len(vectors), len(vectors.modalities)))
        for column, name in enumerate(vectors.modalities):
            if name in self.stages:
                risks[:, column] = self.stages[name](_vectors(vectors, name))
        return risks


def _vectors(vectors: PatientVectors, modality: str) -> Floats:
    """The vectors of a modality's sources side by side, (n, d)."""
    return np.concatenate([vectors.sources[s] for s in vectors.modalities[modality]], axis=1)


def _enough(target: Target, folds: int) -> bool:
    """Whether every inner fold can be fitted and scored: both classes once in each."""
    events = int(target.event.sum())
    return min(events, len(target.event) - events if target.binary else len(target.event)) >= folds

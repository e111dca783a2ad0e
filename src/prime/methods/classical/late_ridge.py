"""Late fusion: the mean of standardised ridge risks, one a source; also with clinical covariates.

On the real TCGA set this is the published reference: the median for missing numbers, standardised, 16
whitened principal components, and a penalty of 0.1 against the mean log likelihood (lifelines' convention)
for Cox and logistic regression alike. Vectors are taken as they are: clipping outliers moves single cohorts
by up to 0.02.

In one picture:

    each source -> mean vector -> PCA 16 -> ridge Cox -> standardised risk --+
                                      mean over the sources of a modality ---+
                                      mean over the modalities that are there -> risk
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
from pydantic import Field

from prime.arrays import Floats
from prime.errors import InputError
from prime.methods.classical.clinical_cox import covariate_matrix, fit_design
from prime.methods.interface import ClassicalModel
from prime.methods.statistics.calibrated import calibrate
from prime.methods.statistics.components import fit_components, fit_word_weights
from prime.methods.statistics.examples import Examples, Target
from prime.methods.statistics.ridge import RidgeModel, fit_ridge, learnable
from prime.settings.strict import Strict
from prime.store.vectors import PatientVectors

Encoder = Callable[[Floats], Floats]


class LateRidgeSettings(Strict):
    """Settings of late ridge.

    `penalty` counts against the mean log likelihood. A source serves where at least `min_patients` training
    patients have it, or where no source has so many. `word_counts` names the sources that are counts of
    words: weighted by rarity, they become `word_components` features first; words in fewer than `min_texts`
    training texts are left out.
    """

    components: int = Field(default=16, ge=1)
    penalty: float = Field(default=0.1, gt=0)
    min_patients: int = Field(default=40, ge=2)
    word_counts: tuple[str, ...] = ()
    word_components: int = Field(default=32, ge=1)
    min_texts: int = Field(default=2, ge=1)


@dataclass(frozen=True)
class Risk:
    """The risk that one table of numbers tells of.

    Attributes:
        encode: from raw numbers (n, d), NaN where one is missing, to features (n, p).
        model: the regression on the features.
        mean, spread: of the scores of the training patients who are in the table.
    """

    encode: Encoder
    model: RidgeModel
    mean: float
    spread: float

    def __call__(self, values: Floats) -> Floats:
        """Standardised risk (n,) of raw numbers (n, d), NaN for a row of NaN."""
        there = ~np.isnan(values).all(axis=1)
        risk = np.full(len(values), np.nan)
        risk[there] = (self.model.score(self.encode(values[there])) - self.mean) / self.spread
        return risk


def fit_risk(encode: Encoder, values: Floats, target: Target, penalty: float) -> Risk | None:
    """Fit on rows (n, d) that each hold a number; None where there is nothing to learn from."""
    x = encode(values)
    if not learnable(target) or not x.shape[1]:
        return None
    model = fit_ridge(x, target, penalty * len(x))
    score = model.score(x)
    spread = float(score.std())
    return Risk(encode, model, float(score.mean()), spread) if spread > 0 else None


def mean_present(columns: Iterable[Floats]) -> Floats:
    """Row means (n,) of columns (n,) over those that are not NaN; NaN where all are."""
    table = np.stack(list(columns), axis=1)
    there = ~np.isnan(table)
    total, count = np.where(there, table, 0.0).sum(axis=1), there.sum(axis=1)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


class LateRidge(ClassicalModel):
    """A modality scores the mean of its sources' standardised risks, a patient the mean of the modalities."""

    Settings = LateRidgeSettings

    settings: LateRidgeSettings

    def fit(self, train: Examples, validation: Examples) -> None:
        """Fit on both sets."""
        both = train.join(validation)
        self.risks = self._fit_risks(both)
        self.calibration = calibrate(self._score(both.vectors), both.target)

    def survival(self, vectors: PatientVectors) -> Floats:
        """Survival at the end of each bin, (n, T)."""
        return self.calibration.survival(self._score(vectors))

    @property
    def parameters(self) -> int:
        """The weights of all sources, the calibration's slope and its baseline."""
        weights = sum(risk.model.weight.size for risk in self.risks.values())
        return weights + self.calibration.parameters

    def _fit_risks(self, examples: Examples) -> dict[str, Risk]:
        """By source, those that have enough patients."""
        vectors = examples.vectors
        unknown = set(self.settings.word_counts) - set(vectors.sources)
        if unknown:
            raise InputError(
                f"late_ridge: word_counts names {', '.join(sorted(unknown))}, which the cohort lacks;"
                f" it has {', '.join(vectors.sources)}"
            )
        rows = {name: np.flatnonzero(vectors.has(name)) for name in vectors.sources}
        enough = [name for name in rows if len(rows[name]) >= self.settings.min_patients] or list(rows)
        found: dict[str, Risk] = {}
        for name in enough:
            if len(rows[name]):
                values, target = vectors.sources[name][rows[name]], examples.target.take(rows[name])
                risk = fit_risk(self._encoder(name, values), values, target, self.settings.penalty)
                found |= {} if risk is None else {name: risk}
        return found

    def _encoder(self, name: str, values: Floats) -> Encoder:
        """From the raw vectors of a source to its whitened components."""
        settings = self.settings
        if name not in settings.word_counts:
            return fit_components(values, settings.components)
        words = fit_word_weights(values, settings.word_components, settings.min_texts)
        components = fit_components(words(values), settings.components)
        return lambda counts: components(words(counts))

    def _columns(self, vectors: PatientVectors) -> list[Floats]:
        """A score (n,) of each modality that has a fitted source, NaN where a patient lacks all of these."""
        fitted = [[name for name in names if name in self.risks] for names in vectors.modalities.values()]
        return [mean_present(self.risks[n](vectors.sources[n]) for n in names) for names in fitted if names]

    def _score(self, vectors: PatientVectors) -> Floats:
        """The fused score (n,); 0, the training mean of each source, for whom no fitted source tells of."""
        columns = self._columns(vectors)
        return np.nan_to_num(mean_present(columns)) if columns else np.zeros(len(vectors))


class LateRidgeClinical(LateRidge):
    """Late ridge with the risk of the clinical covariates as one more modality."""

    def _fit_risks(self, examples: Examples) -> dict[str, Risk]:
        covariates = covariate_matrix(examples.vectors)
        known = np.flatnonzero(~np.isnan(covariates).all(axis=1))
        self.clinical = None
        if len(known):
            values, target = covariates[known], examples.target.take(known)
            self.clinical = fit_risk(fit_design(values), values, target, self.settings.penalty)
        return super()._fit_risks(examples)

    def _columns(self, vectors: PatientVectors) -> list[Floats]:
        columns = super()._columns(vectors)
        return columns if self.clinical is None else [*columns, self.clinical(covariate_matrix(vectors))]

    @property
    def parameters(self) -> int:
        """Those of late ridge, and the clinical weights."""
        return super().parameters + (0 if self.clinical is None else self.clinical.model.weight.size)

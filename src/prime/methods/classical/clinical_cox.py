"""Ridge Cox or logistic regression on the covariates of the clinical table.

In one picture:

    age, stage, sex, ... -> standardised -> ridge Cox -> risk
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from prime.arrays import Floats
from prime.errors import InputError
from prime.methods.interface import ClassicalModel
from prime.methods.statistics.examples import Examples, Target
from prime.methods.statistics.ridge import RidgeModel, fit_ridge
from prime.settings.strict import Strict
from prime.store.vectors import PatientVectors

OFTEN_MISSING = 0.05  # share of training patients; above, being missing is a feature of its own


@dataclass(frozen=True)
class CovariateDesign:
    """From c raw covariates to p standardised features.

    Attributes:
        filling: (c,) training means, where a covariate is missing.
        often: (c,) bool: its being missing is a feature of its own, after the c covariates.
        centre, scale: (p,) of the features that are kept.
        kept: places of the p features among all of them; constant ones are dropped.
    """

    filling: Floats
    often: NDArray[np.bool_]
    centre: Floats
    scale: Floats
    kept: NDArray[np.int64]

    def __call__(self, covariates: Floats) -> Floats:
        """Features (n, p) of covariates (n, c), NaN where missing."""
        return (_filled(covariates, self.filling, self.often)[:, self.kept] - self.centre) / self.scale


def fit_design(covariates: Floats) -> CovariateDesign:
    """The design that suits training covariates (n, c), NaN where missing."""
    missing = np.isnan(covariates)
    known = np.maximum((~missing).sum(axis=0), 1)
    filling = np.where(missing, 0.0, covariates).sum(axis=0) / known
    often = missing.mean(axis=0) > OFTEN_MISSING
    x = _filled(covariates, filling, often)
    spread = x.std(axis=0)
    kept = np.flatnonzero(spread > 1e-12 * np.abs(x).max(axis=0))
    return CovariateDesign(filling, often, x.mean(axis=0)[kept], spread[kept], kept)


def _filled(covariates: Floats, filling: Floats, often: NDArray[np.bool_]) -> Floats:
    missing = np.isnan(covariates)
    return np.concatenate([np.where(missing, filling, covariates), missing[:, often]], axis=1)


def covariate_matrix(vectors: PatientVectors) -> Floats:
    """Covariates (n, c) in the cohort's order. Raises InputError where the cohort has none."""
    if not vectors.covariates:
        raise InputError(
            "the cohort has no covariates for clinical_cox and late_ridge_clinical; name columns (age, stage,"
            " sex) under clinical.covariates of the cohort file and pack it again, or leave these methods out"
        )
    return np.stack(list(vectors.covariates.values()), axis=1)


def fit_clinical(covariates: Floats, target: Target, penalty: float) -> tuple[CovariateDesign, RidgeModel]:
    """Design and regression of covariates (n, c); `penalty` counts against the mean log likelihood."""
    design = fit_design(covariates)
    return design, fit_ridge(design(covariates), target, penalty * len(covariates))


class ClinicalSettings(Strict):
    """`penalty` counts against the mean log likelihood, on standardised covariates."""

    penalty: float = Field(default=0.1, gt=0)


class ClinicalCox(ClassicalModel):
    """No modality: age, sex, stage or whatever the clinical table names."""

    Settings = ClinicalSettings

    def fit(self, train: Examples, validation: Examples) -> None:
        """Fit on both sets. Raises InputError for a cohort without covariates."""
        both = train.join(validation)
        covariates = covariate_matrix(both.vectors)
        self.design, self.model = fit_clinical(covariates, both.target, self.settings.penalty)

    def survival(self, vectors: PatientVectors) -> Floats:
        """Survival at the end of each bin, (n, T)."""
        return self.model.survival(self.design(covariate_matrix(vectors)))

    @property
    def parameters(self) -> int:
        """The weights and the baseline."""
        return self.model.weight.size + self.model.hazard.size

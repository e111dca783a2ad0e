"""A fitted model's recalibration to another place: how its survival curves are bent; risks stay."""

from typing import Literal

import numpy as np
from pydantic import Field
from scipy.special import expit, logit

from prime.arrays import Floats
from prime.evaluation.recalibration import LEAST_HAZARD, through_points
from prime.evaluation.step_curves import step_survival
from prime.settings.strict import Strict

RECALIBRATION = "recalibration.json"
Method = Literal["intercept", "slope", "isotonic"]


class IsotonicMap(Strict):
    """A rising piecewise linear map of predicted risks by a horizon, constant beyond its ends."""

    horizon_days: float = Field(gt=0)
    predicted: tuple[float, ...] = Field(min_length=1)
    observed: tuple[float, ...] = Field(min_length=1)

    def __call__(self, chance: Floats) -> Floats:
        """(n,) recalibrated risks of predicted ones (n,)."""
        return np.interp(chance, self.predicted, self.observed)


class Recalibration(Strict):
    """What recalibration.json holds: the map, and what it was fitted on.

    `intercept` and `slope`: the cumulative hazard of a patient is multiplied by
    exp(intercept + (slope - 1) * line), where line is the log cumulative hazard at `reference_days` less
    `centre`. For a task with a horizon, the logit of the probability becomes intercept + slope * logit.
    `isotonic`: the risk by each horizon is mapped, and the curve is bent through these points.
    """

    method: Method
    horizon_days: float | None = None
    intercept: float = 0.0
    slope: float = 1.0
    centre: float = 0.0
    reference_days: float = Field(default=1.0, gt=0)
    maps: tuple[IsotonicMap, ...] = ()
    cohort: str
    patients: int
    events: int

    def __call__(self, edges: Floats, survival: Floats) -> Floats:
        """Bent curves (n, T) of the curves (n, T) that a head with these edges (T + 1,) gives."""
        if self.horizon_days is not None:
            return 1.0 - self._bent_probability(1.0 - survival[:, :1])
        if self.method == "isotonic":
            return self._isotonic(edges, survival)
        factor = np.exp(self.intercept + (self.slope - 1.0) * self.line(edges, survival))
        return survival ** factor[:, None]

    def line(self, edges: Floats, survival: Floats) -> Floats:
        """(n,) the centred log cumulative hazard at the reference day."""
        return log_hazard_at(edges, survival, self.reference_days) - self.centre

    def _bent_probability(self, chance: Floats) -> Floats:
        if self.method == "isotonic":
            return self.maps[0](chance)
        inside = np.clip(chance, LEAST_HAZARD, 1.0 - LEAST_HAZARD)
        return expit(self.intercept + self.slope * logit(inside))

    def _isotonic(self, edges: Floats, survival: Floats) -> Floats:
        days = np.array([each.horizon_days for each in self.maps])
        at_days = np.maximum(step_survival(edges, survival, days, interpolate=True), LEAST_HAZARD)
        mapped = [1.0 - each(1.0 - at_days[:, k]) for k, each in enumerate(self.maps)]
        wanted: Floats = np.minimum.accumulate(np.stack(mapped, axis=1), axis=1)
        return through_points(edges, survival, days, at_days, np.maximum(wanted, LEAST_HAZARD))


def log_hazard_at(edges: Floats, survival: Floats, days: float) -> Floats:
    """(n,) log of the cumulative hazard that curves (n, T) give at a day."""
    alive = step_survival(edges, survival, np.array([days]), interpolate=True)[:, 0]
    return np.log(np.maximum(-np.log(np.maximum(alive, LEAST_HAZARD)), LEAST_HAZARD))

"""What a predicted risk by a horizon is worth, with censoring: the metrics of a validation. Pure functions.

Censoring weights come from the patients themselves, as in a validation there are no others. With delayed
entry they do not hold, and what rests on them has no value.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from prime.arrays import Flags, Floats, Indices
from prime.evaluation.calibration import survival_calibration_slope
from prime.evaluation.metrics import Score, concordance
from prime.evaluation.product_limit import product_limit
from prime.evaluation.smooth_calibration import smooth_survival_calibration
from prime.evaluation.survival_metrics import (
    DELAYED_ENTRY,
    brier_score,
    ipcw_concordance,
    time_dependent_auc,
)


@dataclass(frozen=True)
class HorizonCases:
    """Patients with an outcome, and what was predicted for them.

    Attributes:
        time: (n,) days.
        event: (n,) bool, True = event observed.
        risk: (n,), higher = worse.
        chance: (n,) predicted risk of an event by the horizon, within [0, 1].
        horizon: days.
        entry: (n,) delayed entry in days, before the time; None where all were under observation from the
            beginning.
        expected: (n,) with delayed entry, the events predicted while under observation: the cumulative hazard
            from the entry to the end of follow-up or the horizon, 0 for who enters later.
    """

    time: Floats
    event: Flags
    risk: Floats
    chance: Floats
    horizon: float
    entry: Floats | None = None
    expected: Floats | None = None

    @property
    def events(self) -> int:
        """Events by the horizon."""
        return int((self.event & (self.time <= self.horizon)).sum())

    def score(self, value: float, reason: str) -> Score:
        """The value as a score; `reason` counts where it is NaN."""
        return Score(value, len(self.time), self.events, reason if np.isnan(value) else None)

    def take(self, rows: Flags | Indices) -> "HorizonCases":
        """Some of the patients."""
        return HorizonCases(
            self.time[rows], self.event[rows], self.risk[rows], self.chance[rows], self.horizon,
            None if self.entry is None else self.entry[rows],
            None if self.expected is None else self.expected[rows],
        )  # fmt: skip


@dataclass(frozen=True)
class HorizonMetric:
    """A metric of `HorizonCases`.

    Attributes:
        name: in files.
        title: in tables.
        ideal: what a perfect and calibrated prediction has.
        of: the function.
        brief: whether it stands in the tables of groups, which have few patients.
    """

    name: str
    title: str
    ideal: float
    of: Callable[[HorizonCases], Score]
    brief: bool = True


def observed_expected(cases: HorizonCases) -> Score:
    """Kaplan-Meier risk at the horizon over the mean predicted one: above 1 the predictions are too low.

    With delayed entry the events over those expected under observation: who is seen late had to live until
    then, so the patients are not those whose risk Kaplan-Meier estimates. Source: Crowson, Atkinson and
    Therneau, "Assessing calibration of prognostic risk scores", Stat. Methods Med. Res. 2016.
    """
    if cases.expected is not None:
        total = float(cases.expected.sum())
        value = cases.events / total if total > 0 else float("nan")
        return cases.score(value, "nobody, or no event expected")
    expected = float(cases.chance.mean()) if len(cases.chance) else float("nan")
    if not expected > 0:
        return cases.score(float("nan"), "nobody, or no predicted risk above 0")
    alive = product_limit(cases.time, cases.event).at(np.array([cases.horizon]))
    return cases.score((1.0 - float(alive[0])) / expected, "follow-up ends before the horizon")


def _weighted(of: Callable[[HorizonCases], Score]) -> Callable[[HorizonCases], Score]:
    """A metric that is weighted for censoring, undefined with delayed entry."""

    def score(cases: HorizonCases) -> Score:
        return of(cases) if cases.entry is None else cases.score(float("nan"), DELAYED_ENTRY)

    return score


def horizon_brier(cases: HorizonCases) -> Score:
    """Brier score at the horizon, weighted by the inverse probability of censoring (Graf et al. 1999)."""
    return cases.score(_brier(cases, cases.chance), "no event, or follow-up ends before the horizon")


def scaled_brier(cases: HorizonCases) -> Score:
    """1 - Brier score over that of predicting the Kaplan-Meier risk for everybody: share of it explained.

    Source: Kattan and Gerds, "The index of prediction accuracy", Diagn. Progn. Res. 2018.
    """
    alive = float(product_limit(cases.time, cases.event).at(np.array([cases.horizon]))[0])
    null = _brier(cases, np.full(len(cases.time), 1.0 - alive)) if alive == alive else float("nan")
    value = 1.0 - _brier(cases, cases.chance) / null if null > 0 else float("nan")
    return cases.score(value, "no event, or follow-up ends before the horizon")


def horizon_auc(cases: HorizonCases) -> Score:
    """Cumulative/dynamic AUC at the horizon."""
    at = np.array([cases.horizon])
    return time_dependent_auc(cases.time, cases.event, cases.time, cases.event, cases.chance, at).mean


def _slope(cases: HorizonCases) -> Score:
    return survival_calibration_slope(cases.time, cases.event, 1.0 - cases.chance, cases.horizon, cases.entry)


def _uno(cases: HorizonCases) -> Score:
    tau = np.nextafter(cases.horizon, np.inf)
    return ipcw_concordance(cases.time, cases.event, cases.time, cases.event, cases.risk, float(tau))


def _smooth(name: str) -> Callable[[HorizonCases], Score]:
    def score(cases: HorizonCases) -> Score:
        found = smooth_survival_calibration(
            cases.time, cases.event, cases.chance, cases.horizon, entry=cases.entry
        )
        return cases.score(float(getattr(found, name)), found.reason or "")

    return score


def _brier(cases: HorizonCases, chance: Floats) -> float:
    if not len(cases.time):
        return float("nan")
    times = np.array([cases.horizon])
    both = (cases.time, cases.event)
    return float(brier_score(*both, *both, 1.0 - chance[:, None], times)[0])


HORIZON_METRICS = (
    HorizonMetric(
        "c_index", "Harrell's C", 1.0, lambda c: concordance(c.time, c.event, c.risk, entry=c.entry)
    ),
    HorizonMetric("ipcw_c_index", "Uno's C by the horizon", 1.0, _weighted(_uno), brief=False),
    HorizonMetric("auc", "AUC at the horizon", 1.0, _weighted(horizon_auc)),
    HorizonMetric("brier", "Brier score", 0.0, _weighted(horizon_brier), brief=False),
    HorizonMetric("scaled_brier", "scaled Brier score", 1.0, _weighted(scaled_brier)),
    HorizonMetric("observed_expected", "observed / expected", 1.0, observed_expected),
    HorizonMetric("calibration_slope", "calibration slope", 1.0, _slope),
    HorizonMetric("ici", "ICI", 0.0, _smooth("ici"), brief=False),
    HorizonMetric("e50", "E50", 0.0, _smooth("e50"), brief=False),
    HorizonMetric("e90", "E90", 0.0, _smooth("e90"), brief=False),
)

"""What `prime fit` learns on top of a frozen network, and what it says of patients.

In one picture:

    blocks of the sources, filled in -+
    covariates, annotations ----------+-> weights of the cancer type -> score -> calibrated within type and
    PRIME's tokens, imputed or own ---+                                          pattern -> risk -> survival
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from scipy.special import expit

from prime.arrays import Flags, Floats, Indices
from prime.downstream.embeddings import EmbeddingCache
from prime.downstream.token_blocks import PatientFeatures, token_blocks
from prime.evaluation.lower_bounds import time_at_depth
from prime.evaluation.next_test import Shift
from prime.evaluation.recalibration import HorizonMap, bent
from prime.methods.statistics.blocks import BlockEncoder
from prime.methods.statistics.calibrated import CalibratedScore
from prime.methods.statistics.cohort_heads import CohortHead
from prime.methods.statistics.design import FeatureMap
from prime.methods.statistics.examples import Population
from prime.methods.statistics.ridge import soften
from prime.methods.statistics.within_type import Types
from prime.predict.competing import ANYONE, CompetingHead

PERCENTS = np.arange(101)


@dataclass(frozen=True)
class TokenMap:
    """How embedded tokens become features: an encoder for each block of the readout, one scale for all."""

    encoders: tuple[BlockEncoder, ...]
    scale: float


@dataclass(frozen=True)
class HeadDraws:
    """Heads of B bootstrap samples of the labelled patients: shared (B, p), own (B, p) of each type."""

    shared: Floats
    own: dict[str, Floats]

    def scores(self, x: Floats, types: Types) -> Floats:
        """Scores (n, B) of features x (n, p) of patients of types (n,)."""
        scores = x @ self.shared.T
        for name in np.unique(types):
            if str(name) in self.own:
                scores[types == name] = x[types == name] @ self.own[str(name)].T
        return scores


@dataclass(frozen=True)
class Calibration:
    """What a score means in a cancer type.

    Attributes:
        patients, events: that it rests on.
        ends: (T,) days at which the baseline hazards are known; (1,) of no meaning for a binary task.
        scores: by pattern, a slope and a baseline, from scores of patients whom the head was fitted without.
        reference: by pattern, (101,) percentiles of the risks of those patients.
        maps: what the risks by some days become in another place, rising days; none where it is not bent.
    """

    patients: int
    events: int
    ends: Floats
    scores: dict[str, CalibratedScore]
    reference: dict[str, Floats]
    maps: tuple[HorizonMap, ...] = ()

    def risk(self, score: Floats, pattern: str) -> Floats:
        """Log hazard ratio (log odds ratio) to the average patient of the calibration: (n,) to (n,)."""
        model = self.scores[pattern].model
        return soften(model.score(score[:, None]), model.lowest, model.highest)

    def hazard(self, days: Floats, pattern: str) -> Floats:
        """Cumulative baseline hazard at days (h,), linear between the ends; NaN beyond the last."""
        heights = np.append(0.0, self.scores[pattern].model.hazard)
        found = np.interp(days, np.append(0.0, self.ends), heights)
        return np.where(days > self.ends[-1], np.nan, found)

    def survival(self, risk: Floats, days: Floats, pattern: str) -> Floats:
        """Survival (n, h) of risks (n,) at days (h,); NaN beyond what follow-up tells."""
        curve = np.exp(-self.hazard(days, pattern) * np.exp(risk)[:, None])
        if not self.maps:
            return curve
        known = np.array([each.days for each in self.maps])
        return bent(days, curve, self.maps, np.exp(-self.hazard(known, pattern) * np.exp(risk)[:, None]))

    def own_hazard(self, risk: Floats, days: Floats, pattern: str) -> Floats:
        """Cumulative hazard (n,) of risks (n,), each at its own day (n,); NaN beyond the last end."""
        if not self.maps:
            return self.hazard(days, pattern) * np.exp(risk)
        alone = (self.survival(risk[[i]], days[[i]], pattern)[0, 0] for i in range(len(risk)))
        return -np.log(np.fromiter(alone, dtype=np.float64, count=len(risk)))

    def time_at(self, depth: float, risk: Floats, pattern: str) -> Floats:
        """Days (n,) by which the curves of risks (n,) have fallen by a depth; the last end where later."""
        if not self.maps:
            return time_at_depth(depth, self.ends, self.scores[pattern].model.hazard, np.exp(risk))
        fallen = 1.0 - self.survival(risk, self.ends, pattern)
        rows = (np.interp(depth, np.append(0.0, row), np.append(0.0, self.ends)) for row in fallen)
        return np.fromiter(rows, dtype=np.float64, count=len(risk))

    def probability(self, risk: Floats, pattern: str) -> Floats:
        """Of the event by the horizon, (n,), for a binary task."""
        chance = expit(self.scores[pattern].model.hazard[0] + risk)
        return self.maps[0](chance) if self.maps else chance

    def percentile(self, risk: Floats, pattern: str) -> Floats:
        """Where risks (n,) stand among those of the calibration, 0 to 100."""
        return np.interp(risk, self.reference[pattern], PERCENTS)


@dataclass(frozen=True)
class Prognosis:
    """A fitted head with all that it needs.

    Attributes:
        features: from sources and covariates to features.
        tokens: from PRIME's tokens to features.
        head: weights.
        draws: weights of bootstrap samples.
        calibrations: by cancer type; that of ANYONE serves the others.
        bounds: by pattern, `lower_bounds.depth_quantiles`, or `label_quantiles` for a binary task.
        shifts: by "pattern>larger pattern", what a test adds to the risk.
        network_spread: by pattern, standard deviation of a held-out patient's risk over networks that were
            pretrained with other seeds (`learn.network_spread`); nothing where there is one network.
        competing: of a task with competing events; its risk is then that of the task's own event, others
            taken for censorings.
    """

    features: FeatureMap
    tokens: TokenMap
    head: CohortHead
    draws: HeadDraws
    calibrations: dict[str, Calibration]
    bounds: dict[str, Floats]
    shifts: dict[str, Shift]
    network_spread: dict[str, float] = field(default_factory=dict[str, float])
    competing: CompetingHead | None = None

    def of(self, population: Population, cache: EmbeddingCache) -> PatientFeatures:
        """What the head reads of patients whom nothing was fitted on."""
        tokens = token_blocks(cache, population.types, self.tokens.encoders, self.tokens.scale)
        return PatientFeatures(self.features.design(population), tokens)

    def by_calibration(self, types: Types) -> Iterator[tuple[Calibration, Indices]]:
        """Each calibration that serves patients of these types (n,), and the rows whom it serves."""
        names = np.array([str(t) if str(t) in self.calibrations else ANYONE for t in types], dtype=object)
        for name in sorted(set(names.tolist())):
            yield self.calibrations[name], np.flatnonzero(names == name)

    def risks(self, scores: Floats, types: Types, pattern: str) -> Floats:
        """Calibrated risks (n,) of scores (n,)."""
        result = np.empty(len(scores))
        for calibration, rows in self.by_calibration(types):
            result[rows] = calibration.risk(scores[rows], pattern)
        return result

    def risk_spread(self, x: Floats, types: Types, pattern: str) -> Floats:
        """Standard deviation (n,) of the risk over bootstrap samples and networks, of features x (n, p)."""
        result = np.empty(len(x))
        for calibration, rows in self.by_calibration(types):
            slope = float(calibration.scores[pattern].model.weight[0])
            draws = self.draws.scores(x[rows], types[rows])
            result[rows] = slope * draws.std(axis=1)
        return np.hypot(result, self.network_spread.get(pattern, 0.0))


def pattern_of(keep: Flags, patterns: dict[str, tuple[bool, ...]]) -> str:
    """The name of a set of modalities (M,)."""
    wanted = tuple(bool(k) for k in keep)
    return next(name for name, flags in patterns.items() if flags == wanted)

"""Discrete-time cause-specific hazards: which of several events comes first, and when.

In a time bin, a patient who is still free of all events has the event of cause c with the probability

    h_c = exp(a_c + b_c s_c) / (1 + sum over causes exp(a + b s)),

a multinomial logit with a constant for each bin and cause, and one slope for each cause's score s_c. The
cumulative incidence of a cause is the sum over bins of its hazard times the probability of having been free
of all events before. Without scores it is the Aalen-Johansen estimate at the ends of the bins.

Sources: Tutz and Schmid, "Modeling Discrete Time-to-Event Data", 2016, chapter 8; Lee, Feuer and Fine, "On
the analysis of discrete time competing risks data", Biometrics 2018.
"""

from dataclasses import dataclass

import numpy as np

from prime.arrays import Flags, Floats, Indices
from prime.evaluation.newton import Derivatives, maximise
from prime.methods.statistics.ridge import soften

LEAST_SLOPE = 0.01  # of a standardised score: a risk always rises with its score
PENALTY, FEW_PENALTY = 1e-3, 1.0  # on the slope of a standardised score; where events of its cause are few
FEW_EVENTS = 20
SURVIVOR = 0.5  # of a patient, in a bin that nobody at risk survived


@dataclass(frozen=True)
class CauseHazards:
    """Hazards of C causes in T bins.

    Attributes:
        ends: (T,) days at which the bins end, rising; the first begins at 0.
        odds: (C, T) of each cause against no event where all scores are at their centre; 0 where none came.
        slope: (C,) of each cause's score.
        centre, lowest, highest: (C,) of the scores that it was fitted on.
    """

    ends: Floats
    odds: Floats
    slope: Floats
    centre: Floats
    lowest: Floats
    highest: Floats

    def hazards(self, scores: Floats) -> Floats:
        """Probability (n, C, T) of each cause's event in each bin of who is free of all, of scores (n, C)."""
        raw = self.slope * (scores - self.centre)
        ends = zip(raw.T, self.lowest.tolist(), self.highest.tolist(), strict=True)
        line = np.stack([soften(*each) for each in ends], axis=1)
        odds = self.odds * np.exp(line)[:, :, None]
        return odds / (1.0 + odds.sum(axis=1, keepdims=True))

    def incidence(self, scores: Floats) -> Floats:
        """Cumulative incidence (n, C, T) at the ends of the bins, of scores (n, C)."""
        hazards = self.hazards(scores)
        free = np.cumprod(1.0 - hazards.sum(axis=1), axis=1)  # (n, T)
        before = np.concatenate([np.ones((len(free), 1)), free[:, :-1]], axis=1)
        return np.cumsum(before[:, None, :] * hazards, axis=2)

    def incidence_at(self, scores: Floats, days: Floats) -> Floats:
        """Cumulative incidence (n, C, h) by days (h,), linear between the ends; NaN beyond the last one."""
        known = np.concatenate([np.zeros((*scores.shape, 1)), self.incidence(scores)], axis=2)
        grid = np.append(0.0, self.ends)
        low = np.clip(np.searchsorted(grid, days, side="right") - 1, 0, len(self.ends) - 1)
        share = (days - grid[low]) / (grid[low + 1] - grid[low])
        found = known[..., low] + share * (known[..., low + 1] - known[..., low])
        return np.where(days > self.ends[-1], np.nan, found)


@dataclass(frozen=True)
class BinnedCauses:
    """Patients in bins (start, end].

    Attributes:
        at_risk: (n, T) the share of each bin in which a patient was at risk; 1 in the bin of an event.
        came: (n, C, T) 1 where the event of a cause came.
    """

    at_risk: Floats
    came: Floats


def bin_causes(
    time: Floats, cause: Indices, causes: int, ends: Floats, entry: Floats | None = None
) -> BinnedCauses:
    """Times (n,) with causes (n,), 0 = censored, in bins that end at `ends` (T,).

    A censored patient counts in the last bin by the share of it that was observed, and so does one who came
    under observation within a bin; what comes after the last end is not counted.
    """
    starts, width = np.append(0.0, ends[:-1]), np.diff(np.append(0.0, ends))
    late = np.zeros(len(time)) if entry is None else entry
    until = (np.minimum(time[:, None], ends) - np.maximum(late[:, None], starts)) / width
    at_risk = np.clip(until, 0.0, 1.0)
    place = np.searchsorted(ends, time, side="left")
    rows = np.flatnonzero((cause > 0) & (place < len(ends)))
    came = np.zeros((len(time), causes, len(ends)))
    came[rows, cause[rows] - 1, place[rows]] = 1.0
    at_risk[rows, place[rows]] = 1.0
    return BinnedCauses(at_risk, came)


def fit_cause_hazards(
    scores: Floats, time: Floats, cause: Indices, ends: Floats, entry: Floats | None = None
) -> CauseHazards:
    """The hazards by maximum likelihood, with a slope of each score that cannot turn its order.

    Args:
        scores: (n, C) of each cause, of patients who did not shape them; higher = more likely.
        time: (n,) days, above zero, to the first event or the end of follow-up.
        cause: (n,) 0 = censored, else 1 to C.
        ends: (T,) days, rising; the last one at the last event.
        entry: (n,) delayed entry, before the time.
    """
    centre, spread = scores.mean(axis=0), scores.std(axis=0)
    standard = np.divide(scores - centre, spread, out=np.zeros_like(scores), where=spread > 0)
    binned = bin_causes(time, cause, scores.shape[1], ends, entry)
    events = binned.came.sum(axis=(0, 2))
    penalty = np.where(events < FEW_EVENTS, FEW_PENALTY, PENALTY)
    free = _Likelihood.of(binned, standard, penalty, np.zeros(scores.shape[1]))
    slope = np.maximum(maximise(free, free.size).point[: scores.shape[1]], LEAST_SLOPE)
    held = _Likelihood.of(binned, standard, None, slope)
    odds = held.odds(maximise(held, held.size).point)
    rate = np.divide(slope, spread, out=np.zeros_like(slope), where=spread > 0)
    line = rate * (scores - centre)
    return CauseHazards(ends, odds, rate, centre, line.min(axis=0), line.max(axis=0))


@dataclass(frozen=True)
class _Likelihood:
    """The log likelihood as a function of slopes (C,), unless they are held, and of constants.

    Constants are counted from those of a model without scores. Cells (cause, bin) without an event have none:
    their hazard is 0.

    Attributes:
        binned: the patients.
        scores: (n, C) standardised.
        penalty: (C,) on the slopes; None where they are held.
        slope: (C,) that are held, or from which they are counted.
        start: (C, T) constants of a model without scores; minus infinity in cells without an event.
        survivor: (T,) weight of a survivor with all scores at 0.
    """

    binned: BinnedCauses
    scores: Floats
    penalty: Floats | None
    slope: Floats
    start: Floats
    survivor: Floats

    @classmethod
    def of(cls, binned: BinnedCauses, scores: Floats, penalty: Floats | None, slope: Floats) -> "_Likelihood":
        """With the constants of a model without scores."""
        came, at_risk = binned.came.sum(axis=0), binned.at_risk.sum(axis=0)  # (C, T), (T,)
        left = at_risk - came.sum(axis=0)
        survivor = np.where(left > 1e-9, 0.0, SURVIVOR)
        with np.errstate(divide="ignore"):
            start = np.log(came / np.maximum(left, survivor))
        return cls(binned, scores, penalty, slope, start, survivor)

    @property
    def cells(self) -> Flags:
        """(C, T) which have a constant."""
        return np.isfinite(self.start)

    @property
    def size(self) -> int:
        """The number of parameters."""
        return int(self.cells.sum()) + (0 if self.penalty is None else len(self.slope))

    def _parts(self, point: Floats) -> tuple[Floats, Floats]:
        """Slopes (C,) and constants (C, T)."""
        count = 0 if self.penalty is None else len(self.slope)
        constant = self.start.copy()
        constant[self.cells] += point[count:]
        return (self.slope + point[:count] if count else self.slope), constant

    def odds(self, point: Floats) -> Floats:
        """(C, T) odds where all scores are 0."""
        return np.exp(self._parts(point)[1])

    def __call__(self, point: Floats) -> Derivatives:
        """Value, gradient and information."""
        slope, constant = self._parts(point)
        came, weight = self.binned.came, self.binned.at_risk  # (n, C, T), (n, T)
        line = constant + (slope * self.scores)[:, :, None]
        with np.errstate(over="ignore", invalid="ignore"):
            odds = np.exp(line)
            none = 1.0 / (1.0 + odds.sum(axis=1))  # (n, T)
            chance = odds * none[:, None]
            base = np.exp(constant)
            lone = base / (1.0 + base.sum(axis=0))  # (C, T) of the survivor
            value = float(
                (came * np.where(self.cells, line, 0.0)).sum()
                + (weight * np.log(none)).sum()
                - self.survivor @ np.log1p(base.sum(axis=0))
            )
        rest = came - weight[:, None] * chance  # (n, C, T)
        gradient = np.append(
            (rest.sum(axis=2) * self.scores).sum(axis=0), rest.sum(axis=0) - self.survivor * lone
        )
        information = self._information(weight, chance, lone)
        if self.penalty is not None:
            count = len(slope)
            value -= 0.5 * float(self.penalty @ slope**2)
            gradient[:count] -= self.penalty * slope
            information[np.arange(count), np.arange(count)] += self.penalty
        kept = np.append(np.full(len(slope), self.penalty is not None), self.cells)
        return Derivatives(
            value if np.isfinite(value) else -np.inf, gradient[kept], information[np.ix_(kept, kept)]
        )

    def _information(self, weight: Floats, chance: Floats, lone: Floats) -> Floats:
        """(C + C T, C + C T): slopes first, then constants cause by cause, cells without events included."""
        count, bins = lone.shape
        whole = np.zeros((count + count * bins,) * 2)
        at = [count + c * bins + np.arange(bins) for c in range(count)]
        for c in range(count):
            for d in range(count):
                same = float(c == d)
                both = weight * chance[:, c] * (same - chance[:, d])  # (n, T)
                whole[c, d] = both.sum(axis=1) @ (self.scores[:, c] * self.scores[:, d])
                whole[at[c], d] = whole[d, at[c]] = self.scores[:, d] @ both
                whole[at[c], at[d]] = both.sum(axis=0) + self.survivor * lone[c] * (same - lone[d])
        return whole

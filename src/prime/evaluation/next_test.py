"""What a missing test could change: the risk if it came, and what knowing it would be worth.

Among patients who have the test, the model scores each with it and without it. The risk with it, less what
the risk without it lets expect, is a sample of what the test can add; a new patient who lacks it gets that
sample around their own risk. The worth of a decision follows decision-curve analysis: at a threshold
probability t a patient who is treated gains p - (1 - p) * t / (1 - t), one who is not gains nothing (Vickers
and Elkin 2006), and the worth of a test is the expected gain of deciding after it less that of deciding now
(Schlaifer and Raiffa 1961, the expected value of sample information).
"""

from dataclasses import dataclass

import numpy as np

from prime.arrays import Flags, Floats

LEAST_PATIENTS = 20
PERCENTS = np.arange(100) + 0.5


@dataclass(frozen=True)
class Shift:
    """From the risk without a test to the risk with it.

    Attributes:
        intercept, slope: of the expected risk with it.
        residual: (100,) percentiles 0.5 to 99.5 of what the risk then differs by.
    """

    intercept: float
    slope: float
    residual: Floats

    def draws(self, risk: Floats) -> Floats:
        """Equally likely risks (n, 100) once the test has come, for risks (n,) without it."""
        return (self.intercept + self.slope * risk)[:, None] + self.residual

    @property
    def spread(self) -> float:
        """The standard deviation of what the test adds."""
        return float(self.residual.std())


def fit_shift(without: Floats, having: Floats) -> Shift | None:
    """The shift from risks (n,) without a test to those with it; None from fewer than 20 patients."""
    if len(without) < LEAST_PATIENTS or not without.std() > 0:
        return None
    slope, intercept = np.polyfit(without, having, 1)
    residual = having - intercept - slope * without
    return Shift(float(intercept), float(slope), np.percentile(residual, PERCENTS))


def chance_of_crossing(draws: Floats, now: Floats, threshold: Floats) -> Floats:
    """The share of draws (n, k) on the other side of thresholds (n,) than what is known now (n,)."""
    return ((draws >= threshold[:, None]) != (now >= threshold)[:, None]).mean(axis=1)


def net_benefit(probability: Floats, threshold: float) -> Floats:
    """Of treating a patient with this probability of the event, in true positives; any shape.

    Source: Vickers and Elkin, "Decision curve analysis", Medical Decision Making 2006.
    """
    return probability - (1 - probability) * threshold / (1 - threshold)


def expected_gain(probabilities: Floats, threshold: float) -> Floats:
    """What deciding after the test gains over deciding now, (n,), from equally likely (n, k) probabilities.

    Never below zero; in true positives a patient.
    """
    after = np.maximum(net_benefit(probabilities, threshold), 0.0).mean(axis=1)
    now = np.maximum(net_benefit(probabilities.mean(axis=1), threshold), 0.0)
    return after - now


def most_uncertain(probability: Floats) -> Floats:
    """Entropy (n,) in nats of the probabilities (n,): the usual rule for whom to test, as a comparison."""
    p = np.clip(probability, 1e-12, 1 - 1e-12)
    return -p * np.log(p) - (1 - p) * np.log1p(-p)


def best_first(worth: Floats, budget: float) -> Flags:
    """(n,) bool: the share `budget` of patients with the largest worth (n,), ties in their order."""
    count = round(budget * len(worth))
    chosen = np.zeros(len(worth), dtype=bool)
    chosen[np.argsort(-worth, kind="stable")[:count]] = True
    return chosen

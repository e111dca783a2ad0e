"""How many patients the development of a prediction model needs: Riley's criteria. Pure functions of numbers.

Three wants: that the predictor effects shrink by no more than a tenth when they are estimated right
(criterion 1), that the apparent and the adjusted Nagelkerke R2 differ by no more than 0.05 (2), and that the
overall risk is known to 0.05 (3). Sources: Riley et al., "Minimum sample size for developing a multivariable
prediction model: part II, binary and time-to-event outcomes", Stat. Med. 2019; Riley et al., "Calculating the
sample size required for developing a clinical prediction model", BMJ 2020.

"Parameters" are candidate predictor parameters: all that are considered, before any is selected or penalised.
"""

from dataclasses import dataclass
from math import ceil, exp, floor, isfinite, log, sqrt

import numpy as np
from scipy.special import ndtri

SHRINKAGE = 0.9
OPTIMISM = 0.05
MARGIN = 0.05
NAGELKERKE = 0.15  # of a model of which nothing is known yet; BMJ 2020
_Z = float(ndtri(0.975))


@dataclass(frozen=True)
class SampleSize:
    """Patients that each criterion asks for.

    Attributes:
        shrinkage, optimism, risk: of criteria 1, 2 and 3.
        events: expected among `patients`.
        parameters: that they are for.
        r2: the Cox-Snell R2 assumed; r2_maximum: the highest that it can be with these events.
    """

    shrinkage: int
    optimism: int
    risk: int
    events: float
    parameters: int
    r2: float
    r2_maximum: float

    @property
    def patients(self) -> int:
        """The largest of the three."""
        return max(self.shrinkage, self.optimism, self.risk)


def survival_r2_maximum(rate: float, mean_follow_up: float) -> float:
    """The highest Cox-Snell R2 of a time-to-event model with rate * mean_follow_up events a patient."""
    events = rate * mean_follow_up
    return 1.0 - exp(2.0 * (events * log(events) - events))


def binary_r2_maximum(prevalence: float) -> float:
    """The highest Cox-Snell R2 of a binary model."""
    return 1.0 - exp(2.0 * (prevalence * log(prevalence) + (1.0 - prevalence) * log(1.0 - prevalence)))


def survival_sample_size(
    parameters: int, rate: float, mean_follow_up: float, horizon: float, r2: float | None = None
) -> SampleSize:
    """Patients that a time-to-event model with so many parameters needs.

    Args:
        parameters: at least 1.
        rate: events per unit of follow-up, above 0.
        mean_follow_up: in the same unit, above 0.
        horizon: at which the overall risk is to be known, above 0.
        r2: Cox-Snell R2 expected of the model; None for `NAGELKERKE` of the highest.

    Raises:
        ValueError: a number outside these limits, or an r2 that is not between 0 and the highest.
    """
    _check_positive(parameters=parameters, rate=rate, mean_follow_up=mean_follow_up, horizon=horizon)
    highest = survival_r2_maximum(rate, mean_follow_up)
    reach = _Z * horizon / float(np.logaddexp(0.0, log(MARGIN) + rate * horizon))
    risk = ceil(rate / mean_follow_up * reach**2)
    return _sizes(parameters, r2, highest, risk, rate * mean_follow_up)


def binary_sample_size(parameters: int, prevalence: float, r2: float | None = None) -> SampleSize:
    """Patients that a binary model with so many parameters needs; prevalence in (0, 1), r2 as above.

    Raises:
        ValueError: as `survival_sample_size`.
    """
    _check_positive(parameters=parameters)
    if not 0.0 < prevalence < 1.0:
        raise ValueError(f"prevalence must be in (0, 1), found {prevalence}")
    risk = ceil((_Z / MARGIN) ** 2 * prevalence * (1.0 - prevalence))
    return _sizes(parameters, r2, binary_r2_maximum(prevalence), risk, prevalence)


def most_parameters(patients: int, r2: float, r2_maximum: float) -> int:
    """The most parameters for which criteria 1 and 2 hold with so many patients; may be 0.

    Raises:
        ValueError: fewer than 0 patients, or an r2 that is not between 0 and the highest.
    """
    _check_r2(r2, r2_maximum)
    if patients < 0:
        raise ValueError(f"patients must be at least 0, found {patients}")
    return floor(min(patients / _per_parameter(r2, s) for s in (SHRINKAGE, _least_shrinkage(r2, r2_maximum))))


def _sizes(parameters: int, r2: float | None, highest: float, risk: int, share: float) -> SampleSize:
    expected = NAGELKERKE * highest if r2 is None else r2
    _check_r2(expected, highest)
    first = ceil(parameters * _per_parameter(expected, SHRINKAGE))
    second = ceil(parameters * _per_parameter(expected, _least_shrinkage(expected, highest)))
    events = max(first, second, risk) * share
    return SampleSize(first, second, risk, events, parameters, expected, highest)


def _per_parameter(r2: float, shrinkage: float) -> float:
    """Patients per parameter at which the expected shrinkage is this."""
    return 1.0 / ((shrinkage - 1.0) * log(1.0 - r2 / shrinkage))


def _least_shrinkage(r2: float, highest: float) -> float:
    """The shrinkage that keeps the optimism of Nagelkerke's R2 within bounds."""
    return r2 / (r2 + OPTIMISM * highest)


def _check_positive(**numbers: float) -> None:
    for name, number in numbers.items():
        if not (number > 0 and isfinite(number)):
            raise ValueError(f"{name} must be above 0, found {number}")


def _check_r2(r2: float, highest: float) -> None:
    if not 0.0 < r2 < min(highest, SHRINKAGE):
        raise ValueError(f"r2 must be above 0 and below {min(highest, SHRINKAGE):.3f}, found {r2}")


def risk_margin(rate: float, mean_follow_up: float, horizon: float, patients: int) -> float:
    """How far off the overall risk at the horizon may be, at 95%, for events that come at a constant rate."""
    _check_positive(rate=rate, mean_follow_up=mean_follow_up, horizon=horizon, patients=patients)
    error = _Z * horizon * sqrt(rate / (mean_follow_up * patients))
    return exp(-rate * horizon) * (exp(error) - 1.0)

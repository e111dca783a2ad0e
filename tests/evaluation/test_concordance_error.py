"""The standard error of a concordance against derivatives by plain loops, and against drawn samples."""

import numpy as np
import pytest

from prime.evaluation.concordance_error import concordance_error, concordance_interval
from prime.evaluation.metrics import concordance_within


def made(count: int, seed: int) -> tuple[np.ndarray, ...]:
    rng = np.random.default_rng(seed)
    risk = np.round(rng.normal(size=count), 1)
    time = np.ceil(rng.exponential(np.exp(-risk)) * 20) + 1
    return time, rng.random(count) < 0.6, risk, rng.integers(0, 2, count), np.floor(rng.random(count) * 3)


def weighted(weight: np.ndarray, arrays: tuple[np.ndarray, ...]) -> float:
    """The concordance with a weight a patient, pair by pair."""
    time, event, risk, strata, entry = arrays
    right = total = 0.0
    for i in range(len(time)):
        for j in range(len(time)):
            if i == j or not event[i] or strata[i] != strata[j] or not entry[j] < time[i]:
                continue
            if time[i] < time[j] or (time[i] == time[j] and not event[j]):
                pair = weight[i] * weight[j]
                total += pair
                right += pair * (1.0 if risk[i] > risk[j] else 0.5 if risk[i] == risk[j] else 0.0)
    return right / total


def test_it_sums_the_squared_derivatives_by_each_weight() -> None:
    arrays = made(40, 0)
    time, event, risk, strata, entry = arrays
    ones, step = np.ones(40), 1e-5
    assert weighted(ones, arrays) == pytest.approx(
        concordance_within(time, event, risk, strata, entry=entry).value
    )
    slopes: list[float] = []
    for i in range(40):
        up, down = (np.where(np.arange(40) == i, 1 + sign * step, 1.0) for sign in (1, -1))
        slopes.append((weighted(up, arrays) - weighted(down, arrays)) / (2 * step))
    expected = float(np.sqrt(np.square(slopes).sum()))
    assert concordance_error(time, event, risk, strata, entry) == pytest.approx(expected, rel=1e-6)


def test_it_is_the_spread_over_drawn_samples() -> None:
    time, event, risk, strata, _ = made(300, 1)
    rng = np.random.default_rng(2)
    drawn = [rng.integers(0, 300, 300) for _ in range(200)]
    values = [concordance_within(time[r], event[r], risk[r], strata[r]).value for r in drawn]
    assert concordance_error(time, event, risk, strata) == pytest.approx(np.std(values), rel=0.15)


def test_an_interval_stays_between_zero_and_one() -> None:
    low, high = concordance_interval(0.97, 0.05)
    assert 0 < low < 0.97 < high < 1
    assert concordance_interval(0.5, 0.02) == pytest.approx((0.461, 0.539), abs=1e-3)
    assert np.isnan(concordance_interval(1.0, 0.0)).all()
    nobody = np.zeros(3, dtype=bool)
    assert np.isnan(concordance_error(np.arange(3.0), nobody, np.arange(3.0), np.zeros(3)))

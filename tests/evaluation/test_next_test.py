"""What a missing test could change, against simulations with a known answer."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prime.evaluation.next_test import (
    LEAST_PATIENTS,
    best_first,
    chance_of_crossing,
    expected_gain,
    fit_shift,
    most_uncertain,
    net_benefit,
)


def test_a_shift_tells_how_the_risk_will_spread() -> None:
    rng = np.random.default_rng(0)
    without = rng.normal(size=5000)
    having = 0.2 + 1.1 * without + 0.5 * rng.normal(size=5000)
    shift = fit_shift(without, having)
    assert shift is not None
    np.testing.assert_allclose([shift.intercept, shift.slope, shift.spread], [0.2, 1.1, 0.5], atol=0.03)
    draws = shift.draws(np.array([0.0, 1.0]))
    assert draws.shape == (2, 100)
    np.testing.assert_allclose(draws.mean(axis=1), [0.2, 1.3], atol=0.05)


def test_too_few_or_all_alike_tell_nothing() -> None:
    values = np.random.default_rng(0).normal(size=LEAST_PATIENTS - 1)
    assert fit_shift(values, values) is None
    assert fit_shift(np.zeros(50), np.arange(50.0)) is None


def test_crossing_counts_draws_on_the_other_side() -> None:
    draws = np.array([[0.0, 1.0, 2.0, 3.0], [0.0, 1.0, 2.0, 3.0]])
    found = chance_of_crossing(draws, np.array([0.5, 2.5]), np.array([2.0, 2.0]))
    np.testing.assert_array_equal(found, [0.5, 0.5])


@pytest.mark.parametrize("threshold", [0.1, 0.5, 0.8])
def test_net_benefit_is_that_of_decision_curves(threshold: float) -> None:
    """Summed over patients: true positives less false ones at the odds of the threshold."""
    rng = np.random.default_rng(1)
    p = rng.random(20_000)
    event = rng.random(20_000) < p
    treated = p >= threshold
    counted = (event & treated).mean() - (~event & treated).mean() * threshold / (1 - threshold)
    expected = np.maximum(net_benefit(p, threshold), 0).mean()
    assert abs(counted - expected) < 0.02


@given(st.integers(0, 200), st.floats(0.05, 0.95))
def test_knowing_more_never_costs(seed: int, threshold: float) -> None:
    p = np.random.default_rng(seed).beta(0.7, 1.3, size=(4, 30))
    gain = expected_gain(p, threshold)
    assert (gain >= -1e-12).all()
    same = expected_gain(np.repeat(p[:, :1], 30, axis=1), threshold)
    np.testing.assert_allclose(same, 0, atol=1e-12)
    one_side = expected_gain(np.where(p > threshold, p, threshold), threshold)
    np.testing.assert_allclose(one_side, 0, atol=1e-12)


def test_the_gain_is_what_deciding_after_the_test_brings() -> None:
    rng = np.random.default_rng(2)
    p = rng.random((1, 200_000))
    event = rng.random(200_000) < p[0]
    threshold = 0.3
    after, now = p[0] >= threshold, p.mean() >= threshold
    worth = np.where(event, 1.0, -threshold / (1 - threshold))
    counted = (worth * after).mean() - (worth * now).mean()
    assert abs(expected_gain(p, threshold)[0] - counted) < 0.005


def test_the_worthiest_come_first() -> None:
    chosen = best_first(np.array([0.1, 0.4, 0.4, 0.2, 0.3]), 0.4)
    assert chosen.tolist() == [False, True, True, False, False]
    assert best_first(np.arange(5.0), 0.0).sum() == 0
    assert most_uncertain(np.array([0.0, 0.5, 1.0])).argmax() == 1

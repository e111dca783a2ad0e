"""Delayed entry against lifelines, and follow-up counted from a landmark."""

import numpy as np
import pytest
from lifelines import KaplanMeierFitter

from prime.evaluation.kaplan_meier import kaplan_meier, numbers_at_risk
from prime.evaluation.landmark import landmark
from prime.evaluation.product_limit import product_limit


@pytest.mark.parametrize("seed", range(200))
def test_a_curve_with_delayed_entry_is_that_of_lifelines(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n = int(rng.integers(20, 120))
    time = rng.exponential(10, n).round(int(rng.integers(0, 3))) + 1
    event = rng.random(n) < 0.6
    entry = rng.uniform(0, 0.9, n) * time * (rng.random(n) < 0.5)
    fitted = KaplanMeierFitter().fit(time, event, entry=entry)
    theirs = fitted.survival_function_at_times(np.unique(time)).to_numpy()
    np.testing.assert_allclose(product_limit(time, event, entry=entry).curve, theirs, atol=1e-9)
    figure = kaplan_meier(time, event, entry=entry)
    bounds = fitted.confidence_interval_survival_function_.loc[np.unique(time)].to_numpy()
    inside = (theirs > 0) & (theirs < 1)
    np.testing.assert_allclose(figure.low[-len(theirs) :][inside], bounds[inside, 0], atol=1e-6)
    np.testing.assert_allclose(figure.high[-len(theirs) :][inside], bounds[inside, 1], atol=1e-6)


def test_entry_at_the_beginning_changes_nothing() -> None:
    time, event = np.array([1.0, 2.0, 2.0, 5.0]), np.array([True, True, False, True])
    plain, late = product_limit(time, event), product_limit(time, event, entry=np.zeros(4))
    np.testing.assert_array_equal(plain.curve, late.curve)
    np.testing.assert_array_equal(numbers_at_risk(time, [0, 2, 3], np.zeros(4)), [4, 3, 1])


def test_those_not_yet_under_observation_are_not_at_risk() -> None:
    time, entry = np.array([4.0, 5.0, 6.0]), np.array([0.0, 2.0, 4.5])
    np.testing.assert_array_equal(numbers_at_risk(time, [0, 3, 5], entry), [1, 2, 2])


def test_a_landmark_keeps_those_who_outlast_it() -> None:
    time = np.array([100.0, 365.0, 366.0, 1000.0])
    found = landmark(time, 365)
    np.testing.assert_array_equal(found.kept, [False, False, True, True])
    np.testing.assert_array_equal(found.time[2:], [1, 635])
    assert np.isnan(found.time[:2]).all()
    late = landmark(time, 365, np.array([0.0, 0.0, 10.0, 500.0])).entry
    assert late is not None
    np.testing.assert_array_equal(late[2:], [0, 135])


@pytest.mark.parametrize("seed", range(5))
def test_from_a_landmark_on_the_curve_is_the_conditional_one(seed: int) -> None:
    rng = np.random.default_rng(seed)
    time, event = rng.exponential(500, 300) + 1, rng.random(300) < 0.7
    found = landmark(time, 200)
    after = product_limit(found.time[found.kept], event[found.kept])
    whole = product_limit(time, event)
    asked = np.array([50.0, 300.0, 600.0])
    np.testing.assert_allclose(after.at(asked), whole.at(200 + asked) / whole.at(np.array([200.0])))


@pytest.mark.parametrize("at", [-1.0, np.inf])
def test_a_landmark_out_of_range_is_refused(at: float) -> None:
    with pytest.raises(ValueError, match="landmark"):
        landmark(np.array([1.0]), at)

"""The equations of recalibration: against statsmodels, and what must hold."""

import numpy as np
import pytest
import statsmodels.api as sm
from hypothesis import given
from hypothesis import strategies as st

from prime.evaluation.recalibration import HorizonMap, bent, hazard_recalibration, known_by, through_points


@pytest.mark.parametrize("seed", range(10))
def test_the_poisson_regression_is_that_of_statsmodels(seed: int) -> None:
    rng = np.random.default_rng(seed)
    line = rng.normal(0, 1, 200)
    expected = rng.exponential(0.5, 200) + 0.01
    event = rng.random(200) < 0.6
    for x in (None, line):
        design = np.ones((200, 1)) if x is None else np.column_stack([np.ones(200), x])
        fitted = sm.GLM(
            event.astype(float), design, family=sm.families.Poisson(), offset=np.log(expected)
        ).fit(tol=1e-13)
        found = hazard_recalibration(expected, event, x)
        np.testing.assert_allclose(found, [*fitted.params, 0.0][:2], atol=1e-7)


def test_patients_known_at_the_horizon_weigh_for_those_who_are_not() -> None:
    time = np.array([1.0, 2.0, 3.0, 4.0, 9.0, 9.0])
    event = np.array([True, False, True, False, True, False])
    label, weight = known_by(time, event, 5.0)
    np.testing.assert_array_equal(label, [True, False, True, False, False, False])
    free = 1 - 1 / 5
    beyond = free * (1 - 1 / 3)
    np.testing.assert_allclose(weight, [1, 0, 1 / free, 0, 1 / beyond, 1 / beyond])
    assert weight.sum() == pytest.approx(6)


@given(st.integers(0, 10_000))
def test_bent_curves_pass_through_the_points_and_fall(seed: int) -> None:
    rng = np.random.default_rng(seed)
    times = np.sort(rng.choice(np.arange(1.0, 100.0), 6, replace=False))
    hazards = rng.random((5, 6)) * (rng.random((5, 6)) < 0.8)
    curve = np.cumprod(1 - 0.9 * hazards, axis=1)
    places = np.sort(rng.choice(6, 3, replace=False))
    days, at_days = times[places], curve[:, places]
    wanted = np.sort(rng.uniform(0.05, 1, (5, 3)), axis=1)[:, ::-1]
    found = through_points(times, curve, days, at_days, wanted)
    assert (np.diff(found, axis=1) <= 1e-12).all()
    assert ((found >= 0) & (found <= 1)).all()
    np.testing.assert_allclose(found[:, places], wanted)
    np.testing.assert_allclose(through_points(times, curve, days, at_days, at_days), curve, atol=1e-12)


def test_maps_that_would_raise_survival_again_are_held_down() -> None:
    low, high = (HorizonMap(d, np.array([0.0, 1.0]), np.array([r, r])) for d, r in ((10.0, 0.6), (20.0, 0.3)))
    days, curve = np.array([5.0, 10.0, 20.0, 30.0]), np.array([[0.9, 0.8, 0.6, np.nan]])
    found = bent(days, curve, (low, high), curve[:, 1:3])
    np.testing.assert_allclose(found[0, :3], [0.4 ** (np.log(0.9) / np.log(0.8)), 0.4, 0.4])
    assert np.isnan(found[0, 3])

"""Smooth calibration curves against statsmodels and lifelines on patsy's splines, and on known lines."""

import numpy as np
import pandas as pd
import patsy
import pytest
import statsmodels.api as sm
from lifelines import CoxPHFitter
from scipy.special import expit, logit

from prime.evaluation.smooth_calibration import smooth_calibration, smooth_survival_calibration
from prime.evaluation.splines import restricted_cubic_spline, spline_knots


def natural(x: np.ndarray, knots: np.ndarray) -> np.ndarray:
    """Patsy's basis of the same space of curves, less the constant."""
    inner, outer = knots[1:-1], (knots[0], knots[-1])
    basis = np.asarray(patsy.cr(x, knots=inner, lower_bound=outer[0], upper_bound=outer[1]))
    return basis[:, 1:]


def survivors(seed: int, n: int = 400, slope: float = 1.0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Times, events and predicted risks by time 1, whose log hazard is `slope` times too flat."""
    rng = np.random.default_rng(seed)
    line = rng.normal(-0.5, 0.8, n)
    time = rng.exponential(np.exp(-line))
    censored = rng.exponential(3, n)
    return np.minimum(time, censored), time <= censored, np.minimum(-np.expm1(-np.exp(line * slope)), 0.9999)


@pytest.mark.parametrize("seed", range(20))
def test_a_binary_curve_is_that_of_statsmodels(seed: int) -> None:
    rng = np.random.default_rng(seed)
    chance = expit(rng.normal(-0.5, 1.2, 300))
    label = rng.random(300) < chance**1.5
    line = logit(chance)
    basis = sm.add_constant(natural(line, spline_knots(line)))
    fitted = sm.Logit(label.astype(float), basis).fit(disp=0, method="newton", maxiter=100)
    away = np.abs(fitted.predict(basis) - chance)
    found = smooth_calibration(label, chance)
    np.testing.assert_allclose(found.ici, away.mean(), atol=1e-7)
    np.testing.assert_allclose([found.e50, found.e90], np.quantile(away, [0.5, 0.9]), atol=1e-7)
    assert found.largest == pytest.approx(away.max(), abs=1e-6)


@pytest.mark.parametrize("seed", range(20))
def test_a_survival_curve_is_that_of_lifelines(seed: int) -> None:
    time, event, risk = survivors(seed)
    line = np.log(-np.log1p(-risk))
    event, time = event & (time <= 1), np.minimum(time, 1)
    frame = pd.DataFrame(natural(line, spline_knots(line)), columns=["a", "b"])
    frame = frame.assign(time=time, event=event)
    fitted = CoxPHFitter().fit(frame, "time", "event", fit_options={"precision": 1e-12})
    observed = 1 - fitted.predict_survival_function(frame, times=[1.0]).to_numpy()[0]
    found = smooth_survival_calibration(*survivors(seed)[:2], risk, 1.0)
    np.testing.assert_allclose(found.ici, np.abs(observed - risk).mean(), atol=1e-6)
    np.testing.assert_allclose(found.e90, np.quantile(np.abs(observed - risk), 0.9), atol=1e-6)
    assert found.events == event.sum()


@pytest.mark.parametrize("knots", [3, 4, 5])
def test_splines_span_those_of_patsy_and_are_straight_outside(knots: int) -> None:
    x = np.random.default_rng(0).normal(size=200)
    places = spline_knots(x, knots)
    mine = np.column_stack([np.ones(200), restricted_cubic_spline(x, places)])
    theirs = np.column_stack([np.ones(200), natural(x, places)])
    assert mine.shape == theirs.shape == (200, knots)
    solved, *_ = np.linalg.lstsq(mine, theirs, rcond=None)
    np.testing.assert_allclose(mine @ solved, theirs, atol=1e-9)
    outside = restricted_cubic_spline(np.array([4.0, 5.0, 6.0, -6.0, -5.0, -4.0]), places)
    np.testing.assert_allclose(np.diff(outside, 2, axis=0)[[0, 3]], 0, atol=1e-9)


def test_a_calibrated_prediction_lies_on_the_diagonal_and_an_extreme_one_does_not() -> None:
    time, event, risk = survivors(1, 6000)
    good = smooth_survival_calibration(time, event, risk, 1.0)
    bad = smooth_survival_calibration(*survivors(1, 6000, 1.4), 1.0)
    assert good.ici < 0.02 < 0.05 < bad.ici
    np.testing.assert_allclose(good.observed, good.predicted, atol=0.05)
    assert good.e50 <= good.e90 <= good.largest


def test_a_curve_that_cannot_be_drawn_says_why() -> None:
    time, _, risk = survivors(0, 30)
    few = smooth_survival_calibration(time, np.zeros(30, bool), risk, 1.0)
    assert np.isnan(few.ici)
    assert "fewer than 10" in str(few.reason)
    label = np.repeat([True, False], 20)
    assert "equal" in str(smooth_calibration(label, np.full(40, 0.3)).reason)
    assert "0 or 1" in str(smooth_calibration(label, label.astype(float)).reason)
    apart = smooth_calibration(label, np.where(label, 0.7, 0.3) + np.linspace(0, 0.1, 40))
    assert "no finite maximum" in str(apart.reason)


def test_few_different_predictions_make_a_straight_line() -> None:
    rng = np.random.default_rng(0)
    chance = np.where(rng.random(400) < 0.5, 0.2, 0.6)
    label = rng.random(400) < chance
    found = smooth_calibration(label, chance)
    shares = [abs(label[chance == p].mean() - p) for p in (0.2, 0.6)]
    np.testing.assert_allclose(found.largest, max(shares), atol=1e-7)

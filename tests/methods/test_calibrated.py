"""From scores to survival: order, slope and baseline, and scores that say nothing."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sksurv.linear_model import CoxPHSurvivalAnalysis
from sksurv.util import Surv

from prime.evaluation.cox import breslow_hazard, fit_cox
from prime.evaluation.logistic import fit_logistic
from prime.methods.statistics.calibrated import LEAST_SLOPE, calibrate, recalibrate, survival_score
from prime.methods.statistics.examples import Target

Floats = NDArray[np.float64]
EDGES = np.array([-np.inf, 200.0, 500.0, 900.0, np.inf])


def made(binary: bool, effect: float = 0.7, count: int = 300, seed: int = 0) -> tuple[Floats, Target]:
    """Scores, and outcomes that follow them with this slope."""
    rng = np.random.default_rng(seed)
    score = rng.normal(size=count)
    death = 700 * np.exp(-effect * score) * rng.exponential(size=count) + 1
    censored = rng.uniform(100, 3000, count)
    time, event = np.minimum(death, censored), death <= censored
    if binary:
        return score, Target(time, death <= 500, np.array([-np.inf, np.inf]), True)
    return score, Target(time, event, EDGES, False)


def line(found: Floats, binary: bool) -> Floats:
    """The log cumulative hazard, or log odds of the event, at the end of the first bin."""
    survival = found[:, 0]
    return np.log((1 - survival) / survival) if binary else np.log(-np.log(survival))


@pytest.mark.parametrize("unit", [1e-6, 1.0, 1e6])
@pytest.mark.parametrize("binary", [False, True])
def test_survival_falls_with_the_score_and_over_time(binary: bool, unit: float) -> None:
    for effect in (0.7, 0.0, -0.7):
        score, target = made(binary, effect)
        found = calibrate(unit * score, target).survival(unit * score)
        assert found.shape == (300, 1 if binary else 4)
        assert ((found > 0) & (found < 1)).all()
        assert (np.diff(found, axis=1) <= 0).all()
        np.testing.assert_array_equal(np.argsort(-found.sum(axis=1)), np.argsort(score))


@pytest.mark.parametrize("binary", [False, True])
def test_a_refit_finds_a_slope_of_one(binary: bool) -> None:
    score, target = made(binary)
    for unit in (1e-3, 1.0, 50.0):
        again = line(calibrate(unit * score, target).survival(unit * score), binary)[:, None]
        if binary:
            slope = fit_logistic(again, target.event, 1e-9)
        else:
            slope = fit_cox(again, target.time_days, target.event, 1e-9)
        assert slope[0] == pytest.approx(1, abs=0.02)


def test_the_curve_is_that_of_scikit_survival() -> None:
    score, target = made(binary=False)
    oracle = CoxPHSurvivalAnalysis(ties="efron", tol=1e-12)
    oracle.fit(score[:, None], Surv.from_arrays(target.event, target.time_days))
    slope = float(oracle.coef_[0])
    found = line(calibrate(score, target).survival(score), False)
    np.testing.assert_allclose(np.diff(found), slope * np.diff(score), rtol=1e-3, atol=1e-9)
    hazard = breslow_hazard(slope * score, target.time_days, target.event, np.array([200.0]))
    np.testing.assert_allclose(found, np.log(hazard) + slope * score, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("binary", [False, True])
def test_where_the_score_runs_the_wrong_way_the_slope_is_the_least(binary: bool) -> None:
    score, target = made(binary, effect=-0.7)
    found = line(calibrate(score, target).survival(score), binary)
    slope = np.polyfit(score, found, 1)[0]
    assert slope == pytest.approx(LEAST_SLOPE / score.std(), rel=1e-6)


@settings(max_examples=20)
@given(st.booleans(), st.sampled_from([0.0, 0.1, -1e7, 3e-9]))
def test_a_score_that_says_nothing_leaves_the_average(binary: bool, value: float) -> None:
    _, target = made(binary)
    found = calibrate(np.full(300, value), target).survival(np.full(300, value))
    assert np.isfinite(found).all()
    np.testing.assert_allclose(found, np.broadcast_to(found[0], found.shape))
    if binary:
        assert 1 - found[0, 0] == pytest.approx(target.event.mean())
    else:
        ends = np.array([200.0, 500.0, 900.0, target.time_days[target.event].max()])
        expected = np.exp(-breslow_hazard(np.zeros(300), target.time_days, target.event, ends))
        np.testing.assert_allclose(found[0], expected, rtol=1e-6)


@pytest.mark.parametrize("binary", [False, True])
def test_scores_far_out_stay_apart_from_zero_and_one(binary: bool) -> None:
    score, target = made(binary)
    far = np.array([-1e9, -10.0, 0.0, 10.0, 1e9])
    found = calibrate(score, target).survival(far)
    assert ((found > 0) & (found < 1)).all()
    assert (np.diff(found[:, 0]) < 0).all()


def test_its_parameters_are_slope_and_baseline() -> None:
    for binary, count in ((False, 5), (True, 2)):
        assert calibrate(*made(binary)).parameters == count


@pytest.mark.parametrize("binary", [False, True])
def test_recalibration_pulls_in_what_a_model_has_learned_by_heart(binary: bool) -> None:
    score, target = made(binary, count=600)
    held_out = np.arange(600) >= 450
    rng = np.random.default_rng(1)
    told = (
        score + np.where(held_out, 0, 4.0) * (target.event - 0.5) + rng.normal(size=600)
    )  # too sure of the others
    found = recalibrate(told, target, held_out)
    fresh, outcome = made(binary, count=2000, seed=5)
    noisy = fresh + rng.normal(size=2000)
    again = line(found.survival(noisy), binary)[:, None]
    slope = (
        fit_logistic(again, outcome.event, 1e-9)
        if binary
        else fit_cox(again, outcome.time_days, outcome.event, 1e-9)
    )
    assert slope[0] == pytest.approx(1, abs=0.3)
    np.testing.assert_array_equal(np.argsort(-found.survival(noisy).sum(axis=1)), np.argsort(noisy))


@pytest.mark.parametrize("binary", [False, True])
def test_recalibration_keeps_the_slope_where_the_few_tell_nothing(binary: bool) -> None:
    score, target = made(binary)
    for held_out in (np.zeros(300, dtype=bool), ~target.event & (np.arange(300) < 60)):
        line_of = line(recalibrate(score, target, held_out).survival(score), binary)
        inner = np.argsort(score)[20:-20]
        assert np.polyfit(score[inner], line_of[inner], 1)[0] == pytest.approx(1)


@given(st.lists(st.lists(st.floats(0, 1), min_size=3, max_size=3), min_size=2, max_size=20))
def test_the_score_of_a_curve_has_the_order_of_its_risk(rows: list[list[float]]) -> None:
    survival = np.array(rows)
    score, risk = survival_score(survival), -np.clip(survival.mean(axis=1), 1e-12, 1 - 1e-12)
    assert np.isfinite(score).all()
    for a in range(len(rows)):
        for b in range(len(rows)):
            if risk[a] < risk[b]:
                assert score[a] <= score[b]

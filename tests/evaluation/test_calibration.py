"""Slopes against scikit-survival, lifelines and scikit-learn; curves against scipy and others."""

import warnings

import numpy as np
import pandas as pd
import pytest
from lifelines import CoxPHFitter
from scipy import stats
from sklearn.linear_model import LogisticRegression
from sksurv.linear_model import CoxPHSurvivalAnalysis
from sksurv.nonparametric import SurvivalFunctionEstimator
from sksurv.util import Surv

from prime.evaluation.calibration import (
    binary_calibration,
    calibration_curve,
    survival_calibration_curve,
    survival_calibration_slope,
)
from tests.evaluation.every_seed import every_seed


def cohort(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Times with ties, events, and a predicted probability with ties, strictly inside (0, 1)."""
    generator = np.random.default_rng(seed)
    n = int(generator.integers(1, 70))
    chance = generator.integers(1, 20, n) / 20
    time = np.ceil(generator.exponential(20 * chance ** generator.normal(0.5, 0.5), n) + 0.01)
    event = generator.random(n) < (0.1 if seed % 5 == 0 else generator.random())
    return time, event, chance


def labelled(seed: int) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    n = int(generator.integers(1, 80))
    chance = generator.integers(1, 40, n) / 40
    return generator.random(n) < chance ** generator.uniform(0.3, 3), chance


@every_seed(100)
def test_binary_slope_equals_scikit_learn(seed: int) -> None:
    label, chance = labelled(seed)
    found = binary_calibration(label, chance)
    assert (found.slope.n, found.slope.events) == (len(label), int(label.sum()))
    logit = np.log(chance / (1 - chance))
    one_class = label.all() or not label.any()
    if one_class or logit[label].min() >= logit[~label].max() or logit[label].max() <= logit[~label].min():
        assert np.isnan(found.slope.value)
        assert np.isnan(found.intercept.value)
        assert found.slope.reason
        assert found.intercept.reason == found.slope.reason
        return
    fitted = LogisticRegression(C=np.inf, tol=1e-12, max_iter=10_000, solver="newton-cholesky")
    fitted.fit(logit[:, None], label)
    assert found.slope.value == pytest.approx(fitted.coef_[0, 0], abs=1e-6, rel=1e-6)
    assert found.intercept.value == pytest.approx(fitted.intercept_[0], abs=1e-6, rel=1e-6)
    large = found.in_the_large.value
    assert (1 / (1 + np.exp(-logit - large))).sum() == pytest.approx(label.sum(), abs=1e-8)


def test_most_labelled_samples_have_a_slope() -> None:
    values = [binary_calibration(*labelled(seed)).slope.value for seed in range(100)]
    assert 70 < np.isfinite(values).sum() < 100


def test_binary_calibration_recovers_what_was_put_in() -> None:
    generator = np.random.default_rng(0)
    truth = generator.normal(size=40_000)
    label = generator.random(40_000) < 1 / (1 + np.exp(-truth))
    extreme = 1 / (1 + np.exp(-(2 * truth + 1)))
    found = binary_calibration(label, extreme)
    assert found.slope.value == pytest.approx(0.5, abs=0.03)
    assert found.intercept.value == pytest.approx(-0.5, abs=0.05)
    assert found.in_the_large.value < -0.3
    ideal = binary_calibration(label, 1 / (1 + np.exp(-truth)))
    assert ideal.slope.value == pytest.approx(1, abs=0.05)
    assert ideal.intercept.value == pytest.approx(0, abs=0.05)
    assert ideal.in_the_large.value == pytest.approx(0, abs=0.05)


def test_extreme_probabilities_have_a_calibration_too() -> None:
    label = np.array([True, False, True, False, True])
    chance = np.array([1e-300, 1e-200, 1e-100, 1 - 1e-15, 1 - 1e-12])
    found = binary_calibration(label, chance)
    assert np.isfinite([found.slope.value, found.intercept.value]).all()
    logit = np.log(chance) - np.log1p(-chance)
    shifted = 1 / (1 + np.exp(-logit - found.in_the_large.value))
    assert shifted.sum() == pytest.approx(3, abs=1e-9)


def test_undefined_binary_calibration_gives_its_reason() -> None:
    label = np.array([False, True, True])
    apart = binary_calibration(label, np.array([0.2, 0.3, 0.4]))
    assert apart.slope.reason == apart.intercept.reason == "a threshold separates the classes"
    assert np.isfinite(apart.in_the_large.value)
    touching = binary_calibration(label, np.array([0.3, 0.3, 0.4]))
    assert touching.slope.reason == "a threshold separates the classes"
    equal = binary_calibration(label, np.full(3, 0.4))
    assert equal.slope.reason == "all predicted probabilities are equal"
    assert equal.in_the_large.value == pytest.approx(np.log(2) - np.log(0.4 / 0.6))
    saturated = binary_calibration(label, np.array([0.3, 1.0, 0.4]))
    assert saturated.in_the_large.reason == "a predicted probability of exactly 0 or 1"
    assert binary_calibration(label[1:], np.array([0.3, 0.4])).slope.reason == "no negative"
    assert binary_calibration(label[:1], np.array([0.3])).slope.reason == "no positive"
    assert binary_calibration(label[:0], np.zeros(0)).slope.reason == "nobody"


def oracle_slope(time: np.ndarray, event: np.ndarray, x: np.ndarray) -> float:
    model = CoxPHSurvivalAnalysis(alpha=0, ties="efron", tol=1e-14, n_iter=500)
    return float(model.fit(x[:, None], Surv.from_arrays(event, time)).coef_[0])


def rises_for_ever(time: np.ndarray, event: np.ndarray, x: np.ndarray) -> bool:
    """Whether every event is at the top, or every one at the bottom, of the covariate at risk with it."""
    at_risk = [(x[i], x[time >= time[i]]) for i in np.flatnonzero(event)]
    top = all(own == others.max() for own, others in at_risk)
    return top or all(own == others.min() for own, others in at_risk)


@every_seed(120)
def test_survival_slope_equals_scikit_survival(seed: int) -> None:
    time, event, chance = cohort(seed)
    found = survival_calibration_slope(time, event, chance)
    assert (found.n, found.events) == (len(time), int(event.sum()))
    x = np.log(-np.log(chance))
    if len(time) < 2 or not event.any() or rises_for_ever(time, event, x):
        assert np.isnan(found.value)
        assert found.reason
        return
    assert found.reason is None
    assert found.value == pytest.approx(oracle_slope(time, event, x), abs=1e-6, rel=1e-6)


def test_survival_slope_equals_lifelines() -> None:
    compared = 0
    for seed in range(16):
        time, event, chance = cohort(seed)
        found = survival_calibration_slope(time, event, chance)
        if found.reason or found.events < 8:
            continue  # too few events for lifelines to come near the maximum
        table = pd.DataFrame({"time": time, "event": event, "x": np.log(-np.log(chance))})
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            fitted = CoxPHFitter().fit(table, "time", "event")
        assert found.value == pytest.approx(float(fitted.params_["x"]), abs=1e-4), seed
        compared += 1
    assert compared > 5


def test_most_cohorts_have_a_slope() -> None:
    values = [survival_calibration_slope(*cohort(seed)).value for seed in range(120)]
    assert 80 < np.isfinite(values).sum() < 120


@every_seed(20)
def test_survival_slope_up_to_a_horizon(seed: int) -> None:
    time, event, chance = cohort(seed)
    found = survival_calibration_slope(time, event, chance, horizon=10.0)
    by_hand = survival_calibration_slope(
        np.where(time > 10, 10.0, time), np.where(time > 10, False, event), chance
    )
    np.testing.assert_equal(vars(found), vars(by_hand))
    assert found.events == int((event & (time <= 10)).sum())


def test_survival_slope_recovers_what_was_put_in() -> None:
    generator = np.random.default_rng(0)
    n, horizon = 8000, 2.0
    x = generator.normal(size=n)
    death, leaves = generator.exponential(np.exp(-x)), generator.exponential(2.0, n)
    time, event = np.minimum(death, leaves), death <= leaves
    right = np.exp(-horizon * np.exp(x))
    right = np.clip(right, 1e-300, None)
    assert survival_calibration_slope(time, event, right).value == pytest.approx(1, abs=0.06)
    extreme = np.clip(np.exp(-0.1 * np.exp(2 * x)), 1e-300, 1 - 1e-16)
    assert survival_calibration_slope(time, event, extreme).value == pytest.approx(0.5, abs=0.05)
    backwards = np.exp(-0.5 * np.exp(-x))
    assert survival_calibration_slope(time, event, backwards).value == pytest.approx(-1, abs=0.06)


def test_undefined_survival_slope_gives_its_reason() -> None:
    time, event = np.array([1.0, 2.0, 3.0]), np.ones(3, dtype=bool)
    chance = np.array([0.2, 0.3, 0.4])
    assert survival_calibration_slope(time, event, chance).reason == "the likelihood has no finite maximum"
    assert survival_calibration_slope(time, event, chance[::-1]).reason == (
        "the likelihood has no finite maximum"
    )
    equal = survival_calibration_slope(time, event, np.full(3, 0.3))
    assert equal.reason == "nobody at risk together with an event has another prediction"
    alone = survival_calibration_slope(time, time == 3, chance)
    assert alone.reason == equal.reason
    assert survival_calibration_slope(time, ~event, chance).reason == "no events"
    assert survival_calibration_slope(time, event, chance, horizon=0.5).reason == "no events"
    assert survival_calibration_slope(time[:1], event[:1], chance[:1]).reason == "fewer than two patients"
    saturated = survival_calibration_slope(time, event, np.array([0.2, 1.0, 0.3]))
    assert saturated.reason == "a predicted probability of exactly 0 or 1"


@every_seed(60)
def test_binary_curve_against_scipy(seed: int) -> None:
    label, chance = labelled(seed)
    groups = seed % 6 + 1
    found = calibration_curve(label, chance, groups)
    assert found.n.sum() == len(label)
    assert found.events.sum() == label.sum()
    edges = [-np.inf, *np.quantile(chance, np.arange(1, groups) / groups), np.inf]
    for k in range(groups):
        rows = (chance > edges[k]) & (chance <= edges[k + 1])
        assert (found.n[k], found.events[k]) == (rows.sum(), label[rows].sum())
        if not rows.any():
            assert np.isnan([found.predicted[k], found.observed[k], found.low[k], found.high[k]]).all()
            continue
        assert found.predicted[k] == pytest.approx(chance[rows].mean())
        assert found.observed[k] == pytest.approx(label[rows].mean())
        wilson = stats.binomtest(int(label[rows].sum()), int(rows.sum())).proportion_ci(method="wilson")
        assert found.low[k] == pytest.approx(wilson.low, abs=1e-12)
        assert found.high[k] == pytest.approx(wilson.high, abs=1e-12)


def greenwood(time: np.ndarray, event: np.ndarray, horizon: float) -> float:
    """Standard error of the log of the Kaplan-Meier curve."""
    deaths = [((event & (time == t)).sum(), (time >= t).sum()) for t in set(time[event & (time <= horizon)])]
    return np.sqrt(sum(d / (at_risk * (at_risk - d)) for d, at_risk in deaths))


@every_seed(60)
def test_survival_curve_against_kaplan_meier_of_others(seed: int) -> None:
    time, event, chance = cohort(seed)
    groups, horizon = seed % 4 + 1, float(seed % 9 + 2)
    found = survival_calibration_curve(time, event, chance, horizon, groups)
    assert found.n.sum() == len(time)
    assert found.events.sum() == (event & (time <= horizon)).sum()
    edges = [-np.inf, *np.quantile(chance, np.arange(1, groups) / groups), np.inf]
    for k in range(groups):
        rows = (chance > edges[k]) & (chance <= edges[k + 1])
        assert found.n[k] == rows.sum()
        short = (
            rows.any() and horizon > time[rows].max() and not event[rows & (time == time[rows].max())].all()
        )
        if not rows.any() or short:
            assert np.isnan([found.observed[k], found.low[k], found.high[k]]).all()
            continue
        assert found.predicted[k] == pytest.approx(chance[rows].mean())
        theirs = SurvivalFunctionEstimator().fit(Surv.from_arrays(event[rows], time[rows]))
        alive = float(theirs.predict_proba(np.array([horizon]))[0])
        assert found.observed[k] == pytest.approx(1 - alive, abs=1e-12)
        if not 0 < alive < 1:
            assert np.isnan([found.low[k], found.high[k]]).all()
            continue
        error = greenwood(time[rows], event[rows], horizon) / abs(np.log(alive))
        ends = np.exp(-np.exp(np.log(-np.log(alive)) + stats.norm.ppf([0.975, 0.025]) * error))
        assert [1 - found.high[k], 1 - found.low[k]] == pytest.approx(ends)
        assert found.low[k] <= found.observed[k] <= found.high[k]


def test_a_curve_of_a_true_model_lies_on_the_diagonal() -> None:
    generator = np.random.default_rng(2)
    n, horizon = 6000, 0.7
    rate = np.exp(generator.normal(size=n))
    death, leaves = generator.exponential(1 / rate), generator.exponential(1.0, n)
    time, event = np.minimum(death, leaves), death <= leaves
    found = survival_calibration_curve(time, event, 1 - np.exp(-rate * horizon), horizon, groups=5)
    np.testing.assert_allclose(found.observed, found.predicted, atol=0.05)
    assert (found.n == 1200).all()
    assert ((found.low < found.predicted) & (found.predicted < found.high)).sum() >= 4


def test_no_patients_make_empty_groups() -> None:
    none = np.zeros(0, dtype=bool)
    for found in (
        calibration_curve(none, np.zeros(0), 3),
        survival_calibration_curve(np.zeros(0), none, np.zeros(0), 5.0, 3),
    ):
        assert np.isnan(found.observed).all()
        assert found.n.tolist() == found.events.tolist() == [0, 0, 0]


def test_bad_arguments_are_refused() -> None:
    time, event, chance = np.arange(1.0, 4.0), np.array([True, False, True]), np.full(3, 0.5)
    with pytest.raises(ValueError, match="label must be one bool"):
        binary_calibration(event.astype(int), chance)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="probability must lie within"):
        binary_calibration(event, chance + 1)
    with pytest.raises(ValueError, match="probability has 1"):
        calibration_curve(event, np.array([0.1, np.nan, 0.2]))
    with pytest.raises(ValueError, match="survival must have shape"):
        survival_calibration_slope(time, event, chance[:2])
    with pytest.raises(ValueError, match="groups"):
        calibration_curve(event, chance, groups=0)
    with pytest.raises(ValueError, match="event must be one bool"):
        survival_calibration_curve(time, time, chance, 2.0)  # type: ignore[arg-type]

"""The step from features to survival: both kinds of task, their baselines, and outliers."""

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from prime.evaluation.cox import breslow_hazard, fit_cox
from prime.methods.statistics.examples import Target
from prime.methods.statistics.ridge import fit_ridge, learnable, soften, with_weight

Floats = NDArray[np.float64]


def data(patients: int = 120, features: int = 4, seed: int = 0) -> tuple[Floats, Floats, NDArray[np.bool_]]:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(patients, features)) * np.linspace(0.5, 2, features) + 3
    time = rng.exponential(500, patients) * np.exp(-(x[:, 0] - 3)) + 1
    return x, time, rng.random(patients) < 0.6


def survival_target(time: Floats, event: NDArray[np.bool_]) -> Target:
    return Target(time, event, np.array([-np.inf, 100.0, 400.0, np.inf]), binary=False)


def binary_target(label: NDArray[np.bool_]) -> Target:
    return Target(np.ones(len(label)), label, np.array([-np.inf, np.inf]), binary=True)


@pytest.mark.parametrize("penalty", [0.1, 1.0, 50.0])
@pytest.mark.parametrize("features", [4, 150])
def test_chances_are_those_of_scikit_learns_logistic_regression(features: int, penalty: float) -> None:
    x, _, label = data(features=features)
    oracle = LogisticRegression(C=1 / penalty, solver="newton-cholesky", tol=1e-12).fit(x, label)
    found = fit_ridge(x, binary_target(label), penalty).survival(x)
    np.testing.assert_allclose(found[:, 0], oracle.predict_proba(x)[:, 0], rtol=1e-4)


def test_survival_is_coxs_at_the_end_of_each_bin() -> None:
    x, time, event = data()
    found = fit_ridge(x, survival_target(time, event), 2.0).survival(x)
    ends = np.array([100.0, 400.0, time[event].max()])
    score = (x - x.mean(axis=0)) @ fit_cox(x, time, event, 2.0)
    expected = np.exp(-breslow_hazard(score, time, event, ends) * np.exp(score)[:, None])
    np.testing.assert_allclose(found, expected, rtol=1e-10)


@pytest.mark.parametrize("binary", [False, True])
def test_the_baseline_suits_any_weight(binary: bool) -> None:
    """Expected events equal observed ones: by each patient's own time, or by the horizon."""
    x, time, event = data()
    weight = np.array([0.1, -0.3, 0.0, 0.2])
    if binary:
        found = with_weight(weight, x, binary_target(event)).survival(x)
        assert (1 - found).sum() == pytest.approx(event.sum())
    else:
        edges = np.array([-np.inf, *np.unique(time)[:-1] + 1e-9, np.inf])
        hazards = -np.log(with_weight(weight, x, Target(time, event, edges, False)).survival(x))
        own = hazards[np.arange(len(x)), np.searchsorted(np.unique(time), time)]
        assert own.sum() == pytest.approx(event.sum())


def test_outliers_keep_their_order_and_stay_apart() -> None:
    rng = np.random.default_rng(0)
    far = 10.0 ** np.arange(1, 8)
    score = np.sort(np.concatenate([rng.normal(size=50), far, -far]))
    soft = soften(score, -2.0, 2.0)
    assert (np.diff(soft) > 0).all()
    inside = np.abs(score) <= 2
    np.testing.assert_array_equal(soft[inside], score[inside])
    assert soft[-1] == pytest.approx(3 - 1e-7, rel=1e-9)
    x, time, event = data()
    for target in (survival_target(time, event), binary_target(event)):
        model = fit_ridge(x, target, 2.0)
        far = np.tile(x[:1], (6, 1))
        far[:, 0] = [-1e8, -1e7, 0, 10, 1e7, 1e8]
        risk = -model.survival(far).sum(axis=1)
        assert len(np.unique(risk)) == 6
        np.testing.assert_array_equal(np.argsort(risk), np.argsort(model.score(far)))


def test_what_can_be_learned() -> None:
    yes, no = np.array([True, True]), np.array([False, False])
    times = np.array([1.0, 2.0])
    assert learnable(survival_target(times, yes))
    assert not learnable(survival_target(times, no))
    assert learnable(binary_target(np.array([True, False])))
    assert not learnable(binary_target(yes))
    assert not learnable(binary_target(no))

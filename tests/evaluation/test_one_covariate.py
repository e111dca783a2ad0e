"""Logistic and Cox regression on one covariate against scikit-learn and scikit-survival."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sksurv.linear_model import CoxPHSurvivalAnalysis
from sksurv.util import Surv

from prime.evaluation.one_covariate import (
    NO_MAXIMUM,
    cox_coefficient,
    logistic_constant,
    logistic_regression,
    separated,
)


def covariate(seed: int, n: int = 60) -> tuple[np.random.Generator, np.ndarray]:
    """Ties, and a place and scale far from 0 and 1."""
    generator = np.random.default_rng(seed)
    return generator, np.round(generator.normal(size=n), 1) * 30 + 500


@pytest.mark.parametrize("seed", range(20))
def test_logistic_regression_equals_scikit_learn(seed: int) -> None:
    generator, x = covariate(seed)
    standard = (x - 500) / 30
    label = generator.random(len(x)) < 1 / (1 + np.exp(-standard * generator.normal()))
    assert not separated(label, x)
    found = logistic_regression(label, x)
    assert found is not None
    fitted = LogisticRegression(C=np.inf, tol=1e-12, max_iter=10_000, solver="newton-cholesky")
    fitted.fit(standard[:, None], label)
    slope = fitted.coef_[0, 0] / 30
    assert found[1] == pytest.approx(slope, abs=1e-8)
    assert found[0] == pytest.approx(fitted.intercept_[0] - 500 * slope, abs=1e-5)


def test_separated_classes_are_seen_in_both_directions() -> None:
    label = np.array([False, False, True, True])
    assert separated(label, np.array([1.0, 2.0, 2.0, 3.0]))
    assert separated(label, np.array([3.0, 2.0, 2.0, 1.0]))
    assert not separated(label, np.array([1.0, 3.0, 2.0, 4.0]))


@pytest.mark.parametrize("positives", [1, 20, 39])
def test_constant_gives_the_mean_wanted(positives: int) -> None:
    logit = np.random.default_rng(positives).normal(0.0, 5.0, 40)
    constant = logistic_constant(logit, positives)
    assert (1 / (1 + np.exp(-logit - constant))).sum() == pytest.approx(positives, abs=1e-9)


@pytest.mark.parametrize("seed", range(20))
def test_cox_coefficient_equals_scikit_survival(seed: int) -> None:
    generator, x = covariate(seed)
    standard = (x - 500) / 30
    time = np.ceil(generator.exponential(8 * np.exp(-standard * generator.normal())))
    event = generator.random(len(x)) < 0.7
    found, reason = cox_coefficient(time, event, x)
    model = CoxPHSurvivalAnalysis(alpha=0, ties="efron", tol=1e-14, n_iter=500)
    expected = model.fit(standard[:, None], Surv.from_arrays(event, time)).coef_[0]
    assert reason is None
    assert 30 * found == pytest.approx(expected, abs=1e-8)


def test_where_there_is_no_maximum_the_reason_is_given() -> None:
    time, event = np.arange(1.0, 5.0), np.ones(4, dtype=bool)
    for x in (time, -time):
        found, reason = cox_coefficient(time, event, x)
        assert np.isnan(found)
        assert reason == NO_MAXIMUM
    assert cox_coefficient(time, event, np.ones(4))[1] == (
        "nobody at risk together with an event has another prediction"
    )

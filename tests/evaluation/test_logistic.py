"""Logistic regression against scikit-learn, with a penalty and without."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from prime.evaluation.logistic import fit_logistic, logistic_constant, logistic_regression, separated
from tests.evaluation.every_seed import every_seed


@pytest.mark.parametrize("penalty", [0.1, 1.0, 50.0])
@pytest.mark.parametrize("features", [4, 150])
def test_ridge_weights_equal_scikit_learn(features: int, penalty: float) -> None:
    generator = np.random.default_rng(0)
    x = generator.normal(size=(120, features)) * np.linspace(0.5, 2, features) + 3
    label = generator.random(120) < 0.6
    oracle = LogisticRegression(C=1 / penalty, solver="newton-cholesky", tol=1e-12).fit(x, label)
    np.testing.assert_allclose(fit_logistic(x, label, penalty), oracle.coef_[0], rtol=1e-4, atol=1e-6)


@every_seed(20)
def test_one_covariate_without_a_penalty_equals_scikit_learn(seed: int) -> None:
    """With ties, and a place and scale far from 0 and 1."""
    generator = np.random.default_rng(seed)
    standard = np.round(generator.normal(size=60), 1)
    x = standard * 30 + 500
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

"""scikit-learn's own checks of estimators, on `PrimeSurvival` with one modality given as an array.

The checks give an outcome as numbers. `OfNumbers` takes each as the time of an observed event, in days, in
their order; all else is the estimator itself. Fits are small, and draw no curves of pretraining.
"""

import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, KFold, cross_val_score
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

import prime
from prime.errors import InputError

TINY: dict[str, Any] = {
    "model": {
        "dim": 16, "queries": 1, "heads": 1, "blocks": 1, "experts": 2, "top_k": 1, "prototypes": 4,
        "projection_dim": 8,
    },
    "pretrain": {"batch_size": 64, "precision": "32-true", "top_k": 2},
}  # fmt: skip
EXPECTED_TO_FAIL = {
    "check_methods_subset_invariance": "it predicts the fitted patients, whose ranks among themselves are "
    "ties: float32's rounding, which depends on how many patients are read at once, decides them",
}
# Skipped by scikit-learn itself, and not ours to make pass: "check_array_api_input" needs SCIPY_ARRAY_API.


class OfNumbers(prime.PrimeSurvival):
    """The estimator, with an outcome of numbers."""

    def fit(self, X: Any, y: Any = None) -> "OfNumbers":
        super().fit(X, y if y is None else of_numbers(y))
        return self

    def score(self, X: Any, y: Any) -> float:
        return super().score(X, of_numbers(y))


def of_numbers(y: Any) -> np.ndarray:
    """Numbers as days of observed events, in the same order, without ties."""
    numbers = np.asarray(np.real(y), dtype=np.float64).ravel()
    found = np.empty(len(numbers), dtype=[("event", bool), ("time", float)])
    found["event"] = True
    found["time"] = 400 + 40 * np.argsort(np.argsort(numbers, kind="stable"))
    return found


def reasons(estimator: BaseEstimator) -> dict[str, str]:
    return EXPECTED_TO_FAIL


@pytest.fixture(autouse=True, scope="module")
def no_curves() -> Iterator[None]:
    """Without the picture of the losses, which takes longer than such a fit."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("prime.pretraining.loop.plot_curves", lambda *_: None)
        yield


@pytest.mark.filterwarnings("ignore:Initializing zero-element")  # no components of fewer than 20 patients
@parametrize_with_checks(
    [OfNumbers(epochs=1, settings=TINY, modality="numbers")], expected_failed_checks=reasons
)
def test_sklearn(estimator: BaseEstimator, check: Callable[[BaseEstimator], None]) -> None:
    check(estimator)


# Arrays, pipelines, searches, files -------------------------------------------------------------------------


def one_modality(count: int = 60, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(count, 6))
    y = np.empty(count, dtype=[("event", bool), ("time", float)])
    y["time"] = np.minimum(1000 * rng.exponential(np.exp(-1.5 * x[:, 0])), 9000) + 30
    y["event"] = rng.random(count) < 0.8
    return x, y


def estimator(**changes: Any) -> prime.PrimeSurvival:
    return prime.PrimeSurvival(**{"epochs": 1, "settings": TINY, "modality": "rna"} | changes)


@pytest.fixture(scope="module")
def fitted(no_curves: None) -> prime.PrimeSurvival:
    return estimator().fit(*one_modality())


def test_an_array_is_the_modality_that_is_named(fitted: prime.PrimeSurvival) -> None:
    x, y = one_modality()
    table = pd.DataFrame(x, columns=[f"x{i}" for i in range(6)])
    apart = estimator(modality=None).fit({"rna": table}, y)
    np.testing.assert_array_equal(apart.predict({"rna": table}), fitted.predict(x))
    assert fitted.modalities_ == apart.modalities_ == ("rna",)
    assert fitted.n_features_in_ == apart.n_features_in_ == 6
    assert not hasattr(fitted, "feature_names_in_")
    named = estimator().fit(table, y)
    assert named.feature_names_in_.tolist() == table.columns.tolist()
    np.testing.assert_array_equal(named.predict(table), fitted.predict(x))
    with pytest.raises(ValueError, match="feature names should match"):
        named.predict(table.rename(columns={"x0": "z"}))


def test_a_gap_is_a_missing_number_and_an_empty_row_a_patient_without_it(fitted: prime.PrimeSurvival) -> None:
    x, _ = one_modality(12, seed=1)
    x[0, 1], x[3] = np.nan, np.nan
    risk = fitted.predict(x)
    assert np.isfinite(risk).all()
    assert risk[3] == 0
    x[0, 0] = np.inf
    with pytest.raises(ValueError, match="infinity"):
        fitted.predict(x)


def test_a_fitted_estimator_is_a_file(fitted: prime.PrimeSurvival, tmp_path: Path) -> None:
    x, _ = one_modality(12, seed=1)
    joblib.dump(fitted, tmp_path / "model.joblib")
    again = joblib.load(tmp_path / "model.joblib")
    np.testing.assert_array_equal(again.predict(x), fitted.predict(x))
    curves = fitted.predict_survival_function(x)
    np.testing.assert_array_equal(again.predict_survival_function(x), curves)
    memory = io.BytesIO()
    joblib.dump(estimator(), memory)  # unfitted too


def test_what_is_missing_is_said() -> None:
    x, y = one_modality(12)
    with pytest.raises(NotFittedError):
        estimator().predict(x)
    with pytest.raises(InputError, match="requires y to be passed"):
        estimator().fit(x, None)
    with pytest.raises(InputError, match="one modality, which the parameter modality names"):
        estimator(modality=None).fit(x, y)


def test_a_pipeline_a_search_and_cross_validation() -> None:
    x, y = one_modality(90)
    steps = Pipeline([("scale", StandardScaler()), ("prime", estimator())])
    scores = cross_val_score(steps, x, y, cv=KFold(2))
    assert scores.shape == (2,)
    assert (scores > 0.5).all()
    search = GridSearchCV(steps, {"prime__seed": [0, 1]}, cv=KFold(2)).fit(x, y)
    assert search.best_params_["prime__seed"] in (0, 1)
    assert search.cv_results_["mean_test_score"].max() > 0.5
    assert search.predict(x).shape == (90,)

"""Gradient boosting: the rows it learns from, what it chooses, and what trees add."""

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingClassifier
from threadpoolctl import threadpool_limits

from prime.evaluation.metrics import concordance
from prime.methods.classical.boosting import Boosting, BoostingSettings, fit_encoders, person_periods
from prime.methods.statistics.examples import Examples, Target
from prime.store.vectors import PatientVectors
from tests.methods.statistical_data import EDGES, fitted, made_examples

Floats = NDArray[np.float64]


def sets(binary: bool = False) -> tuple[Examples, Examples, Examples]:
    train, validation, test = (made_examples(n, seed, binary) for n, seed in ((150, 0), (50, 1), (60, 2)))
    return train, validation, test


def test_one_row_a_patient_and_bin_at_risk() -> None:
    target = Target(np.array([250.0, 950.0, 100.0]), np.array([True, False, True]), EDGES, False)
    rows, died = person_periods(np.array([[1.0], [2.0], [3.0]]), target)
    np.testing.assert_array_equal(rows, [[1, 0], [1, 1], [2, 0], [2, 1], [2, 2], [2, 3], [3, 0]])
    np.testing.assert_array_equal(died, [False, True, False, False, False, False, True])


def test_a_binary_task_has_one_row_a_patient() -> None:
    label = np.array([True, False])
    target = Target(np.array([250.0, 950.0]), label, np.array([-np.inf, np.inf]), True)
    rows, died = person_periods(np.array([[1.0], [2.0]]), target)
    np.testing.assert_array_equal(rows, [[1, 0], [2, 0]])
    np.testing.assert_array_equal(died, label)


def test_a_missing_source_is_nan_to_the_trees() -> None:
    train, _, test = sets()
    encode = fit_encoders(train.vectors, 5)
    x = encode(test.vectors)
    widths = [5, 5, 5, 5]
    assert x.shape == (60, sum(widths))
    for block, name in zip(np.split(x, np.cumsum(widths)[:-1], axis=1), train.vectors.sources, strict=True):
        there = test.vectors.has(name)
        assert np.isfinite(block[there]).all()
        assert np.isnan(block[~there]).all()


@pytest.mark.parametrize("binary", [False, True])
def test_survival_is_the_product_of_the_trees_hazards(binary: bool) -> None:
    train, validation, test = sets(binary)
    model = fitted("boosting", train, validation, trees=20)
    assert isinstance(model, Boosting)
    x = model.encoders(test.vectors)
    expected = np.ones((60, 1 if binary else 4))
    for i in range(60):
        left = 1.0
        for k in range(expected.shape[1]):
            left *= 1 - model.trees.predict_proba(np.append(x[i], k)[None])[0, 1]
            expected[i, k] = left
    np.testing.assert_allclose(model.survival(test.vectors), expected, rtol=1e-12)


def naive_loss(train: Examples, validation: Examples, rate: float, trees: int) -> float:
    """Validation likelihood, patient by patient, of trees fitted on the training patients alone."""
    settings = BoostingSettings()
    encode = fit_encoders(train.vectors, settings.components)
    model = HistGradientBoostingClassifier(
        learning_rate=rate, max_iter=trees, max_leaf_nodes=settings.leaves, early_stopping=False,
        min_samples_leaf=settings.patients_per_leaf, l2_regularization=settings.l2,
    ).fit(*person_periods(encode(train.vectors), train.target))  # fmt: skip
    x, total = encode(validation.vectors), 0.0
    for row, time, event in zip(x, validation.target.time_days, validation.target.event, strict=True):
        last = int(np.searchsorted(EDGES, time, side="right")) - 1
        hazard = [model.predict_proba(np.append(row, k)[None])[0, 1] for k in range(last + 1)]
        total -= np.log(1 - np.array(hazard[:-1])).sum() + np.log(hazard[-1] if event else 1 - hazard[-1])
    return total


def test_validation_patients_choose_rate_and_number() -> None:
    train, validation, _ = sets()
    model = fitted("boosting", train, validation, learning_rates=[0.02, 0.3], trees=9)
    assert isinstance(model, Boosting)
    losses = {(r, n): naive_loss(train, validation, r, n) for r in (0.02, 0.3) for n in range(1, 10)}
    assert (model.trees.learning_rate, model.count) == min(losses, key=lambda key: losses[key])


def test_the_chosen_trees_are_fitted_on_validation_patients_too() -> None:
    train, validation, test = sets()
    model = fitted("boosting", train, validation, learning_rates=[0.1], trees=1)
    assert isinstance(model, Boosting)
    both = train.join(validation)
    encode = fit_encoders(both.vectors, BoostingSettings().components)
    np.testing.assert_array_equal(model.encoders(test.vectors), encode(test.vectors))


def test_threads_do_not_matter() -> None:
    train, validation, test = sets()
    found: list[Floats] = []
    for threads in (1, 2):
        with threadpool_limits(threads):
            found.append(fitted("boosting", train, validation, trees=20).survival(test.vectors))
    np.testing.assert_array_equal(*found)


def test_trees_see_what_a_line_does_not() -> None:
    """The hazard follows the square of what the sources tell of."""
    parts: list[Examples] = []
    for seed, count in enumerate((300, 80, 150)):
        rng = np.random.default_rng(seed)
        factor = rng.normal(size=count)
        sources = {"genes": factor[:, None] + 0.3 * rng.normal(size=(count, 3))}
        death = 500 * np.exp(-2 * (factor**2 - 1)) * rng.exponential(size=count)
        target = Target(death, np.ones(count, dtype=bool), EDGES, False)
        parts.append(Examples(PatientVectors({"rna": ("genes",)}, sources, {}), target))
    train, validation, test = parts

    def c_index(name: str) -> float:
        risk = -fitted(name, train, validation).survival(test.vectors).sum(axis=1)
        return concordance(test.target.time_days, test.target.event, risk).value

    assert c_index("boosting") > 0.68
    assert abs(c_index("late_ridge") - 0.5) < 0.1

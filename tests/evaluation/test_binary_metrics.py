"""Average precision against scikit-learn."""

import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from prime.evaluation.binary_metrics import average_precision
from tests.evaluation.every_seed import every_seed


def sample(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Labels, scores with many ties, and a mask; every fifth with few positives."""
    generator = np.random.default_rng(seed)
    n = int(generator.integers(1, 60))
    label = generator.random(n) < (0.05 if seed % 5 == 0 else generator.random())
    score = generator.integers(0, int(generator.integers(1, 40)), n) / 4 - 3
    return label, score, generator.random(n) < 0.8


@every_seed(200)
def test_average_precision_equals_scikit_learn(seed: int) -> None:
    label, score, _ = sample(seed)
    found = average_precision(label, score)
    assert (found.n, found.events) == (len(label), int(label.sum()))
    if 0 < label.sum() < len(label):
        assert found.value == pytest.approx(average_precision_score(label, score), abs=1e-12)
        assert found.reason is None
    else:
        assert np.isnan(found.value)
        assert found.reason == ("no negative" if label.all() else "no positive")


def test_average_precision_without_a_class_is_undefined() -> None:
    """scikit-learn's 1 for positives alone says nothing about the scores; ours is NaN."""
    every = np.ones(3, dtype=bool)
    assert average_precision_score(every, np.zeros(3)) == 1.0
    assert average_precision(every, np.zeros(3)).reason == "no negative"
    assert average_precision(every[:0], np.zeros(0)).reason == "nobody"


def test_average_precision_does_not_depend_on_the_order_of_the_rows() -> None:
    label, score, _ = sample(7)
    order = np.random.default_rng(0).permutation(len(label))
    assert average_precision(label[order], score[order]).value == pytest.approx(
        average_precision(label, score).value, abs=1e-12
    )


@every_seed(30)
def test_masked_rows_have_no_effect(seed: int) -> None:
    label, score, mask = sample(seed)
    found = average_precision(np.where(mask, label, ~label), np.where(mask, score, np.nan), mask)
    expected = average_precision(label[mask], score[mask])
    np.testing.assert_equal(vars(found), vars(expected))


def test_bad_arguments_are_refused() -> None:
    label, score = np.array([True, False]), np.zeros(2)
    with pytest.raises(ValueError, match="label must be one bool"):
        average_precision(label.astype(int), score)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"score .* as long"):
        average_precision(label, score[:1])
    with pytest.raises(ValueError, match="score has 1"):
        average_precision(label, np.array([0.0, np.nan]))
    with pytest.raises(ValueError, match=r"mask .* as long"):
        average_precision(label, score, label[:1])
    with pytest.raises(ValueError, match="mask must be one bool"):
        average_precision(label, score, np.ones(2))  # type: ignore[arg-type]

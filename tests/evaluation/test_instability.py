"""Instability over bootstrap fits, against plain loops."""

import numpy as np
import pytest

from prime.evaluation.instability import changed_decisions, instability


def test_it_equals_plain_loops() -> None:
    rng = np.random.default_rng(0)
    first = rng.random(30)
    drawn = np.clip(first + rng.normal(0, 0.1, (50, 30)), 0, 1)
    found = instability(first, drawn, 0.9)
    changed = changed_decisions(first, drawn, 0.4)
    for i in range(30):
        column = [float(row[i]) for row in drawn]
        assert found.error[i] == pytest.approx(sum(abs(v - first[i]) for v in column) / 50)
        assert found.low[i] == pytest.approx(np.quantile(column, 0.05))
        assert found.high[i] == pytest.approx(np.quantile(column, 0.95))
        assert changed[i] == pytest.approx(sum((v >= 0.4) != (first[i] >= 0.4) for v in column) / 50)
    assert found.mean_error == pytest.approx(found.error.mean())


def test_the_same_predictions_again_are_stable() -> None:
    first = np.linspace(0, 1, 7)
    found = instability(first, np.tile(first, (5, 1)))
    assert found.mean_error == 0
    np.testing.assert_array_equal(found.low, first)
    assert not changed_decisions(first, np.tile(first, (5, 1)), 0.5).any()


@pytest.mark.parametrize(
    ("first", "drawn", "words"),
    [
        (np.zeros(3), np.zeros((0, 3)), "drawn"),
        (np.zeros(3), np.zeros((2, 4)), "drawn"),
        (np.zeros(3), np.full((2, 3), np.nan), "finite"),
    ],
)
def test_other_shapes_are_refused(first: np.ndarray, drawn: np.ndarray, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        instability(first, drawn)


def test_decisions_are_about_probabilities() -> None:
    with pytest.raises(ValueError, match="original"):
        changed_decisions(np.array([2.0]), np.array([[0.5]]), 0.5)

"""Shapley values against the mean over all orders, and their axioms."""

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prime.evaluation.shapley import shapley


def over_orders(values: np.ndarray, players: int) -> np.ndarray:
    """What each player adds, averaged over all orders of coming."""
    total, count = np.zeros((len(values), players)), 0
    for order in permutations(range(players)):
        members = 0
        for player in order:
            total[:, player] += values[:, members | 1 << player] - values[:, members]
            members |= 1 << player
        count += 1
    return total / count


@given(st.integers(1, 4), st.integers(0, 100))
def test_they_are_the_mean_over_all_orders(players: int, seed: int) -> None:
    values = np.random.default_rng(seed).normal(size=(3, 1 << players))
    found = shapley(values, players)
    np.testing.assert_allclose(found, over_orders(values, players), atol=1e-12)
    np.testing.assert_allclose(found.sum(axis=1), values[:, -1] - values[:, 0], atol=1e-12)


def test_one_who_never_adds_anything_gets_nothing() -> None:
    alone = np.random.default_rng(0).normal(size=(5, 4))
    values = np.concatenate([alone, alone], axis=1)  # the third player changes no value
    found = shapley(values, 3)
    np.testing.assert_allclose(found[:, 2], 0, atol=1e-15)
    np.testing.assert_allclose(found[:, :2], shapley(alone, 2))


def test_another_number_of_sets_is_refused() -> None:
    with pytest.raises(ValueError, match="3 players have 8 sets"):
        shapley(np.zeros((2, 4)), 3)

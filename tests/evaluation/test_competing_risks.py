"""Aalen-Johansen and cause-specific hazards against scikit-survival and lifelines."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from lifelines import NelsonAalenFitter
from sksurv.nonparametric import cumulative_incidence_competing_risks

from prime.evaluation.competing_risks import aalen_johansen
from prime.evaluation.product_limit import product_limit


def patients(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Times with ties, causes 0 to 3 which all occur, and times of entry."""
    rng = np.random.default_rng(seed)
    n = int(rng.integers(10, 150))
    cause = rng.integers(0, 4, n)
    cause[:4] = range(4)
    time = rng.exponential(10, n).round(int(rng.integers(0, 3))) + 1
    return time, cause, rng.uniform(0, 0.9, n) * time * (rng.random(n) < 0.6)


@pytest.mark.parametrize("seed", range(200))
def test_incidence_and_hazards_are_those_of_libraries(seed: int) -> None:
    time, cause, entry = patients(seed)
    found = aalen_johansen(time, cause)
    times, incidence = cumulative_incidence_competing_risks(cause, time)
    np.testing.assert_array_equal(found.times, times)
    np.testing.assert_allclose(found.incidence, incidence[1:], atol=1e-9)
    late = aalen_johansen(time, cause, entry=entry)
    for number in (1, 2, 3):
        for entries, mine in ((None, found), (entry, late)):
            fitted = NelsonAalenFitter(nelson_aalen_smoothing=False).fit(time, cause == number, entry=entries)
            theirs = fitted.cumulative_hazard_at_times(times).to_numpy()
            np.testing.assert_allclose(mine.hazard[number - 1], theirs, atol=1e-9)


@pytest.mark.parametrize("seed", range(50))
def test_delayed_entry_equals_a_naive_loop(seed: int) -> None:
    time, cause, entry = patients(seed)
    found = aalen_johansen(time, cause, entry=entry)
    alive, total = 1.0, np.zeros(3)
    for k, t in enumerate(sorted(set(time))):
        at_risk = sum(1 for e, end in zip(entry, time, strict=True) if e < t <= end)
        died = np.array(
            [sum(1 for c, end in zip(cause, time, strict=True) if end == t and c == j) for j in (1, 2, 3)]
        )
        total = total + alive * died / at_risk
        alive *= 1 - died.sum() / at_risk
        np.testing.assert_allclose(found.incidence[:, k], total, atol=1e-12)
        np.testing.assert_allclose(found.survival[k], alive, atol=1e-12)


@given(st.lists(st.tuples(st.integers(1, 20), st.integers(0, 2)), min_size=1, max_size=40))
def test_incidence_and_survival_share_out_everybody(rows: list[tuple[int, int]]) -> None:
    time, cause = np.array(rows, dtype=float).T
    found = aalen_johansen(time, cause.astype(int), 2)
    np.testing.assert_allclose(found.incidence.sum(axis=0) + found.survival, 1)
    assert (np.diff(found.incidence, axis=1) >= 0).all()
    np.testing.assert_allclose(found.survival, product_limit(time, cause > 0).curve)


def test_between_times_it_holds_and_beyond_the_last_it_is_unknown() -> None:
    found = aalen_johansen(np.array([1.0, 2.0, 3.0, 4.0]), np.array([1, 2, 1, 0]))
    np.testing.assert_allclose(found.at(np.array([0.5, 1.5, 4.0])), [[0, 0.25, 0.5], [0, 0, 0.25]])
    assert np.isnan(found.at(np.array([5.0]))).all()
    assert np.isnan(aalen_johansen(np.empty(0), np.empty(0, int), 2).at(np.array([1.0]))).all()


@pytest.mark.parametrize(
    ("cause", "words"),
    [
        (np.array([0.0, 1.0]), "whole numbers"),
        (np.array([-1, 1]), "whole numbers"),
        (np.array([1, 3]), "cause 3"),
    ],
)
def test_other_causes_are_refused(cause: np.ndarray, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        aalen_johansen(np.array([1.0, 2.0]), cause, 2)


def test_an_entry_after_the_time_is_refused() -> None:
    with pytest.raises(ValueError, match="entry has 1"):
        aalen_johansen(np.array([1.0, 2.0]), np.array([1, 0]), entry=np.array([0.0, 2.0]))

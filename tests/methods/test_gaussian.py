"""The Gaussian of blocks that are missing in places: its fit, and textbook conditional means."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.stats import multivariate_normal

from prime.methods.statistics import gaussian
from prime.methods.statistics.gaussian import FILL_RIDGE, fill_missing, fit_covariance

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]


def made(patients: int, seed: int = 0, features: int = 6) -> tuple[Floats, Floats]:
    """Features (n, p) of a Gaussian with mean zero, and its covariance."""
    rng = np.random.default_rng(seed)
    mix = rng.normal(size=(features, features)) + 0.5 * np.eye(features)
    return rng.normal(size=(patients, features)) @ mix.T, mix @ mix.T


def blocks(patients: int, kinds: list[list[int]], features: int = 6) -> Flags:
    """(n, p): the patients in turn have these features."""
    there = np.zeros((patients, features), dtype=bool)
    for i in range(patients):
        there[i, kinds[i % len(kinds)]] = True
    return there


def log_likelihood(covariance: Floats, x: Floats, there: Flags) -> float:
    """Of what is there, a patient at a time."""
    return sum(
        float(multivariate_normal.logpdf(row[own], cov=part))  # pyright: ignore[reportArgumentType]
        for row, own in zip(x, there, strict=True)
        if (part := covariance[np.ix_(own, own)]).size
    )


def naive_fill(covariance: Floats, x: Floats, there: Flags, ridge: float) -> Floats:
    """E(hidden | seen), a patient at a time."""
    filled = np.where(there, x, 0.0)
    for i, own in enumerate(there):
        if own.any():
            seen = covariance[np.ix_(own, own)]
            seen = seen + np.eye(own.sum()) * ridge * np.diag(seen).mean()
            filled[i, ~own] = covariance[np.ix_(~own, own)] @ np.linalg.inv(seen) @ x[i, own]
    return filled


@pytest.mark.parametrize("rounds", [1, 5])
def test_with_everything_there_it_is_the_covariance_of_the_sample(rounds: int) -> None:
    x, _ = made(50)
    found = fit_covariance(x, np.ones(x.shape, dtype=bool), rounds)
    np.testing.assert_allclose(found, x.T @ x / 50, rtol=1e-12)


def test_a_round_of_em_is_that_of_the_textbook(monkeypatch: pytest.MonkeyPatch) -> None:
    """Moments of each patient's features, given what is there and the last round's covariance."""
    monkeypatch.setattr(gaussian, "FIT_RIDGE", 0.0)
    x, _ = made(60)
    there = blocks(60, [[0, 1, 2, 3], [2, 3, 4, 5], [0, 1, 4, 5], [3], [], [0, 1, 2, 3, 4, 5]])
    expected: Floats = np.diag(np.where(there, x**2, 0.0).sum(axis=0) / there.sum(axis=0))
    for rounds in range(1, 5):
        total = np.zeros((6, 6))
        for row, own in zip(x, there, strict=True):
            full = naive_fill(expected, row[None], own[None], 0.0)[0]
            total += np.outer(full, full)
            pull = expected[np.ix_(~own, own)] @ np.linalg.inv(expected[np.ix_(own, own)])
            total[np.ix_(~own, ~own)] += expected[np.ix_(~own, ~own)] - pull @ expected[np.ix_(own, ~own)]
        expected = np.asarray(total / 60)
        np.testing.assert_allclose(fit_covariance(x, there, rounds), expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("ridge", [0.0, gaussian.FIT_RIDGE])
def test_the_likelihood_of_what_is_there_rises_with_the_rounds(
    ridge: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gaussian, "FIT_RIDGE", ridge)
    x, _ = made(120)
    there = blocks(120, [[0, 1, 2, 3], [2, 3, 4, 5], [2, 3], [0, 1]])
    found = [log_likelihood(fit_covariance(x, there, rounds), x, there) for rounds in range(13)]
    # the ridge makes each round a little less than the best one: it may lose a thousandth of all that was won
    slack = 1e-9 if ridge == 0 else 1e-3 * (found[-1] - found[0])
    assert (np.diff(found) > -slack).all(), found
    assert found[-1] > found[0] + 20


def test_it_comes_near_the_truth_though_two_blocks_never_meet() -> None:
    """Given the shared block, the others are independent here: then the truth can be known."""
    rng = np.random.default_rng(0)
    shared = rng.normal(size=(6000, 2))
    maps = rng.normal(size=(2, 4))
    x = np.concatenate([shared, shared @ maps + 0.6 * rng.normal(size=(6000, 4))], axis=1)
    joint = np.concatenate([np.eye(2), maps], axis=1)
    truth = joint.T @ joint + np.diag([0, 0, 0.36, 0.36, 0.36, 0.36])
    truth[2:4, 2:4] = maps[:, :2].T @ maps[:, :2] + 0.36 * np.eye(2)
    there = blocks(6000, [[0, 1, 2, 3], [0, 1, 4, 5]])
    found = fit_covariance(x, there)
    assert not (there[:, 2] & there[:, 4]).any()
    np.testing.assert_allclose(found, truth, atol=0.06 * np.diag(truth).max())
    assert np.abs(truth[2:4, 4:6]).max() > 0.5


@settings(max_examples=40)
@given(st.integers(0, 10**6), st.integers(1, 12), st.integers(1, 6))
def test_the_filling_is_the_conditional_mean(seed: int, patients: int, features: int) -> None:
    rng = np.random.default_rng(seed)
    x, covariance = made(patients, seed, features)
    there = rng.random(x.shape) < 0.6
    there[0] = False  # nothing there: nothing is expected
    holes = np.where(there, x, np.nan)
    found = fill_missing(covariance, holes, there)
    np.testing.assert_allclose(found, naive_fill(covariance, x, there, FILL_RIDGE), rtol=1e-8, atol=1e-10)
    np.testing.assert_array_equal(found[there], x[there])
    assert (found[0] == 0).all()


def test_what_stands_in_missing_places_does_not_matter() -> None:
    x, _ = made(40)
    there = blocks(40, [[0, 1, 2], [2, 3, 4, 5], [], [0, 1, 2, 3, 4, 5]])
    clean = fit_covariance(x, there)
    for value in (np.nan, np.inf, 1e300):
        other = np.where(there, x, value)
        np.testing.assert_array_equal(fit_covariance(other, there), clean)
        np.testing.assert_array_equal(fill_missing(clean, other, there), fill_missing(clean, x, there))


def test_with_nobody_observed_everything_is_zero() -> None:
    x, _ = made(5)
    nothing = np.zeros(x.shape, dtype=bool)
    covariance = fit_covariance(x, nothing)
    assert np.isfinite(covariance).all()
    assert (fill_missing(covariance, x, nothing) == 0).all()
    empty = fit_covariance(np.zeros((5, 0)), np.zeros((5, 0), dtype=bool))
    assert fill_missing(empty, np.zeros((5, 0)), np.zeros((5, 0), dtype=bool)).shape == (5, 0)

"""Bounds hold on simulated patients, whatever the curves that they are calibrated on."""

import numpy as np
import pytest

from prime.arrays import Flags, Floats
from prime.evaluation.lower_bounds import (
    LEVELS,
    death_weights,
    depth_at,
    depth_quantiles,
    label_quantiles,
    miscoverage,
    possible_labels,
    time_at_depth,
)

ENDS = np.linspace(0.01, 40, 400)
HAZARD = 0.2 * ENDS


def patients(count: int, seed: int) -> tuple[Floats, Floats, Floats, Flags]:
    """Log hazard ratios, true times, observed times and events; a third is censored."""
    rng = np.random.default_rng(seed)
    risk = rng.normal(size=count)
    death = rng.exponential(5 / np.exp(risk))
    end = rng.exponential(12, count)
    return risk, death, np.minimum(death, end), death <= end


def depth(believed: Floats, time: Floats) -> Floats:
    return -np.expm1(-np.interp(time, np.append(0, ENDS), np.append(0, HAZARD)) * np.exp(believed))


@pytest.mark.parametrize("factor", [1.0, 0.4, 2.0, 0.0])
def test_the_bound_is_outlived_as_often_as_promised(factor: float) -> None:
    """With right curves, with curves too much alike or too far apart, and with one for everybody."""
    risk, _, time, event = patients(4000, 0)
    quantiles = depth_quantiles(depth(factor * risk, time), death_weights(time, event))
    new, death, seen, died = patients(20_000, 1)
    for level in (0.1, 0.2):
        bound = time_at_depth(depth_at(level, quantiles), ENDS, HAZARD, np.exp(factor * new))
        share = float((death < bound).mean())
        assert abs(share - level) < 0.015
        assert abs(miscoverage(bound, seen, died) - share) < 0.01


def test_right_curves_need_no_correction() -> None:
    risk, _, time, event = patients(20_000, 2)
    quantiles = depth_quantiles(depth(risk, time), death_weights(time, event))
    np.testing.assert_allclose(quantiles[:80], LEVELS[:80], atol=0.02)


def test_without_censoring_depths_are_those_of_split_conformal_prediction() -> None:
    """The k-th smallest of n, where k of n + 1 are at most the level."""
    value = np.random.default_rng(3).random(50)
    found = depth_quantiles(value, np.ones(50))
    ordered = np.sort(value)
    for level, a in zip(LEVELS, found, strict=True):
        allowed = int(np.floor(level * 51 + 1e-9))
        assert a == (ordered[allowed - 1] if allowed else 0.0)
    assert found[0] == 0.0  # one in a hundred can't be told from fifty


def test_without_patients_or_deaths_nothing_is_promised() -> None:
    assert (depth_quantiles(np.zeros(0), np.zeros(0)) == 0).all()
    depths = np.array([0.1, 0.5, 0.3])
    assert (depth_quantiles(depths, np.zeros(3)) == 0).all()
    assert depth_quantiles(depths, np.array([1.0, 0.0, 1.5])).max() == 0.3


def test_deaths_are_weighted_by_those_who_are_still_followed() -> None:
    """Without censoring all alike; after half were censored, a death counts twice."""
    time, event = np.array([1.0, 2.0, 2.0, 3.0]), np.array([True, False, False, True])
    np.testing.assert_allclose(death_weights(time, event), [1, 0, 0, 3])
    np.testing.assert_array_equal(death_weights(time, np.ones(4, dtype=bool)), 1)


def test_times_at_a_depth() -> None:
    factor = np.array([0.5, 1.0, 3.0])
    found = time_at_depth(0.3, ENDS, HAZARD, factor)
    np.testing.assert_allclose(1 - np.exp(-0.2 * found * factor), 0.3, atol=1e-9)
    np.testing.assert_array_equal(time_at_depth(1.0, ENDS, HAZARD, factor), ENDS[-1])
    np.testing.assert_array_equal(time_at_depth(0.0, ENDS, HAZARD, factor), 0)


@pytest.mark.parametrize("sharp", [0.3, 1.0, 3.0])
def test_true_labels_are_among_the_possible_ones(sharp: float) -> None:
    rng = np.random.default_rng(4)

    def made(count: int) -> tuple[Floats, Flags]:
        line = rng.normal(size=count)
        return 1 / (1 + np.exp(-sharp * line)), rng.random(count) < 1 / (1 + np.exp(-2 * line))

    quantiles = label_quantiles(*made(3000))
    probability, label = made(20_000)
    for level in (0.8, 0.9):
        without, having = possible_labels(probability, quantiles, level)
        assert abs(having[label].mean() - level) < 0.02
        assert abs(without[~label].mean() - level) < 0.02


def test_a_label_nobody_had_is_never_ruled_out() -> None:
    quantiles = label_quantiles(np.array([0.2, 0.4]), np.zeros(2, dtype=bool))
    assert np.isnan(quantiles[1]).all()
    _, having = possible_labels(np.array([0.0, 0.5, 1.0]), quantiles, 0.9)
    assert having.all()

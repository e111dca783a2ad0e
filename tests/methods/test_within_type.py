"""Normalisation within the cancer type against scipy's ranks and plain means, and who serves as reference."""

from typing import get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.stats import norm, rankdata

from prime.methods.statistics.within_type import (
    CUT,
    LEAST_PATIENTS,
    MOST_QUANTILES,
    Scale,
    fit_within_type,
)

Floats = NDArray[np.float64]
SCALES: tuple[Scale, ...] = get_args(Scale)


def names(*groups: tuple[str, int]) -> NDArray[np.str_]:
    return np.array([name for name, count in groups for _ in range(count)], dtype=str)


def van_der_waerden(values: Floats) -> Floats:
    """Normal scores of the known values among themselves; zero where missing."""
    known = ~np.isnan(values)
    scores = np.zeros(len(values))
    scores[known] = norm.ppf(rankdata(values[known]) / (known.sum() + 1))
    return scores


@settings(max_examples=50)
@given(st.integers(1, 60), st.integers(0, 10**6), st.sampled_from([1.0, 3.0, 1e6]), st.booleans())
def test_normal_scores_are_those_of_van_der_waerden(
    patients: int, seed: int, grid: float, holes: bool
) -> None:
    rng = np.random.default_rng(seed)
    values = np.round(rng.standard_cauchy((patients, 3)) * grid)  # few distinct values: ties
    if holes:
        values[rng.random(values.shape) < 0.3] = np.nan
    types = names(("A", patients))
    found = fit_within_type(values, types, "normal_scores")(values, types)
    for column in range(3):
        np.testing.assert_allclose(found[:, column], van_der_waerden(values[:, column]), atol=1e-12)


def test_each_type_has_scores_of_its_own() -> None:
    rng = np.random.default_rng(0)
    types = names(("A", 40), ("B", 30))
    values = rng.normal(size=(70, 2)) + 100.0 * (types == "B")[:, None]
    order = rng.permutation(70)
    found = np.empty_like(values)
    found[order] = fit_within_type(values[order], types[order], "normal_scores")(values[order], types[order])
    for name in "AB":
        own = types == name
        for column in range(2):
            expected = van_der_waerden(values[own, column])
            np.testing.assert_allclose(found[own, column], expected, atol=1e-12)


@settings(max_examples=50)
@given(st.integers(1, 700), st.integers(0, 10**6))
def test_normal_scores_never_fall_with_the_value_and_stay_finite(patients: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    values = np.round(rng.normal(size=(patients, 1)), 1)
    fit = fit_within_type(values, names(("A", patients)), "normal_scores")
    others = np.sort(np.concatenate([rng.normal(size=50) * 3, [-1e300, 1e300, -np.inf, np.inf]]))[:, None]
    found = fit(others, names(("A", 54)))[:, 0]
    assert np.isfinite(found).all()
    assert (np.diff(found) >= 0).all()
    assert found[0] == pytest.approx(-found[-1])


def test_of_many_values_even_ranks_are_enough() -> None:
    rng = np.random.default_rng(0)
    values = np.exp(2 * rng.normal(size=(4000, 1)))
    types = names(("A", 4000))
    found = fit_within_type(values, types, "normal_scores")(values, types)[:, 0]
    chance = norm.cdf(found)
    np.testing.assert_allclose(chance, rankdata(values) / 4001, atol=1.01 / MOST_QUANTILES)
    middle = np.abs(found) < 2
    np.testing.assert_allclose(found[middle], van_der_waerden(values[:, 0])[middle], atol=0.04)
    few = values[:MOST_QUANTILES]
    exact = fit_within_type(few, types[:MOST_QUANTILES], "normal_scores")(few, types[:MOST_QUANTILES])
    np.testing.assert_allclose(exact[:, 0], van_der_waerden(few[:, 0]), atol=1e-12)


def test_z_is_mean_and_standard_deviation_of_the_type() -> None:
    rng = np.random.default_rng(0)
    types = names(("A", 25), ("B", 25))
    values = rng.normal(5, 3, size=(50, 3)) * np.array([1.0, 1e-6, 1e6])
    values[rng.random(values.shape) < 0.2] = np.nan
    found = fit_within_type(values, types, "z")(values, types)
    centred = fit_within_type(values, types, "centre")(values, types)
    for name in "AB":
        own = values[types == name]
        expected = (own - np.nanmean(own, axis=0)) / np.nanstd(own, axis=0)
        np.testing.assert_allclose(found[types == name], np.nan_to_num(expected, nan=0.0), atol=1e-9)
        middle = np.nan_to_num(own - np.nanmean(own, axis=0), nan=0.0)
        np.testing.assert_allclose(centred[types == name], middle, rtol=1e-9, atol=1e-15)


def test_z_is_cut_at_six() -> None:
    types = names(("A", 40))
    values = np.random.default_rng(0).normal(size=(40, 1))
    fit = fit_within_type(values, types, "z")
    centre, spread = values.mean(), values.std()
    other = centre + spread * np.array([[-1e9], [-6.01], [-5.99], [5.99], [6.01], [1e9]])
    found = fit(other, types[:6])[:, 0]
    np.testing.assert_allclose(found, [-CUT, -CUT, -5.99, 5.99, CUT, CUT])
    assert CUT == 6


@pytest.mark.parametrize("scale", SCALES)
def test_who_takes_the_reference_of_everyone(scale: Scale) -> None:
    rng = np.random.default_rng(0)
    types = names(("A", LEAST_PATIENTS), ("B", LEAST_PATIENTS - 1), ("", 30))
    shift = {"A": 0.0, "B": 5.0, "": -5.0}
    values = rng.normal(size=(len(types), 2)) + np.array([shift[str(t)] for t in types])[:, None]
    fit = fit_within_type(values, types, scale)
    assert set(fit.own) == {"A"}
    everyone = names(("everyone", len(types)))
    pooled = fit_within_type(values, everyone, scale)(values, everyone)
    for name in ("B", "", "never seen"):
        found = fit(values, np.full(len(types), name))
        np.testing.assert_allclose(found, pooled, atol=1e-12)
    own = types == "A"
    alone = fit_within_type(values[own], types[own], scale)(values[own], types[own])
    np.testing.assert_allclose(fit(values[own], types[own]), alone, atol=1e-12)
    assert np.abs(alone - pooled[own]).max() > 0.1


@pytest.mark.parametrize("scale", SCALES)
def test_what_is_missing_or_constant_becomes_zero(scale: Scale) -> None:
    rng = np.random.default_rng(0)
    values = rng.normal(size=(30, 4))
    values[:, 1] = np.nan
    values[:, 2] = 0.1 + 1e7  # the mean of such numbers is not exactly the number
    values[3, 0] = np.nan
    types = names(("A", 30))
    fit = fit_within_type(values, types, scale)
    found = fit(values, types)
    assert np.isfinite(found).all()
    assert found[3, 0] == 0
    assert (found[:, 1] == 0).all()
    np.testing.assert_allclose(found[:, 2], 0, atol=1e-6)
    assert (found[:, 3] != 0).all()
    nothing = fit(np.full((2, 4), np.nan), names(("A", 1), ("B", 1)))
    assert (nothing == 0).all()


@pytest.mark.parametrize("scale", SCALES)
def test_other_patients_do_not_change_a_patients_values(scale: Scale) -> None:
    rng = np.random.default_rng(0)
    types = names(("A", 30), ("B", 12))
    values = rng.normal(size=(42, 3))
    fit = fit_within_type(values, types, scale)
    together = fit(np.concatenate([values, 1e6 * rng.normal(size=(42, 3))]), np.concatenate([types, types]))
    np.testing.assert_array_equal(together[:42], fit(values, types))
    for row in (0, 41):
        alone = fit(values[row : row + 1], types[row : row + 1])[0]
        np.testing.assert_array_equal(alone, together[row])

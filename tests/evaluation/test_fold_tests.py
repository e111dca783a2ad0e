"""The corrected t test and Wilcoxon's test against closed forms, scipy and the sum over all signs."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import rankdata, ttest_1samp

from prime.evaluation.fold_tests import corrected_paired_test, wilcoxon_folds


def test_corrected_test_by_hand() -> None:
    """Mean 0.02, sample variance 0.00025 over 5 folds: that of the mean (1/5 + 1/4) 0.00025 = 0.0001125."""
    found = corrected_paired_test(np.array([0.0, 0.01, 0.02, 0.03, 0.04]), test_share=0.2)
    assert found.mean == pytest.approx(0.02)
    assert found.statistic == pytest.approx(0.02 / math.sqrt(0.0001125))
    reach = 2.7764451 * math.sqrt(0.0001125)  # t quantile 0.975 with 4 degrees of freedom
    assert (found.low, found.high) == pytest.approx((0.02 - reach, 0.02 + reach), abs=1e-9)
    t = found.statistic  # the closed form of the t distribution with 4 degrees of freedom
    upper = 0.5 - 3 / 8 * t / math.sqrt(1 + t**2 / 4) * (1 - t**2 / (12 * (1 + t**2 / 4)))
    assert found.p_value == pytest.approx(2 * upper, abs=1e-12)
    assert (found.n, found.undefined, found.reason) == (5, 0, None)


def test_corrected_test_tends_to_the_plain_one_as_the_test_share_vanishes() -> None:
    values = np.random.default_rng(0).normal(0.1, 0.3, 12)
    found, plain = corrected_paired_test(values, 1e-12), ttest_1samp(values, 0.0)
    assert (found.statistic, found.p_value) == pytest.approx((plain.statistic, plain.pvalue), rel=1e-6)
    assert corrected_paired_test(values, 0.2).p_value > found.p_value


@given(values=st.lists(st.floats(-1, 1), min_size=2, max_size=12), share=st.floats(0.05, 0.9))
@settings(max_examples=50)
def test_corrected_test_agrees_with_its_interval_and_is_odd(values: list[float], share: float) -> None:
    found = corrected_paired_test(np.array(values), share)
    mirrored = corrected_paired_test(-np.array(values), share)
    assert found.p_value == pytest.approx(mirrored.p_value, nan_ok=True)
    assert found.low == pytest.approx(-mirrored.high, nan_ok=True)
    if found.reason is None and abs(found.p_value - 0.05) > 1e-9:
        assert (found.p_value < 0.05) == (found.low > 0 or found.high < 0)


def test_corrected_test_where_undefined() -> None:
    nan = math.nan
    alone = corrected_paired_test(np.array([nan, 0.3, nan]), 0.2)
    assert (alone.mean, alone.n, alone.undefined) == (0.3, 1, 2)
    assert math.isnan(alone.p_value)
    assert alone.reason == "fewer than two differences"
    assert math.isnan(corrected_paired_test(np.zeros(0), 0.2).mean)
    same = corrected_paired_test(np.zeros(5), 0.2)
    assert (same.mean, same.low, same.high, same.statistic, same.p_value) == (0.0, 0.0, 0.0, 0.0, 1.0)
    constant = corrected_paired_test(np.full(5, 0.1), 0.2)
    assert math.isnan(constant.p_value)
    assert constant.reason == "all differences are equal"
    with_nan = corrected_paired_test(np.array([0.1, nan, 0.2]), 0.2)
    assert replace(with_nan, undefined=0) == corrected_paired_test(np.array([0.1, 0.2]), 0.2)
    for share in (0.0, 1.0):
        with pytest.raises(ValueError, match="test_share"):
            corrected_paired_test(np.ones(3), share)


def loop_wilcoxon(differences: list[float]) -> tuple[float, float]:
    """The smaller rank sum, and the exact two-sided p value over all 2^n signs."""
    used = [value for value in differences if value != 0]
    ranks = rankdata(np.abs(used))
    total = ranks.sum()
    smaller = min(ranks[np.array(used) > 0].sum(), ranks[np.array(used) < 0].sum())
    count = 0
    for signs in range(2 ** len(used)):
        up = sum(rank for bit, rank in enumerate(ranks) if signs >> bit & 1)
        count += min(up, total - up) <= smaller
    return float(smaller), count / 2 ** len(used)


@pytest.mark.parametrize(
    "differences", [[0.1, 0.2, -0.05, 0.4, 0.3, 0.25, -0.15, 0.6], [0.5, 0.25, 1.0, -0.25, 0.75]]
)
def test_wilcoxon_equals_the_sum_over_all_signs(differences: list[float]) -> None:
    found = wilcoxon_folds(np.array(differences), np.zeros(len(differences)))
    statistic, p_value = loop_wilcoxon(differences)
    assert found.statistic == pytest.approx(statistic)
    assert found.p_value == pytest.approx(p_value)
    assert found.mean == pytest.approx(np.mean(differences))
    assert math.isnan(found.low)


def test_wilcoxon_drops_nan_pairs_and_is_one_for_equal_methods() -> None:
    a, b = np.array([0.7, math.nan, 0.6, 0.8, 0.9]), np.array([0.6, 0.5, 0.4, math.nan, 0.5])
    found = wilcoxon_folds(a, b)
    assert (found.n, found.undefined) == (3, 2)
    assert found.p_value == pytest.approx(0.25)
    assert wilcoxon_folds(b, a).p_value == found.p_value
    assert wilcoxon_folds(b, a).mean == -found.mean
    same = wilcoxon_folds(a, a)
    assert (same.mean, same.p_value, same.n, same.reason) == (0.0, 1.0, 4, None)
    nothing = wilcoxon_folds(np.full(2, math.nan), np.ones(2))
    assert math.isnan(nothing.p_value)
    assert nothing.reason == "no pair with both values"
    with pytest.raises(ValueError, match="as long as"):
        wilcoxon_folds(np.ones(2), np.ones(3))

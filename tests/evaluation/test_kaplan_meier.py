"""Kaplan-Meier curves with their interval and median, and numbers at risk, by hand and against lifelines."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lifelines import KaplanMeierFitter
from scipy.stats import norm

from prime.evaluation.kaplan_meier import kaplan_meier, numbers_at_risk


def test_kaplan_meier_by_hand() -> None:
    """Deaths at 2 (of 5 at risk), 4 (of 3) and 6 (of 1); censored at 3 and 5."""
    time = np.array([2.0, 3.0, 4.0, 5.0, 6.0])
    found = kaplan_meier(time, np.array([True, False, True, False, True]))
    assert found.times.tolist() == [0, 2, 3, 4, 5, 6]
    np.testing.assert_allclose(found.survival, [1, 4 / 5, 4 / 5, 8 / 15, 8 / 15, 0], atol=1e-12)
    assert found.median == 6.0
    greenwood = 1 / (5 * 4) + 1 / (3 * 2)
    centre, log_s = math.log(-math.log(8 / 15)), math.log(8 / 15)
    reach = norm.ppf(0.975) * math.sqrt(greenwood) / abs(log_s)
    assert found.low[3] == pytest.approx(math.exp(-math.exp(centre + reach)))
    assert found.high[3] == pytest.approx(math.exp(-math.exp(centre - reach)))


def exact_median(time: np.ndarray, event: np.ndarray) -> float:
    """In fractions: a product of floats that is one half can lie above it, as lifelines' sometimes does."""
    alive = Fraction(1)
    for point in sorted(set(time.tolist())):
        alive *= 1 - Fraction(int((event & (time == point)).sum()), int((time >= point).sum()))
        if alive <= Fraction(1, 2):
            return point
    return float("nan")


@given(
    st.lists(st.tuples(st.integers(0, 30), st.booleans()), min_size=1, max_size=60),
    st.sampled_from([0.8, 0.95]),
)
@settings(max_examples=50)
def test_kaplan_meier_equals_lifelines(rows: list[tuple[int, bool]], level: float) -> None:
    time, event = np.array([row[0] / 4 for row in rows]), np.array([row[1] for row in rows])
    found = kaplan_meier(time, event, level)
    theirs = KaplanMeierFitter(alpha=1 - level).fit(time, event)
    assert found.times.tolist() == theirs.survival_function_.index.tolist()
    np.testing.assert_allclose(found.survival, theirs.survival_function_.iloc[:, 0], atol=1e-12)
    ends = theirs.confidence_interval_.to_numpy()
    np.testing.assert_allclose(np.stack([found.low, found.high], axis=1), ends, atol=1e-10)
    np.testing.assert_equal(found.median, exact_median(time, event))


def test_a_median_on_one_half_is_found_though_the_product_lies_above() -> None:
    above = 0
    for n in range(2, 120, 2):
        time, event = np.arange(1.0, n + 1), np.ones(n, dtype=bool)
        found = kaplan_meier(time, event)
        above += found.survival[n // 2] > 0.5
        assert found.median == n / 2, n
    assert above


def test_kaplan_meier_where_little_is_known() -> None:
    never = kaplan_meier(np.array([1.0, 4.0]), np.array([False, False]))
    assert never.survival.tolist() == [1.0, 1.0, 1.0]
    assert math.isnan(never.median)
    nobody = kaplan_meier(np.zeros(0), np.zeros(0, dtype=bool))
    assert nobody.times.tolist() == [0.0]
    assert np.isnan(nobody.survival).all()
    at_start = kaplan_meier(np.array([0.0, 2.0]), np.array([True, False]))
    assert at_start.times.tolist() == [0.0, 2.0]
    assert at_start.survival.tolist() == [0.5, 0.5]
    assert at_start.median == 0.0


def test_numbers_at_risk_count_those_still_followed() -> None:
    found = numbers_at_risk(np.array([5.0, 1.0, 3.0, 3.0]), [0.0, 1.0, 2.0, 3.0, 3.5, 9.0])
    assert found.tolist() == [4, 4, 3, 3, 1, 0]
    assert numbers_at_risk(np.zeros(0), [0.0]).tolist() == [0]


def test_bad_times_events_and_levels_are_refused() -> None:
    time, event = np.array([1.0, 2.0]), np.ones(2, dtype=bool)
    with pytest.raises(ValueError, match="1 negative"):
        kaplan_meier(np.array([-1.0, 1.0]), event)
    with pytest.raises(ValueError, match="event must be bool"):
        kaplan_meier(time, time)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="level"):
        kaplan_meier(time, event, 1.0)

"""Kaplan-Meier curves with their interval, and numbers at risk, by hand and against a plain loop."""

import math
import subprocess
import sys

import numpy as np
import pytest
from scipy.stats import norm

from prime.evaluation.kaplan_meier import kaplan_meier, numbers_at_risk


def outcomes(seed: int, n: int = 90) -> tuple[np.ndarray, np.ndarray]:
    """Tied times; four in ten censored."""
    generator = np.random.default_rng(seed)
    return np.ceil(generator.exponential(15.0, n)), generator.random(n) < 0.6


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


@pytest.mark.parametrize("seed", range(5))
def test_kaplan_meier_equals_a_loop(seed: int) -> None:
    time, event = outcomes(seed)
    found = kaplan_meier(time, event, level=0.8)
    survival = 1.0
    for point, value in zip(found.times, found.survival, strict=True):
        at_risk = (time >= point).sum()
        survival *= 1.0 - (event & (time == point)).sum() / at_risk
        assert value == pytest.approx(survival, abs=1e-12)
    assert (found.low <= found.survival + 1e-12).all()
    assert (found.high >= found.survival - 1e-12).all()
    wider = kaplan_meier(time, event, level=0.95)
    inside = (found.survival > 0) & (found.survival < 1)
    assert (wider.low[inside] < found.low[inside]).all()
    assert (wider.high[inside] > found.high[inside]).all()


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


def test_lifelines_is_not_imported_with_the_curves() -> None:
    code = f"import sys, {kaplan_meier.__module__}; sys.exit('lifelines' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0

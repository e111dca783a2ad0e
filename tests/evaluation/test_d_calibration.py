"""D-calibration against a loop over patients and bins, and on a true and a false model."""

import numpy as np
import pytest
from scipy import stats

from prime.evaluation.d_calibration import d_calibration
from tests.evaluation.every_seed import every_seed


def loop_bins(event: np.ndarray, own: np.ndarray, bins: int) -> np.ndarray:
    """Each patient's probability over the bins, one patient and one bin at a time."""
    counts = np.zeros(bins)
    for died, c in zip(event, own, strict=True):
        for k in range(bins):
            low, high = k / bins, (k + 1) / bins
            last = k == bins - 1
            if died or c == 0:
                counts[k] += low <= c < high or (last and c == 1)
            else:
                counts[k] += max(0.0, min(high, c) - low) / c
    return counts


@every_seed(100)
def test_d_calibration_equals_a_naive_loop(seed: int) -> None:
    generator = np.random.default_rng(seed)
    n, bins = int(generator.integers(1, 60)), int(generator.integers(2, 12))
    own = generator.integers(0, 21, n) / 20 if seed % 2 else generator.random(n)
    event = generator.random(n) < generator.random() * (seed % 6 != 0)
    found = d_calibration(generator.random(n), event, own, bins)
    expected = loop_bins(event, own, bins)
    np.testing.assert_allclose(found.observed, expected, atol=1e-12)
    assert found.observed.sum() == pytest.approx(n)
    test = stats.chisquare(expected * (n / expected.sum()), np.full(bins, n / bins))
    assert found.statistic == pytest.approx(test.statistic, abs=1e-9)
    assert found.p_value == pytest.approx(test.pvalue, abs=1e-9)
    assert (found.n, found.reason) == (n, None)


def test_d_calibration_tells_a_true_model_from_a_false_one() -> None:
    generator = np.random.default_rng(1)
    death, leaves = generator.exponential(1.0, 2000), generator.exponential(1.5, 2000)
    time, event = np.minimum(death, leaves), death <= leaves
    assert d_calibration(time, event, np.exp(-time)).p_value > 0.05
    assert d_calibration(time, event, np.exp(-1.5 * time)).p_value < 1e-6
    ignoring = np.histogram(np.exp(-time[event]), 10, (0, 1))[0]
    assert stats.chisquare(ignoring).pvalue < 1e-6  # the censored cannot simply be left out
    nobody = d_calibration(time[:0], event[:0], time[:0])
    assert np.isnan(nobody.statistic)
    assert np.isnan(nobody.p_value)
    assert nobody.reason == "nobody"


def test_bad_survival_and_bins_are_refused() -> None:
    time, event, chance = np.arange(1.0, 4.0), np.array([True, False, True]), np.full(3, 0.5)
    with pytest.raises(ValueError, match="survival_at_own_time must lie"):
        d_calibration(time, event, chance - 1)
    with pytest.raises(ValueError, match="bins"):
        d_calibration(time, event, chance, bins=1)
    with pytest.raises(ValueError, match="weights not negative"):
        d_calibration(time, event, chance, weight=-np.ones(len(time)))


def test_predictions_of_one_patient_share_its_weight() -> None:
    """Two predictions each: the expected patients in a bin are the mean of what each prediction gives."""
    generator = np.random.default_rng(5)
    event, time = generator.random(70) < 0.6, generator.random(70)
    own = generator.random((2, 70))
    apart = [d_calibration(time, event, chance) for chance in own]
    both = d_calibration(np.tile(time, 2), np.tile(event, 2), own.ravel(), weight=np.full(140, 0.5))
    assert both.n == 70
    observed = (apart[0].observed + apart[1].observed) / 2
    assert both.observed == pytest.approx(observed)
    assert both.statistic == pytest.approx(((observed - 7) ** 2 / 7).sum())
    twice = d_calibration(np.tile(time, 2), np.tile(event, 2), np.tile(own[0], 2), weight=np.full(140, 0.5))
    assert twice.p_value == pytest.approx(apart[0].p_value)

"""The metrics of a validation at a horizon, against libraries."""

import numpy as np
import pytest
from lifelines import KaplanMeierFitter
from sksurv.metrics import brier_score as sksurv_brier
from sksurv.metrics import cumulative_dynamic_auc
from sksurv.util import Surv

from prime.evaluation.horizon_scores import HORIZON_METRICS, HorizonCases, observed_expected, scaled_brier


def cases(seed: int, n: int = 200) -> HorizonCases:
    rng = np.random.default_rng(seed)
    line = rng.normal(-0.5, 0.8, n)
    time, censored = rng.exponential(np.exp(-line)), rng.exponential(3, n)
    chance = -np.expm1(-np.exp(line))
    return HorizonCases(np.minimum(time, censored), time <= censored, line, np.minimum(chance, 0.999), 1.0)


@pytest.mark.parametrize("seed", range(10))
def test_they_are_those_of_libraries(seed: int) -> None:
    one = cases(seed)
    found = {metric.name: metric.of(one).value for metric in HORIZON_METRICS}
    outcome = Surv.from_arrays(one.event & (one.time <= 1), np.minimum(one.time, 1.01))
    alive = KaplanMeierFitter().fit(one.time, one.event).predict(1.0)
    np.testing.assert_allclose(found["observed_expected"], (1 - alive) / one.chance.mean())
    whole = Surv.from_arrays(one.event, one.time)
    kept = one.time < one.time.max()
    _, brier = sksurv_brier(whole, whole, 1 - one.chance[:, None], [1.0])
    _, null = sksurv_brier(whole, whole, np.full((len(kept), 1), alive), [1.0])
    np.testing.assert_allclose(found["brier"], brier[0])
    np.testing.assert_allclose(found["scaled_brier"], 1 - brier[0] / null[0])
    auc, _ = cumulative_dynamic_auc(whole, outcome, one.chance, [1.0])
    np.testing.assert_allclose(found["auc"], auc[0])


def test_nobody_has_no_score_and_a_reason() -> None:
    nothing = HorizonCases(np.empty(0), np.empty(0, bool), np.empty(0), np.empty(0), 1.0)
    for metric in HORIZON_METRICS:
        score = metric.of(nothing)
        assert np.isnan(score.value), metric.name
        assert score.reason


def test_a_follow_up_that_ends_early_has_no_observed_risk() -> None:
    one = cases(0)
    short = HorizonCases(one.time, one.event, one.risk, one.chance, 100.0)
    assert np.isnan(observed_expected(short).value)
    assert "follow-up" in str(observed_expected(short).reason)
    assert np.isnan(scaled_brier(short).value)

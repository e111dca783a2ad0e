"""Cox regression against scikit-survival, lifelines, the likelihood as a loop, and by hand."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from lifelines import CoxPHFitter
from numpy.typing import NDArray
from sksurv.linear_model import CoxPHSurvivalAnalysis
from sksurv.util import Surv

from prime.evaluation.cox import breslow_hazard, cox_coefficient, fit_cox, partial_likelihood
from tests.evaluation.every_seed import every_seed

Floats = NDArray[np.float64]
Sample = tuple[Floats, Floats, NDArray[np.bool_]]


def sample(
    patients: int = 200, features: int = 5, events: float = 0.6, levels: int = 0, seed: int = 0
) -> Sample:
    """Features on unlike scales, exponential times (rounded up to `levels` values if given) and events."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(patients, features))
    time = rng.exponential(size=patients) * np.exp(-x[:, 0] + 0.5 * x[:, -1])
    if levels:
        time = np.ceil(levels * np.argsort(np.argsort(time)).astype(np.float64) / patients) + 1
    event = rng.random(patients) < events
    event[:2] = True
    return x * np.linspace(0.2, 3, features) + 1.5, time, event


CASES = {
    "plain": sample(),
    "heavy ties": sample(levels=6),
    "one time": sample(patients=40, levels=1),
    "heavy censoring": sample(events=0.03),
    "no censoring": sample(events=1.0),
    "p close to n": sample(patients=45, features=42),
    "p above n": sample(patients=30, features=50, levels=10),
}


def naive_log_likelihood(score: Floats, time: Floats, event: NDArray[np.bool_]) -> float:
    total = 0.0
    for t in set(time[event]):
        tied = [i for i in range(len(time)) if time[i] == t and event[i]]
        at_risk = sum(np.exp(score[i]) for i in range(len(time)) if time[i] >= t)
        died = sum(np.exp(score[i]) for i in tied)
        total += sum(score[i] - np.log(at_risk - k / len(tied) * died) for k, i in enumerate(tied))
    return total


def survival(weight: Floats, x: Floats, time: Floats, event: NDArray[np.bool_], times: Floats) -> Floats:
    """(n, q) by Breslow's baseline."""
    score = (x - x.mean(axis=0)) @ weight
    return np.exp(-breslow_hazard(score, time, event, times) * np.exp(score)[:, None])


@pytest.mark.parametrize("strata", [1, 3])
@pytest.mark.parametrize("levels", [0, 3, 8])
def test_the_likelihood_is_that_of_a_loop(levels: int, strata: int) -> None:
    x, time, event = sample(patients=60, levels=levels)
    weight, labels = np.array([0.3, -0.2, 0.1, 0.5, -0.1]), np.arange(60) % strata
    expected = -0.5 * 2.5 * weight @ weight
    for label in range(strata):
        rows = labels == label
        expected += naive_log_likelihood(x[rows] @ weight, time[rows], event[rows])
    likelihood = partial_likelihood(x, time, event, 2.5, np.array(["a", "b", "c"])[labels])
    found = likelihood(weight)
    assert found.value == pytest.approx(expected, rel=1e-12)
    for k, step in enumerate(1e-5 * np.eye(5)):
        above, below = likelihood(weight + step), likelihood(weight - step)
        assert found.gradient[k] == pytest.approx((above.value - below.value) / 2e-5, rel=1e-6, abs=1e-6)
        np.testing.assert_allclose(
            found.information[k], (below.gradient - above.gradient) / 2e-5, rtol=1e-6, atol=1e-6
        )


@pytest.mark.parametrize("penalty", [0.1, 5.0, 200.0])
@pytest.mark.parametrize("case", CASES)
def test_weights_and_survival_are_those_of_scikit_survival(case: str, penalty: float) -> None:
    x, time, event = CASES[case]
    weight = fit_cox(x, time, event, penalty)
    centred = x - x.mean(axis=0)  # else its baseline at zero overflows
    oracle = CoxPHSurvivalAnalysis(alpha=penalty, ties="efron", tol=1e-13, n_iter=500)
    oracle.fit(centred, Surv.from_arrays(event, time))
    np.testing.assert_allclose(weight, oracle.coef_, rtol=1e-6, atol=1e-8)
    if case == "p above n":  # its risk sets lose all digits there
        return
    times = np.quantile(time, [0.2, 0.5, 0.9])
    expected = np.stack([curve(times) for curve in oracle.predict_survival_function(centred)])
    np.testing.assert_allclose(survival(weight, x, time, event, times), expected, rtol=1e-5, atol=1e-9)


@pytest.mark.parametrize("penalizer", [0.01, 0.1, 1.0])
@pytest.mark.parametrize("case", ["plain", "heavy ties", "no censoring"])
def test_lifelines_counts_its_penalty_against_the_mean_on_standardised_features(
    case: str, penalizer: float
) -> None:
    x, time, event = CASES[case]
    frame = pd.DataFrame(x).assign(time=time, event=event)
    oracle = CoxPHFitter(penalizer=penalizer, l1_ratio=0.0).fit(
        frame, "time", "event", fit_options={"precision": 1e-10}
    )
    spread = x.std(axis=0, ddof=1)
    weight = fit_cox(x / spread, time, event, penalizer * len(x))
    np.testing.assert_allclose(weight / spread, oracle.params_.to_numpy(), rtol=1e-5, atol=1e-7)
    times = np.unique(time[event])[[1, -2]]  # in between it would interpolate
    expected = oracle.predict_survival_function(pd.DataFrame(x), times=list(times)).to_numpy().T
    np.testing.assert_allclose(survival(weight, x / spread, time, event, times), expected, rtol=1e-4)


def test_a_constant_feature_weighs_nothing_and_changes_nothing() -> None:
    x, time, event = CASES["heavy ties"]
    with_constant = np.column_stack([x[:, :2], np.full(len(x), 7.0), x[:, 2:]])
    found = fit_cox(with_constant, time, event, 1.0)
    assert found[2] == 0
    np.testing.assert_allclose(np.delete(found, 2), fit_cox(x, time, event, 1.0), rtol=1e-9)


def test_no_feature_has_no_weight() -> None:
    _, time, event = CASES["plain"]
    assert fit_cox(np.zeros((len(time), 0)), time, event, 1.0).shape == (0,)


def test_separated_patients_have_finite_weights() -> None:
    time = np.arange(1.0, 21.0)
    found = fit_cox(-time[:, None], time, np.ones(20, dtype=bool), 1e-4)
    assert np.isfinite(found).all()
    assert found[0] > 0


def test_the_baseline_hazard_by_hand() -> None:
    time = np.array([1.0, 2.0, 2.0, 3.0, 4.0])
    event = np.array([True, True, False, True, False])
    score = np.log([1.0, 2.0, 3.0, 4.0, 5.0])
    found = breslow_hazard(score, time, event, np.array([0.5, 1.0, 1.9, 2.0, 2.9, 3.0, 99.0]))
    first, second, third = np.cumsum([1 / 15, 1 / 14, 1 / 9])
    np.testing.assert_allclose(found, [0, first, first, second, second, third, third])


@pytest.mark.parametrize("case", CASES)
def test_the_baseline_hazard_is_that_of_a_loop(case: str) -> None:
    x, time, event = CASES[case]
    score = 3 * (x - x.mean(axis=0))[:, 0]
    jumps = {t: (event & (time == t)).sum() / np.exp(score[time >= t]).sum() for t in time[event]}
    expected = [sum(jump for t, jump in jumps.items() if t <= limit) for limit in np.sort(time)]
    found = breslow_hazard(score, time, event, np.sort(time))
    np.testing.assert_allclose(found, expected, rtol=1e-9)


@every_seed(20)
def test_one_covariate_without_a_penalty_equals_scikit_survival(seed: int) -> None:
    """With ties, and a place and scale far from 0 and 1."""
    generator = np.random.default_rng(seed)
    standard = np.round(generator.normal(size=60), 1)
    time = np.ceil(generator.exponential(8 * np.exp(-standard * generator.normal())))
    event = generator.random(60) < 0.7
    found = cox_coefficient(standard * 30 + 500, time, event)
    model = CoxPHSurvivalAnalysis(alpha=0, ties="efron", tol=1e-14, n_iter=500)
    expected = model.fit(standard[:, None], Surv.from_arrays(event, time)).coef_[0]
    assert found.lack is None
    assert 30 * found.value == pytest.approx(expected, abs=1e-8)


def naive_lack(x: Floats, time: Floats, event: NDArray[np.bool_], strata: NDArray[np.int64]) -> str | None:
    """How the likelihood goes on at both ends: each event's term rises, falls, or is constant."""
    risk_sets = [(x[i], x[(time >= time[i]) & (strata == strata[i])]) for i in np.flatnonzero(event)]
    rises = any(own > others.min() for own, others in risk_sets)  # from minus infinity
    falls = any(own < others.max() for own, others in risk_sets)  # to minus infinity
    if rises and falls:
        return None
    return "rising" if rises else "falling" if falls else "flat"


PATIENTS = st.tuples(*(st.integers(0, highest) for highest in (5, 4, 2, 1)))


@given(st.lists(PATIENTS, min_size=1, max_size=8).filter(lambda rows: any(row[3] for row in rows)))
def test_a_likelihood_without_a_finite_maximum_is_seen_exactly(rows: list[tuple[int, ...]]) -> None:
    x, time, strata, event = np.array(rows).T
    found = cox_coefficient(x.astype(float), time.astype(float), event == 1, strata)
    assert found.lack == naive_lack(x, time, event == 1, strata)
    assert np.isnan(found.value) == np.isnan(found.error) == (found.lack is not None)


def test_what_cannot_be_fitted_is_refused() -> None:
    x, time, event = CASES["plain"]
    with pytest.raises(ValueError, match="needs an event"):
        fit_cox(x, time, np.zeros(len(x), dtype=bool), 1.0)
    with pytest.raises(ValueError, match="above zero"):
        fit_cox(x, time, event, 0.0)
    x = x.copy()
    x[3, 1] = np.nan
    with pytest.raises(ValueError, match="finite"):
        fit_cox(x, time, event, 1.0)

"""Ridge Cox regression: against scikit-survival, lifelines, the likelihood as a loop, and by hand."""

import numpy as np
import pandas as pd
import pytest
from lifelines import CoxPHFitter
from numpy.typing import NDArray
from sksurv.linear_model import CoxPHSurvivalAnalysis
from sksurv.util import Surv

from prime.methods.statistics.cox import Ties, breslow_hazard, fit_cox, log_partial_likelihood

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


def naive_log_likelihood(score: Floats, time: Floats, event: NDArray[np.bool_], ties: Ties) -> float:
    total = 0.0
    for t in set(time[event]):
        tied = [i for i in range(len(time)) if time[i] == t and event[i]]
        at_risk = sum(np.exp(score[i]) for i in range(len(time)) if time[i] >= t)
        died = sum(np.exp(score[i]) for i in tied)
        for number, i in enumerate(tied):
            taken = number / len(tied) * died if ties == "efron" else 0.0
            total += score[i] - np.log(at_risk - taken)
    return total


@pytest.mark.parametrize("ties", ["efron", "breslow"])
@pytest.mark.parametrize("levels", [0, 3, 8])
def test_the_likelihood_is_that_of_a_loop(levels: int, ties: Ties) -> None:
    x, time, event = sample(patients=60, levels=levels)
    score = x @ np.array([0.3, -0.2, 0.1, 0.5, -0.1])
    expected = naive_log_likelihood(score, time, event, ties)
    assert log_partial_likelihood(score, time, event, ties) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("ties", ["efron", "breslow"])
@pytest.mark.parametrize("penalty", [0.1, 5.0, 200.0])
@pytest.mark.parametrize("case", CASES)
def test_weights_and_survival_are_those_of_scikit_survival(case: str, penalty: float, ties: Ties) -> None:
    x, time, event = CASES[case]
    ours = fit_cox(x, time, event, penalty, ties)
    centred = x - x.mean(axis=0)  # else its baseline at zero overflows
    oracle = CoxPHSurvivalAnalysis(alpha=penalty, ties=ties, tol=1e-13, n_iter=500)
    oracle.fit(centred, Surv.from_arrays(event, time))
    np.testing.assert_allclose(ours.weight, oracle.coef_, rtol=1e-6, atol=1e-8)
    if case == "p above n":  # its risk sets lose all digits there
        return
    times = np.quantile(time, [0.2, 0.5, 0.9])
    expected = np.stack([curve(times) for curve in oracle.predict_survival_function(centred)])
    np.testing.assert_allclose(ours.survival(x, times), expected, rtol=1e-5, atol=1e-9)


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
    ours = fit_cox(x / spread, time, event, penalizer * len(x))
    np.testing.assert_allclose(ours.weight / spread, oracle.params_.to_numpy(), rtol=1e-5, atol=1e-7)
    times = np.unique(time[event])[[1, -2]]  # in between it would interpolate
    expected = oracle.predict_survival_function(pd.DataFrame(x), times=list(times)).to_numpy().T
    np.testing.assert_allclose(ours.survival(x / spread, times), expected, rtol=1e-4)


def test_a_constant_feature_weighs_nothing_and_changes_nothing() -> None:
    x, time, event = CASES["heavy ties"]
    with_constant = np.column_stack([x[:, :2], np.full(len(x), 7.0), x[:, 2:]])
    found = fit_cox(with_constant, time, event, 1.0)
    assert found.weight[2] == 0
    np.testing.assert_allclose(np.delete(found.weight, 2), fit_cox(x, time, event, 1.0).weight, rtol=1e-9)


def test_no_feature_leaves_the_baseline() -> None:
    _, time, event = CASES["plain"]
    found = fit_cox(np.zeros((len(time), 0)), time, event, 1.0)
    alone = breslow_hazard(np.zeros(len(time)), time, event)
    np.testing.assert_array_equal(found.baseline.hazard, alone.hazard)


def test_separated_patients_have_finite_weights() -> None:
    time = np.arange(1.0, 21.0)
    found = fit_cox(-time[:, None], time, np.ones(20, dtype=bool), 1e-4)
    assert np.isfinite(found.weight).all()
    assert found.weight[0] > 0


def test_the_baseline_hazard_by_hand() -> None:
    time = np.array([1.0, 2.0, 2.0, 3.0, 4.0])
    event = np.array([True, True, False, True, False])
    score = np.log([1.0, 2.0, 3.0, 4.0, 5.0])
    found = breslow_hazard(score, time, event)
    np.testing.assert_array_equal(found.times, [1.0, 2.0, 3.0])
    np.testing.assert_allclose(found.hazard, np.cumsum([1 / 15, 1 / 14, 1 / 9]))
    np.testing.assert_allclose(
        found.at(np.array([0.5, 1.0, 2.9, 3.0, 99.0])), [0, *found.hazard[[0, 1, 2, 2]]]
    )
    curve = found.survival(np.log([1.0, 2.0]), np.array([0.5, 2.0]))
    hazard = 1 / 15 + 1 / 14
    np.testing.assert_allclose(curve, [[1, np.exp(-hazard)], [1, np.exp(-2 * hazard)]])


@pytest.mark.parametrize("case", CASES)
def test_the_baseline_hazard_is_that_of_a_loop(case: str) -> None:
    x, time, event = CASES[case]
    score = 3 * (x - x.mean(axis=0))[:, 0]
    expected = [
        sum(1 / np.exp(score[time >= t]).sum() for t in time[event] if t <= limit) for limit in np.sort(time)
    ]
    found = breslow_hazard(score, time, event).at(np.sort(time))
    np.testing.assert_allclose(found, expected, rtol=1e-9)


def test_a_huge_score_leaves_survival_finite() -> None:
    _, time, event = CASES["plain"]
    hazard = breslow_hazard(np.zeros(len(time)), time, event)
    found = hazard.survival(np.array([-1e9, 1e9]), np.array([0.0, 1e9]))
    np.testing.assert_array_equal(found, [[1, 1], [1, 0]])


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

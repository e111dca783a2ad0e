"""Delayed entry (left truncation) against lifelines, naive loops, and the same patients without it."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from lifelines import CoxPHFitter, KaplanMeierFitter, NelsonAalenFitter
from numpy.typing import NDArray

from prime.evaluation.calibration import survival_calibration_slope
from prime.evaluation.comparison import CohortPredictions, bootstrap_draws
from prime.evaluation.cox import breslow_hazard, cox_coefficient, fit_cox, partial_likelihood
from prime.evaluation.kaplan_meier import kaplan_meier
from prime.evaluation.lower_bounds import death_weights
from prime.evaluation.metrics import concordance, concordance_within

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]


def patients(
    n: int = 200, features: int = 3, seed: int = 0, ties: bool = False
) -> tuple[Floats, Floats, Flags, Floats]:
    """Features, times, events and entries, all before the times; half of the patients enter late."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, features))
    time = rng.exponential(size=n) * np.exp(-0.7 * x[:, 0]) * 100 + 1
    if ties:
        time = np.ceil(time / 10) * 10
    event = rng.random(n) < 0.6
    event[:3] = True
    entry = np.where(rng.random(n) < 0.5, rng.uniform(0, 0.95, n) * time, 0.0)
    return x, time, event, np.floor(entry) if ties else entry


def naive_log_likelihood(score: Floats, time: Floats, event: Flags, entry: Floats) -> float:
    total = 0.0
    for t in set(time[event]):
        tied = [i for i in range(len(time)) if time[i] == t and event[i]]
        at_risk = sum(np.exp(score[i]) for i in range(len(time)) if entry[i] < t <= time[i])
        died = sum(np.exp(score[i]) for i in tied)
        total += sum(score[i] - np.log(at_risk - k / len(tied) * died) for k, i in enumerate(tied))
    return total


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("seed", range(5))
def test_likelihood_and_derivatives(seed: int, ties: bool) -> None:
    x, time, event, entry = patients(60, 3, seed, ties)
    strata = np.arange(60) % 2
    weight = np.random.default_rng(seed).normal(size=3)
    likelihood = partial_likelihood(x, time, event, 0.0, strata, entry)
    found = likelihood(weight)
    expected = sum(
        naive_log_likelihood((x @ weight)[rows], time[rows], event[rows], entry[rows])
        for rows in (strata == 0, strata == 1)
    )
    assert found.value == pytest.approx(expected, abs=1e-9)
    for p in range(3):
        step = np.eye(3)[p] * 1e-5
        above, below = likelihood(weight + step), likelihood(weight - step)
        assert found.gradient[p] == pytest.approx((above.value - below.value) / 2e-5, abs=1e-4)
        slope = -(above.gradient - below.gradient) / 2e-5
        np.testing.assert_allclose(found.information[p], slope, atol=1e-4)


@pytest.mark.parametrize("seed", range(10))
def test_cox_equals_lifelines(seed: int) -> None:
    x, time, event, entry = patients(250, 3, seed)
    frame = pd.DataFrame(x, columns=["a", "b", "c"]).assign(time=time, event=event, entry=entry)
    fitted = CoxPHFitter(penalizer=0.05).fit(
        frame, "time", "event", entry_col="entry", fit_options={"precision": 1e-12}
    )
    spread = x.std(axis=0, ddof=1)
    weight = fit_cox(x / spread, time, event, 0.05 * len(x), entry)
    np.testing.assert_allclose(weight / spread, fitted.params_.to_numpy(), atol=1e-6)
    plain = fit_cox(x / spread, time, event, 0.05 * len(x))
    assert np.abs(plain / spread - fitted.params_.to_numpy()).max() > 1e-3


def test_one_coefficient_equals_lifelines() -> None:
    x, time, event, entry = patients(200, 1, 4)
    frame = pd.DataFrame({"x": x[:, 0], "time": time, "event": event, "entry": entry})
    fitted = CoxPHFitter().fit(frame, "time", "event", entry_col="entry", fit_options={"precision": 1e-12})
    found = cox_coefficient(x[:, 0], time, event, entry=entry)
    assert found.value == pytest.approx(float(fitted.params_["x"]), abs=1e-6)
    assert found.error == pytest.approx(float(fitted.standard_errors_["x"]), abs=1e-6)


def test_why_there_is_no_coefficient_looks_at_who_is_at_risk() -> None:
    """The last patient would make a maximum of it, but enters after the event."""
    x, time = np.array([2.0, 1.0, 3.0]), np.array([1.0, 5.0, 6.0])
    event = np.array([True, False, False])
    assert cox_coefficient(x, time, event).lack is None
    assert cox_coefficient(x, time, event, entry=np.array([0.0, 0.0, 2.0])).lack == "rising"


@pytest.mark.parametrize("seed", range(5))
def test_baseline_hazard_equals_lifelines(seed: int) -> None:
    _, time, event, entry = patients(80, 1, seed, ties=True)
    at = np.sort(time)
    found = breslow_hazard(np.zeros(80), time, event, at, entry)
    fitted = NelsonAalenFitter(nelson_aalen_smoothing=False).fit(time, event, entry=entry)
    np.testing.assert_allclose(found, fitted.cumulative_hazard_at_times(at).to_numpy(), atol=1e-9)


def test_kaplan_meier_equals_lifelines() -> None:
    _, time, event, entry = patients(150, 1, 2)
    entry[:20] = 0
    found = kaplan_meier(time, event, entry=entry)
    fitted = KaplanMeierFitter().fit(time, event, entry=entry)
    theirs = fitted.survival_function_at_times(found.times).to_numpy()
    np.testing.assert_allclose(found.survival, theirs, atol=1e-9)


@given(
    st.lists(st.tuples(st.integers(1, 15), st.booleans(), st.integers(0, 3), st.integers(0, 14)), max_size=30)
)
def test_concordance_counts_pairs_under_observation(rows: list[tuple[int, bool, int, int]]) -> None:
    time = np.array([r[0] for r in rows], dtype=float)
    event = np.array([r[1] for r in rows], dtype=bool)
    risk = np.array([r[2] for r in rows], dtype=float)
    entry = np.minimum(np.array([r[3] for r in rows], dtype=float), time - 1)
    pairs = credit = 0.0
    for i in range(len(rows)):
        for j in range(len(rows)):
            later = time[j] > time[i] or (time[j] == time[i] and not event[j])
            if event[i] and later and entry[j] < time[i]:
                pairs += 1
                credit += 1.0 if risk[i] > risk[j] else 0.5 if risk[i] == risk[j] else 0.0
    found = concordance(time, event, risk, entry=entry)
    assert found.pairs == pairs
    np.testing.assert_allclose(found.value, credit / pairs if pairs else np.nan)
    within = concordance_within(time, event, risk, np.zeros(len(rows)), entry=entry)
    np.testing.assert_equal(within.value, found.value)
    if pairs:
        cohort = CohortPredictions(np.zeros(len(rows)), event, risk, time, entry)
        drawn = bootstrap_draws("concordance", [cohort], 5)
        assert drawn.observed[0] == pytest.approx(found.value)


def test_calibration_slope_equals_lifelines() -> None:
    x, time, event, entry = patients(300, 1, 1)
    survival = 1 / (1 + np.exp(x[:, 0]))
    for horizon in (None, 80.0):
        limit = np.inf if horizon is None else horizon
        frame = pd.DataFrame(
            {
                "line": np.log(-np.log(survival)), "time": np.minimum(time, limit),
                "event": event & (time <= limit), "entry": entry,
            }
        )[entry < limit]  # fmt: skip
        fitted = CoxPHFitter().fit(
            frame, "time", "event", entry_col="entry", fit_options={"precision": 1e-12}
        )
        found = survival_calibration_slope(time, event, survival, horizon, entry)
        assert found.value == pytest.approx(float(fitted.params_["line"]), abs=1e-6)


def test_weights_of_deaths_are_the_mass_of_the_product_limit() -> None:
    _, time, event, entry = patients(120, 1, 5)
    np.testing.assert_allclose(
        death_weights(time, event, np.zeros(120) - 1), death_weights(time, event), rtol=1e-12
    )
    entry[:40] = 0
    fitted = KaplanMeierFitter().fit(time, event, entry=entry)
    for i in np.flatnonzero(event)[::9]:
        before, after = fitted.predict(time[i] - 1e-9), fitted.predict(time[i])
        assert death_weights(time, event, entry)[i] / 120 == pytest.approx(before - after, abs=1e-9)

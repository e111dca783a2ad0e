"""Delayed entry (left truncation) against lifelines, naive loops, and the same patients without it."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from lifelines import CoxPHFitter, KaplanMeierFitter, NelsonAalenFitter
from numpy.typing import NDArray

from prime.evaluation.calibration import survival_calibration_curve, survival_calibration_slope
from prime.evaluation.comparison import CohortPredictions, bootstrap_draws
from prime.evaluation.competing_risks import aalen_johansen
from prime.evaluation.cox import breslow_hazard, cox_coefficient, fit_cox, partial_likelihood
from prime.evaluation.decision_curve import competing_decision_curve, survival_decision_curve
from prime.evaluation.horizon_scores import HORIZON_METRICS, HorizonCases, observed_expected
from prime.evaluation.kaplan_meier import kaplan_meier
from prime.evaluation.lower_bounds import death_weights
from prime.evaluation.metrics import concordance, concordance_within
from prime.evaluation.product_limit import population_size, product_limit
from prime.evaluation.smooth_calibration import smooth_survival_calibration
from prime.evaluation.splines import restricted_cubic_spline, spline_knots
from prime.evaluation.stratification import hazard_ratio, log_rank

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


# Risk groups, calibration and decisions ---------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(5))
def test_log_rank_compares_who_is_at_risk(seed: int) -> None:
    x, time, event, entry = patients(120, 1, seed, ties=True)
    high, strata = x[:, 0] > 0, np.arange(120) % 2
    excess = variance = 0.0
    for stratum in (0, 1):
        for t in set(time[event & (strata == stratum)]):
            here = (strata == stratum) & (entry < t) & (t <= time)
            n, share, d = here.sum(), high[here].mean(), (event & here & (time == t)).sum()
            excess += (event & here & (time == t) & high).sum() - d * share
            variance += d * share * (1 - share) * (n - d) / max(n - 1, 1)
    found = log_rank(time, event, high, strata, entry)
    assert found.statistic == pytest.approx(excess**2 / variance)
    assert abs(found.statistic - log_rank(time, event, high, strata).statistic) > 1e-3


@pytest.mark.parametrize("seed", range(5))
def test_hazard_ratio_equals_lifelines(seed: int) -> None:
    x, time, event, entry = patients(200, 1, seed)
    high, strata = x[:, 0] > 0, np.arange(200) % 3
    frame = pd.DataFrame({"high": high, "time": time, "event": event, "entry": entry, "fold": strata})
    options = {"entry_col": "entry", "strata": ["fold"], "fit_options": {"precision": 1e-12}}
    fitted = CoxPHFitter().fit(frame.astype(float), "time", "event", **options)
    found = hazard_ratio(time, event, high, strata, entry=entry)
    assert found.ratio == pytest.approx(float(np.exp(fitted.params_["high"])), abs=1e-6)
    ends = np.exp(fitted.confidence_intervals_.to_numpy()[0])
    np.testing.assert_allclose([found.low, found.high], ends, atol=1e-6)


def predicted(x: Floats, time: Floats) -> tuple[Floats, float]:
    """A risk by the median time."""
    return 1 / (1 + np.exp(-x[:, 0])), float(np.median(time))


def test_calibration_in_groups_equals_lifelines() -> None:
    x, time, event, entry = patients(400, 1, 3)
    chance, horizon = predicted(x, time)
    entry[:200] = 0
    found = survival_calibration_curve(time, event, chance, horizon, 4, entry)
    group = np.searchsorted(np.quantile(chance, [0.25, 0.5, 0.75]), chance)
    for k in range(4):
        mine = group == k
        fitted = KaplanMeierFitter().fit(time[mine], event[mine], entry=entry[mine])
        assert found.observed[k] == pytest.approx(1 - fitted.predict(horizon), abs=1e-6)
        ends = fitted.confidence_interval_.loc[:horizon].iloc[-1].to_numpy()
        np.testing.assert_allclose([1 - found.high[k], 1 - found.low[k]], ends, atol=1e-6)


@pytest.mark.parametrize("seed", range(3))
def test_smooth_calibration_equals_lifelines(seed: int) -> None:
    """The regression by lifelines, its baseline by a plain loop."""
    x, time, event, entry = patients(300, 1, seed)
    chance, horizon = predicted(x, time)
    found = smooth_survival_calibration(time, event, chance, horizon, entry=entry)
    kept = entry < horizon
    line = np.log(-np.log1p(-chance[kept]))
    basis = restricted_cubic_spline(line, spline_knots(line, 3))
    end, died, late = np.minimum(time, horizon)[kept], (event & (time <= horizon))[kept], entry[kept]
    frame = pd.DataFrame(basis, columns=["a", "b"]).assign(time=end, event=died, entry=late)
    fitted = CoxPHFitter().fit(frame, "time", "event", entry_col="entry", fit_options={"precision": 1e-12})
    ratio = np.exp(basis @ fitted.params_.to_numpy())
    hazard = sum(1 / ratio[(late < t) & (t <= end)].sum() for t in end[died])
    away = np.abs(1 - np.exp(-hazard * ratio) - chance[kept])
    assert found.n == kept.sum()
    np.testing.assert_allclose(
        [found.ici, found.e50, found.e90], [away.mean(), *np.quantile(away, [0.5, 0.9])], atol=1e-6
    )


def seen_late(n: int = 60_000) -> tuple[Floats, Floats, Floats, Floats]:
    """Log hazard ratios, survival times and entries of everybody, and the true risk by 1.

    Half of them come under observation late: who dies before is never seen.
    """
    rng = np.random.default_rng(0)
    line = rng.normal(0, 0.8, n)
    time = rng.exponential(np.exp(-line))
    entry = np.where(rng.random(n) < 0.5, rng.uniform(0, 0.9, n), 0.0)
    return line, time, entry, -np.expm1(-np.exp(line))


def test_decisions_are_those_of_all_patients_not_of_those_who_were_seen() -> None:
    line, time, entry, chance = seen_late()
    rng = np.random.default_rng(1)
    censored = entry + rng.exponential(3, len(line))
    seen = (entry < time) & (entry < censored)
    thresholds = np.array([0.2, 0.4, 0.6, 0.8])
    truth = survival_decision_curve(time, np.ones(len(time), dtype=bool), chance, 1.0, thresholds)
    both = np.minimum(time, censored)[seen], (time <= censored)[seen], chance[seen], 1.0, thresholds
    found = survival_decision_curve(*both, entry[seen])
    for name in ("flagged", "true_positive", "net_benefit", "treat_all"):
        np.testing.assert_allclose(getattr(found, name), getattr(truth, name), atol=0.01)
    without = survival_decision_curve(*both)
    assert np.abs(without.true_positive - truth.true_positive).max() > 0.05
    assert population_size(both[0], both[1], entry[seen]) == pytest.approx(len(time), rel=0.02)
    causes = competing_decision_curve(
        both[0], both[1].astype(int), chance[seen], 1.0, thresholds, entry=entry[seen]
    )
    np.testing.assert_allclose(causes.net_benefit, found.net_benefit, atol=1e-9)


def test_observed_over_expected_is_one_of_a_calibrated_model() -> None:
    """The risk of all patients over the mean prediction of those who were seen is not."""
    line, time, entry, chance = seen_late()
    seen = entry < time
    event, entry = np.ones(seen.sum(), dtype=bool), entry[seen]
    end = np.minimum(time[seen], 1.0)
    expected = np.exp(line[seen]) * (end - np.minimum(entry, end))
    cases = HorizonCases(time[seen], event, line[seen], chance[seen], 1.0, entry, expected)
    assert observed_expected(cases).value == pytest.approx(1, abs=0.02)
    assert observed_expected(cases).value == cases.events / expected.sum()
    risk = 1 - float(product_limit(time[seen], event, entry=entry).at(np.array([1.0]))[0])
    assert risk == pytest.approx(chance.mean(), abs=0.01)
    assert risk / chance[seen].mean() > 1.05
    unlike = HorizonCases(cases.time, event, cases.risk, cases.chance, 1.0, entry, 0 * expected)
    assert observed_expected(unlike).reason == "nobody, or no event expected"


def test_what_is_weighted_for_censoring_has_no_value_at_a_horizon() -> None:
    x, time, event, entry = patients(300, 1, 6)
    chance, horizon = predicted(x, time)
    late = HorizonCases(time, event, x[:, 0], chance, horizon, entry, np.ones(300))
    scores = {metric.name: metric.of(late) for metric in HORIZON_METRICS}
    for name in ("ipcw_c_index", "auc", "brier", "scaled_brier"):
        assert np.isnan(scores[name].value)
        assert scores[name].reason == "delayed entry: weights for censoring do not hold"
    assert scores["c_index"] == concordance(time, event, x[:, 0], entry=entry)
    slope = survival_calibration_slope(time, event, 1 - chance, horizon, entry)
    assert scores["calibration_slope"] == slope


def test_without_a_late_entry_nothing_changes() -> None:
    x, time, event, _ = patients(200, 1, 7)
    (chance, horizon), zero = predicted(x, time), np.zeros(200)
    strata, high = np.arange(200) % 2, x[:, 0] > 0
    assert log_rank(time, event, high, strata, zero) == log_rank(time, event, high, strata)
    assert hazard_ratio(time, event, high, strata, entry=zero) == hazard_ratio(time, event, high, strata)
    np.testing.assert_equal(
        vars(survival_calibration_curve(time, event, chance, horizon, 5, zero)),
        vars(survival_calibration_curve(time, event, chance, horizon, 5)),
    )
    np.testing.assert_equal(
        vars(smooth_survival_calibration(time, event, chance, horizon, entry=zero)),
        vars(smooth_survival_calibration(time, event, chance, horizon)),
    )
    thresholds = np.array([0.0, 0.2, 0.5, 0.99])
    np.testing.assert_equal(
        vars(survival_decision_curve(time, event, chance, horizon, thresholds, zero)),
        vars(survival_decision_curve(time, event, chance, horizon, thresholds)),
    )
    assert population_size(time, event, zero) == 200
    late, plain = (HorizonCases(time, event, x[:, 0], chance, horizon, e) for e in (zero, None))
    for metric in HORIZON_METRICS:
        if metric.name not in ("ipcw_c_index", "auc", "brier", "scaled_brier"):
            assert metric.of(late) == metric.of(plain)


def test_a_risk_set_that_died_out_says_nothing_of_those_who_entered_later() -> None:
    time, entry = np.array([1.0, 5.0, 6.0, 7.0]), np.array([0.0, 2.0, 2.0, 3.0])
    event = np.array([True, True, False, True])
    curve = product_limit(time, event, entry=entry)
    np.testing.assert_array_equal(curve.at(np.array([0.5, 1.0, 5.5, 9.0])), [1, np.nan, np.nan, np.nan])
    assert np.isnan(population_size(time, event, entry))
    found = aalen_johansen(time, event.astype(int), 1, entry)
    np.testing.assert_array_equal(found.at(np.array([0.5, 1.0, 5.5])), [[0, np.nan, np.nan]])
    whole = product_limit(time, np.ones(4, dtype=bool))
    np.testing.assert_array_equal(whole.at(np.array([7.0, 9.0])), [0, 0])

"""Risk groups, the log-rank test and the hazard ratio against lifelines, scikit-survival and plain loops."""

import math
import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lifelines import CoxPHFitter
from scipy.stats import chi2, norm
from sksurv.compare import compare_survival
from sksurv.linear_model import CoxPHSurvivalAnalysis
from sksurv.util import Surv

from prime.evaluation.stratification import hazard_ratio, high_risk, log_rank
from tests.evaluation.every_seed import every_seed


def outcomes(seed: int, n: int = 90) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Tied times; the high-risk group fares somewhat worse; three folds."""
    generator = np.random.default_rng(seed)
    high = generator.random(n) < 0.5
    time = np.ceil(generator.exponential(np.where(high, 12.0, 20.0)))
    return time, generator.random(n) < 0.6, high, generator.integers(0, 3, n)


def loop_log_rank(time: np.ndarray, event: np.ndarray, high: np.ndarray, strata: np.ndarray) -> float:
    excess = variance = 0.0
    for stratum in set(strata.tolist()):
        members = [i for i in range(len(time)) if strata[i] == stratum]
        for moment in {time[i] for i in members if event[i]}:
            risk_set = [i for i in members if time[i] >= moment]
            deaths = [i for i in risk_set if event[i] and time[i] == moment]
            n, n_high, d = len(risk_set), sum(bool(high[i]) for i in risk_set), len(deaths)
            excess += sum(bool(high[i]) for i in deaths) - d * n_high / n
            if n > 1:
                variance += d * n_high * (n - n_high) * (n - d) / (n * n * (n - 1))
    return excess**2 / variance


def efron_log_likelihood(
    beta: float, time: np.ndarray, event: np.ndarray, high: np.ndarray, strata: np.ndarray
) -> float:
    total = 0.0
    for stratum in set(strata.tolist()):
        rows = strata == stratum
        for moment in set(time[rows & event].tolist()):
            deaths = rows & event & (time == moment)
            at_risk = np.exp(beta * high[rows & (time >= moment)]).sum()
            dying = np.exp(beta * high[deaths]).sum()
            d = int(deaths.sum())
            total += beta * high[deaths].sum() - sum(math.log(at_risk - k / d * dying) for k in range(d))
    return total


def test_pooled_median_puts_ties_low() -> None:
    assert high_risk(np.array([1.0, 2.0, 3.0])).tolist() == [False, False, True]
    assert high_risk(np.array([1.0, 2.0, 2.0, 2.0])).tolist() == [False] * 4
    assert high_risk(np.array([4.0, 1.0, 2.0, 3.0])).tolist() == [True, False, False, True]
    assert high_risk(np.zeros(0)).tolist() == []


def test_a_fold_on_another_scale_is_split_at_its_own_median() -> None:
    risk = np.array([1.0, 2.0, 3.0, 4.0, 101.0, 102.0, 103.0, 104.0])
    fold = np.repeat(["a", "b"], 4)
    assert high_risk(risk).tolist() == [False] * 4 + [True] * 4
    assert high_risk(risk, fold).tolist() == [False, False, True, True] * 2
    order = np.random.default_rng(0).permutation(8)
    assert high_risk(risk[order], fold[order]).tolist() == high_risk(risk, fold)[order].tolist()


@every_seed(20)
def test_log_rank_equals_scikit_survival(seed: int) -> None:
    time, event, high, _ = outcomes(seed)
    found = log_rank(time, event, high)
    statistic, p_value = compare_survival(Surv.from_arrays(event, time), high)
    assert found.statistic == pytest.approx(statistic, abs=1e-10)
    assert found.p_value == pytest.approx(p_value, abs=1e-10)
    assert (found.n, found.events, found.reason) == (len(time), int(event.sum()), None)


@every_seed(10)
def test_stratified_log_rank_equals_a_loop(seed: int) -> None:
    time, event, high, strata = outcomes(seed)
    expected = loop_log_rank(time, event, high, strata)
    found = log_rank(time, event, high, strata)
    assert found.statistic == pytest.approx(expected, abs=1e-10)
    assert found.p_value == pytest.approx(chi2.sf(expected, 1), abs=1e-10)
    assert found.statistic != pytest.approx(log_rank(time, event, high).statistic, abs=1e-6)
    named = np.array(["x", "y", "z"])[strata]
    assert log_rank(time, event, high, named) == found


def test_strata_take_away_a_difference_that_is_only_between_folds() -> None:
    """One fold dies early and has all the high risks but one; within folds nothing differs."""
    time = np.concatenate([np.arange(1.0, 21.0), np.arange(101.0, 121.0)])
    event, fold = np.ones(40, dtype=bool), np.repeat([0, 1], 20)
    high = np.arange(40) % 4 == 1
    high[:20] |= np.arange(20) % 2 == 0
    assert log_rank(time, event, high).p_value < 0.05
    assert log_rank(time, event, high, fold).p_value > 0.3


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("stratified", [False, True])
def test_hazard_ratio_maximises_the_efron_likelihood(seed: int, stratified: bool) -> None:
    time, event, high, fold = outcomes(seed)
    strata = fold if stratified else np.zeros(len(time), dtype=int)
    found = hazard_ratio(time, event, high, strata if stratified else None)
    assert found.reason is None
    beta, step = math.log(found.ratio), 1e-3

    def likelihood(value: float) -> float:
        return efron_log_likelihood(value, time, event, high, strata)

    slope = (likelihood(beta + step) - likelihood(beta - step)) / (2 * step)
    curvature = (likelihood(beta + step) - 2 * likelihood(beta) + likelihood(beta - step)) / step**2
    assert slope == pytest.approx(0.0, abs=1e-3)
    error = 1 / math.sqrt(-curvature)
    assert math.log(found.high) - beta == pytest.approx(norm.ppf(0.975) * error, rel=1e-3)
    assert beta - math.log(found.low) == pytest.approx(norm.ppf(0.975) * error, rel=1e-3)
    assert found.p_value == pytest.approx(2 * norm.sf(abs(beta) / error), abs=1e-3)


def oracle(time: np.ndarray, event: np.ndarray, high: np.ndarray, strata: np.ndarray) -> pd.Series:
    """lifelines' stratified Cox fit, at a level of 90%."""
    table = pd.DataFrame({"time": time, "event": event, "high": high * 1.0, "stratum": strata})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of its 50 steps it may need all
        fitted = CoxPHFitter(alpha=0.1).fit(
            table, "time", "event", strata=["stratum"], fit_options={"precision": 1e-18, "r_precision": 1e-18}
        )
    return fitted.summary.loc["high"]


PATIENTS = st.lists(
    st.tuples(st.integers(0, 9), st.booleans(), st.booleans(), st.integers(0, 2)), min_size=12, max_size=40
)


@given(PATIENTS)
@settings(max_examples=25)
def test_hazard_ratio_equals_lifelines_and_scikit_survival(rows: list[tuple[int, bool, bool, int]]) -> None:
    """Ties, censoring and three strata; without strata scikit-survival agrees too."""
    time, event, high, strata = (np.array(column) for column in zip(*rows, strict=True))
    time = time.astype(float)
    found = hazard_ratio(time, event, high, strata, level=0.9)
    if found.reason is None:
        theirs = oracle(time, event, high, strata)
        expected = [theirs["coef"], theirs["coef lower 90%"], theirs["coef upper 90%"]]
        np.testing.assert_allclose(np.log([found.ratio, found.low, found.high]), expected, atol=1e-8)
        assert found.p_value == pytest.approx(theirs["p"], abs=1e-8)
    whole = hazard_ratio(time, event, high)
    if whole.reason is None:
        model = CoxPHSurvivalAnalysis(alpha=0, ties="efron", tol=1e-14, n_iter=500)
        model.fit(high[:, None] * 1.0, Surv.from_arrays(event, time))
        assert math.log(whole.ratio) == pytest.approx(model.coef_[0], abs=1e-8)


@given(seed=st.integers(0, 10_000))
@settings(max_examples=20)
def test_swapping_the_groups_inverts_the_ratio(seed: int) -> None:
    time, event, high, fold = outcomes(seed, 40)
    one, other = hazard_ratio(time, event, high, fold), hazard_ratio(time, event, ~high, fold)
    assert one.ratio == pytest.approx(1 / other.ratio, rel=1e-10, nan_ok=True)
    assert one.low == pytest.approx(1 / other.high, rel=1e-10, nan_ok=True)
    first, second = log_rank(time, event, high, fold), log_rank(time, event, ~high, fold)
    assert first.statistic == pytest.approx(second.statistic, nan_ok=True)


TIMES = np.array([1.0, 2.0, 3.0, 4.0])
ALL, NONE = np.ones(4, dtype=bool), np.zeros(4, dtype=bool)
HALF = np.array([True, True, False, False])


@pytest.mark.parametrize(
    ("event", "high", "reason"),
    [
        (ALL, NONE, "no patient in the high-risk group"),
        (ALL, ALL, "no patient in the low-risk group"),
        (NONE, HALF, "no events"),
        (~HALF, HALF, "no event while both groups were at risk"),
    ],
)
def test_undefined_tests_are_nan_with_the_reason(event: np.ndarray, high: np.ndarray, reason: str) -> None:
    test, ratio = log_rank(TIMES, event, high), hazard_ratio(TIMES, event, high)
    assert math.isnan(test.statistic)
    assert math.isnan(test.p_value)
    assert (test.n, test.events, test.reason) == (4, int(event.sum()), reason)
    assert all(math.isnan(value) for value in (ratio.ratio, ratio.low, ratio.high, ratio.p_value))
    assert ratio.reason == reason


def test_nobody_has_no_test() -> None:
    empty = np.zeros(0, dtype=bool)
    assert log_rank(np.zeros(0), empty, empty).reason == "no patient in the high-risk group"


def test_groups_that_differ_only_between_strata_say_nothing() -> None:
    assert log_rank(TIMES, ALL, HALF, np.array([0, 0, 1, 1])).reason is not None
    assert math.isnan(hazard_ratio(TIMES, ALL, HALF, np.array([0, 0, 1, 1])).ratio)


def test_perfect_separation_is_nan_and_not_a_huge_ratio() -> None:
    """The high-risk group has died before the first low-risk event: no finite maximum exists."""
    time, high = np.arange(1.0, 21.0), np.arange(20) < 10
    event = np.ones(20, dtype=bool)
    above, below = hazard_ratio(time, event, high), hazard_ratio(time, event, ~high)
    assert math.isnan(above.ratio)
    assert math.isnan(below.ratio)
    assert above.reason is not None
    assert below.reason is not None
    assert "perfect separation" in above.reason
    assert above.reason.endswith("high-risk group")
    assert below.reason.endswith("low-risk group")
    assert log_rank(time, event, high).reason is None


def test_a_ratio_is_given_where_events_alone_look_separated() -> None:
    """All low-risk patients and one of the high-risk ones die; the groups are not separated."""
    time = np.array([1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0])
    high = np.arange(10) % 2 == 0
    found = hazard_ratio(time, ~high | (np.arange(10) == 4), high)
    assert found.reason is None
    assert 0.0 < found.ratio < 1.0


def test_misuse_is_refused() -> None:
    with pytest.raises(ValueError, match="event must be bool"):
        log_rank(TIMES, np.ones(4), HALF)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="high must be bool"):
        hazard_ratio(TIMES, ALL, HALF[:2])
    with pytest.raises(ValueError, match="strata must be of shape"):
        log_rank(TIMES, ALL, HALF, np.zeros(3))
    with pytest.raises(ValueError, match="1 negative"):
        log_rank(-TIMES[:1], ALL[:1], HALF[:1])
    with pytest.raises(ValueError, match="finite"):
        high_risk(np.array([1.0, np.nan]))
    with pytest.raises(ValueError, match="fold must be of shape"):
        high_risk(np.ones(2), np.zeros(3))
    with pytest.raises(ValueError, match="level"):
        hazard_ratio(TIMES, ALL, HALF, level=0.0)

"""Decision curves against the package dcurves, and what must hold of them."""

import dcurves
import numpy as np
import pandas as pd
import pytest
from lifelines import AalenJohansenFitter

from prime.evaluation.decision_curve import (
    DecisionCurve,
    competing_decision_curve,
    decision_curve,
    survival_decision_curve,
)

THRESHOLDS = np.array([0.0, 0.05, 0.1, 0.2, 0.35, 0.5, 0.8])


def patients(seed: int, n: int = 120) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Times, causes 0 to 2 and a predicted risk that knows something."""
    rng = np.random.default_rng(seed)
    risk = rng.uniform(0.02, 0.98, n)
    first, second, censored = (
        rng.exponential(1 / (0.1 + 2 * risk)),
        rng.exponential(3, n),
        rng.exponential(2.5, n),
    )
    times = np.stack([censored, first, second])
    return times.min(axis=0), times.argmin(axis=0), risk


def oracle(frame: pd.DataFrame, **more: object) -> pd.DataFrame:
    found = dcurves.dca(data=frame, outcome="event", modelnames=["risk"], thresholds=THRESHOLDS, **more)
    return found.set_index(["model", "threshold"])


@pytest.mark.parametrize("seed", range(25))
def test_a_survival_curve_is_that_of_dcurves(seed: int) -> None:
    time, cause, risk = patients(seed)
    event = cause == 1
    found = survival_decision_curve(time, event, risk, 1.0, THRESHOLDS)
    frame = pd.DataFrame({"time": time, "event": event, "risk": risk})
    theirs = oracle(frame, time=1.0, time_to_outcome_col="time")
    model = theirs.loc["risk"]
    known = model["net_benefit"].notna().to_numpy()
    assert known[:4].all()
    close(found.net_benefit[known], model["net_benefit"][known])
    close(found.true_positive[known], model["tp_rate"][known])
    close(found.flagged, model["test_pos_rate"])
    close(found.treat_all, theirs.loc["all", "net_benefit"])
    np.testing.assert_allclose(found.avoided[1:4], net_avoided(theirs)[1:4], atol=1e-9)


def net_avoided(theirs: pd.DataFrame) -> np.ndarray:
    odds = THRESHOLDS / (1 - THRESHOLDS)
    with np.errstate(divide="ignore", invalid="ignore"):
        gain = theirs.loc["risk", "net_benefit"] - theirs.loc["all", "net_benefit"]
        return gain.to_numpy(dtype=float) / odds


def close(mine: np.ndarray, theirs: pd.Series) -> None:
    np.testing.assert_allclose(mine, theirs.to_numpy(dtype=float), rtol=0, atol=1e-9)


@pytest.mark.parametrize("seed", range(20))
def test_a_binary_curve_is_that_of_dcurves(seed: int) -> None:
    _, cause, risk = patients(seed)
    theirs = oracle(pd.DataFrame({"event": cause == 1, "risk": risk}))
    found = decision_curve(cause == 1, risk, THRESHOLDS)
    close(found.net_benefit, theirs.loc["risk", "net_benefit"])
    close(found.false_positive, theirs.loc["risk", "fp_rate"])
    close(found.treat_all, theirs.loc["all", "net_benefit"])


@pytest.mark.parametrize("seed", range(10))
def test_with_competing_events_the_flagged_have_an_aalen_johansen_risk(seed: int) -> None:
    time, cause, risk = patients(seed)
    found = competing_decision_curve(time, cause, risk, 1.0, THRESHOLDS, of=2)
    for k, limit in enumerate(THRESHOLDS[:5]):
        rows = risk >= limit
        fitted = AalenJohansenFitter(calculate_variance=False).fit(
            time[rows], cause[rows], event_of_interest=2
        )
        share = float(fitted.predict(1.0)) * rows.mean()
        benefit = share - (rows.mean() - share) * limit / (1 - limit)
        np.testing.assert_allclose(found.net_benefit[k], benefit, atol=1e-9)


def test_without_competing_events_both_curves_agree() -> None:
    time, cause, risk = patients(0)
    plain = survival_decision_curve(time, cause == 1, risk, 1.0, THRESHOLDS)
    competing = competing_decision_curve(time, (cause == 1).astype(int), risk, 1.0, THRESHOLDS)
    np.testing.assert_allclose(plain.net_benefit, competing.net_benefit)


def test_the_numbers_needed_follow_from_the_counts() -> None:
    label = np.repeat([True, False], [10, 90])
    sure = np.where(label, 0.9, 0.1)
    found = decision_curve(label, sure, np.array([0.5]))
    assert found.number_flagged[0] == pytest.approx(1)
    assert found.number_tested[0] == pytest.approx(10)  # ten patients tested find one, with no false alarm
    assert found.gain[0] == pytest.approx(0.1)
    useless = decision_curve(label, np.full(100, 0.1), np.array([0.05]))
    assert useless.gain[0] == pytest.approx(0)
    assert np.isnan(useless.number_tested[0])


def test_nobody_flagged_is_worth_nothing_and_nobody_at_all_is_undefined() -> None:
    found = decision_curve(np.array([True, False]), np.array([0.1, 0.2]), np.array([0.5]))
    assert found.net_benefit[0] == 0
    assert np.isnan(found.number_flagged[0])
    empty = decision_curve(np.empty(0, bool), np.empty(0), np.array([0.5]))
    assert np.isnan(empty.net_benefit).all()
    assert np.isnan(empty.treat_all).all()


@pytest.mark.parametrize("threshold", [1.0, -0.1, np.nan])
def test_thresholds_out_of_range_are_refused(threshold: float) -> None:
    with pytest.raises(ValueError, match="thresholds"):
        decision_curve(np.array([True]), np.array([0.5]), np.array([threshold]))


def test_a_gain_that_is_rounding_needs_no_number_of_patients() -> None:
    """Acting on those flagged is acting on everybody; the sums differ in the last digit alone."""
    nothing = np.array([0.1 + 0.2 - 0.3])
    curve = DecisionCurve(np.array([0.2]), *(np.ones(1) for _ in range(3)), nothing, np.zeros(1))
    assert curve.gain[0] > 0
    assert np.isnan(curve.number_tested[0])

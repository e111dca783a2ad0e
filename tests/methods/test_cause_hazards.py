"""Discrete cause-specific hazards against Aalen-Johansen, a naive loop, an optimiser and the truth."""

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lifelines import AalenJohansenFitter
from numpy.typing import NDArray
from scipy.optimize import minimize

from prime.evaluation.competing_risks import aalen_johansen
from prime.methods.statistics.cause_hazards import PENALTY, CauseHazards, bin_causes, fit_cause_hazards

Floats = NDArray[np.float64]


def patients(n: int, seed: int, causes: int = 2) -> tuple[Floats, Floats, NDArray[np.int64]]:
    """Scores (n, C), times and causes, in which each score raises its cause's hazard."""
    rng = np.random.default_rng(seed)
    scores = rng.normal(size=(n, causes))
    rates = np.exp(0.8 * scores) * np.linspace(1.0, 0.5, causes)
    event = rng.exponential(1 / rates) * 500
    censored = rng.exponential(900, n)
    first = event.min(axis=1)
    cause = np.where(first <= censored, event.argmin(axis=1) + 1, 0)
    return scores, np.minimum(first, censored) + 1, cause.astype(np.int64)


def ends_of(time: Floats, cause: NDArray[np.int64], bins: int) -> Floats:
    return np.unique(np.quantile(time[cause > 0], np.arange(1, bins + 1) / bins))


def naive_value(model: CauseHazards, scores: Floats, time: Floats, cause: NDArray[np.int64]) -> float:
    """The log likelihood, patient by patient and bin by bin."""
    total, starts = 0.0, np.append(0.0, model.ends[:-1])
    for i in range(len(time)):
        for k, (start, end) in enumerate(zip(starts, model.ends, strict=True)):
            if time[i] <= start:
                break
            odds = [
                model.odds[c, k] * np.exp(model.slope[c] * (scores[i, c] - model.centre[c]))
                for c in range(len(model.odds))
            ]
            here = time[i] <= end
            if here and cause[i]:
                total += np.log(odds[cause[i] - 1] / (1 + sum(odds)))
            else:
                share = (time[i] - start) / (end - start) if here else 1.0
                total += share * np.log(1 / (1 + sum(odds)))
    return total


@pytest.mark.parametrize("seed", range(20))
def test_without_scores_it_is_aalen_johansen(seed: int) -> None:
    """Times at the ends of bins; ties are lifelines' own to break, so each time is one patient's."""
    rng = np.random.default_rng(seed)
    n = 40
    time, cause = rng.permutation(n) + 1.0, rng.integers(0, 3, n)
    cause[time == n] = 0  # someone outlives everybody
    ends = np.sort(time[cause > 0])
    kept = np.flatnonzero((cause > 0) | np.isin(time, ends) | (time > ends[-1]))
    time, cause = time[kept].astype(np.float64), cause[kept]
    ends = ends.astype(np.float64)
    model = fit_cause_hazards(np.zeros((len(time), 2)), time, cause, ends)
    found = model.incidence(np.zeros((1, 2)))[0]
    for number in (1, 2):
        if not (cause == number).any():
            np.testing.assert_array_equal(found[number - 1], 0)
            continue
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            fitted = AalenJohansenFitter(calculate_variance=False).fit(time, cause, number)
        theirs = fitted.cumulative_density_.iloc[:, 0]
        np.testing.assert_allclose(found[number - 1], theirs.loc[ends].to_numpy(), atol=1e-6)


def test_delayed_entry_without_scores_is_aalen_johansen() -> None:
    rng = np.random.default_rng(3)
    time, cause = np.arange(10.0, 110.0), rng.integers(1, 3, 100)
    entry = np.floor(rng.uniform(0, 0.8, 100) * time)
    entry[:5] = 0
    ends = np.unique(np.concatenate([time, entry[entry > 0]]))
    model = fit_cause_hazards(np.zeros((100, 2)), time, cause, ends, entry)
    theirs = aalen_johansen(time, cause, entry=entry)
    found = model.incidence(np.zeros((1, 2)))[0]
    whole = theirs.survival[np.searchsorted(theirs.times, ends) - 1] > 0  # nobody is left in the last bin
    np.testing.assert_allclose(
        found[:, :-1][:, whole[:-1]], theirs.at(ends)[:, :-1][:, whole[:-1]], atol=1e-6
    )


@pytest.mark.parametrize("causes", [1, 2, 3])
def test_the_fit_is_the_maximum_of_a_naive_likelihood(causes: int) -> None:
    scores, time, cause = patients(150, causes, causes)
    ends = ends_of(time, cause, 3)
    model = fit_cause_hazards(scores, time, cause, ends)
    spread = scores.std(axis=0)

    def loss(point: Floats) -> float:
        slope = point[:causes]
        odds = np.exp(point[causes:].reshape(causes, len(ends)))
        other = CauseHazards(ends, odds, slope / spread, model.centre, model.lowest, model.highest)
        return -naive_value(other, scores, time, cause) + 0.5 * PENALTY * float(slope @ slope)

    start = np.append(model.slope * spread, np.log(model.odds).ravel())
    best = minimize(loss, np.zeros(len(start)), method="BFGS", options={"gtol": 1e-6})
    assert loss(start) == pytest.approx(best.fun, abs=1e-5)
    np.testing.assert_allclose(start, best.x, atol=2e-3)


def test_incidence_equals_a_naive_loop() -> None:
    scores, time, cause = patients(200, 5)
    model = fit_cause_hazards(scores, time, cause, ends_of(time, cause, 6))
    hazards, found = model.hazards(scores), model.incidence(scores)
    for i in range(0, 200, 17):
        free, total = 1.0, np.zeros(2)
        for k in range(len(model.ends)):
            total = total + free * hazards[i, :, k]
            free *= 1 - hazards[i, :, k].sum()
            np.testing.assert_allclose(found[i, :, k], total, atol=1e-12)


def test_the_truth_is_found() -> None:
    """Slopes of the simulation, and a mean incidence that is that of the patients."""
    scores, time, cause = patients(6000, 1)
    model = fit_cause_hazards(scores, time, cause, ends_of(time, cause, 30))
    np.testing.assert_allclose(model.slope, 0.8, atol=0.08)
    days = np.array([100.0, 300.0, 700.0])
    found = model.incidence_at(scores, days).mean(axis=0)
    np.testing.assert_allclose(found, aalen_johansen(time, cause, 2).at(days), atol=0.01)
    assert np.isnan(model.incidence_at(scores[:2], np.array([1e6]))).all()


def test_a_censored_patient_counts_by_the_share_of_the_bin() -> None:
    found = bin_causes(
        np.array([15.0, 15.0, 40.0]), np.array([0, 2, 1]), 2, np.array([10.0, 20.0]), np.array([0.0, 12, 5])
    )
    np.testing.assert_allclose(found.at_risk, [[1, 0.5], [0, 1], [0.5, 1]])
    assert found.came[1, 1, 1] == 1
    assert found.came.sum() == 1  # an event after the last end is not counted


def test_a_score_that_turns_the_order_keeps_a_rising_risk() -> None:
    scores, time, cause = patients(300, 2)
    model = fit_cause_hazards(-scores, time, cause, ends_of(time, cause, 5))
    assert (model.slope > 0).all()


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 12), st.integers(0, 3), st.floats(-3, 3)), min_size=4, max_size=40))
def test_probabilities_share_out_everybody(rows: list[tuple[int, int, float]]) -> None:
    time, cause, score = (np.array(column) for column in zip(*rows, strict=True))
    if not (cause > 0).any():
        cause[0] = 1
    time = time.astype(float)
    scores = np.stack([score, -score, np.zeros(len(score))], axis=1)
    model = fit_cause_hazards(scores, time, cause, np.unique(time[cause > 0]))
    found = model.incidence(scores)
    assert (found >= 0).all()
    assert (np.diff(found, axis=2) >= -1e-12).all()
    assert (found.sum(axis=1) <= 1 + 1e-9).all()

"""Uno's concordance, time-dependent AUC and Brier scores against scikit-survival and naive loops."""

import warnings

import numpy as np
import pytest
from sksurv import metrics as oracle
from sksurv.exceptions import NoComparablePairException
from sksurv.util import Surv

from prime.evaluation import survival_metrics
from prime.evaluation.product_limit import product_limit
from prime.evaluation.survival_metrics import (
    brier_score,
    integrated_brier_score,
    ipcw_concordance,
    largest_tau,
    time_dependent_auc,
)
from tests.evaluation.every_seed import every_seed

Fold = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]


def fold(seed: int) -> Fold:
    """Training and test patients with many ties; every fifth heavily censored, some degenerate."""
    generator = np.random.default_rng(seed)
    span = int(generator.integers(2, 50))
    shares = generator.random(2) * (0.15 if seed % 5 == 0 else 1.0)
    if seed % 7 == 0:
        shares[seed % 2] = seed % 3  # 0: no events; 1 or 2: no censoring
    m, n = int(generator.integers(1, 60)), int(generator.integers(1, 40))
    if seed % 11 == 0:
        n = 1
    train_time = generator.integers(1, span, m).astype(float)
    time = generator.integers(1, span, n).astype(float)
    if seed % 13 == 0:
        time[:] = time[0]
    if seed % 17 == 0:
        time = time + span  # beyond all training follow-up
    risk = generator.integers(0, int(generator.integers(2, 30)), n) / 4
    return train_time, generator.random(m) < shares[0], time, generator.random(n) < shares[1], risk


def asked_times(seed: int, time: np.ndarray) -> np.ndarray:
    generator = np.random.default_rng(seed + 10_000)
    grid = np.unique(generator.integers(0, time.max() + 2, int(generator.integers(1, 6))).astype(float))
    return grid + generator.choice([0.0, 0.5])


def surv(time: np.ndarray, event: np.ndarray) -> np.ndarray:
    return Surv.from_arrays(event, time)


def asked(function, *arguments):  # type: ignore[no-untyped-def]
    """What scikit-survival says, None where it raises or divides nothing by nothing."""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        try:
            return function(*arguments)
        except (ValueError, NoComparablePairException):
            return None


def cut(time: np.ndarray, event: np.ndarray, last: float) -> np.ndarray:
    """The test patients without what happened after the last evaluation time."""
    later = time > last
    return surv(time, event & ~later)


@every_seed(350)
def test_ipcw_concordance_equals_scikit_survival(seed: int) -> None:
    train_time, train_event, time, event, risk = fold(seed)
    found = ipcw_concordance(train_time, train_event, time, event, risk)
    limit = largest_tau(train_time, train_event, time, event)
    tau = None if np.isinf(limit) else limit
    expected = asked(
        oracle.concordance_index_ipcw, surv(train_time, train_event), surv(time, event), risk, tau
    )
    assert (found.n, found.events) == (len(time), int((event & (time < limit)).sum()))
    if expected is None or np.isnan(expected[0]):
        assert np.isnan(found.value)
        assert found.reason
        return
    assert found.reason is None
    assert found.value == pytest.approx(expected[0], abs=1e-12)


@every_seed(150)
def test_ipcw_concordance_with_tau_equals_scikit_survival(seed: int) -> None:
    train_time, train_event, time, event, risk = fold(seed)
    tau = float(np.random.default_rng(seed).integers(1, time.max() + 3))
    found = ipcw_concordance(train_time, train_event, time, event, risk, tau)
    expected = asked(
        oracle.concordance_index_ipcw, surv(train_time, train_event), surv(time, event), risk, tau
    )
    if expected is None or np.isnan(expected[0]):
        assert np.isnan(found.value)
        assert found.reason
    else:
        assert found.value == pytest.approx(expected[0], abs=1e-12)


def test_most_folds_are_defined() -> None:
    """The comparisons above must not pass because everything is NaN."""
    values = [ipcw_concordance(*fold(seed)).value for seed in range(350)]
    assert 150 < np.isfinite(values).sum() < 330
    several = [time_dependent_auc(*fold(s), asked_times(s, fold(s)[2])).values for s in range(200)]
    assert 200 < np.isfinite(np.concatenate(several)).sum() < sum(map(len, several)) - 100


def test_an_event_and_a_censoring_at_one_time_are_comparable() -> None:
    """The tie of scikit-survival's issue 428: ours is its value, Uno's strict formula gives survAUC's."""
    time = np.array([11.0, 11, 26, 89, 128, 299, 300])
    event = np.array([1, 0, 0, 1, 0, 1, 0], dtype=bool)
    risk = np.array([-0.02, 1.20, -0.56, -1.33, -0.81, 1.02, -1.29])
    found = ipcw_concordance(time, event, time, event, risk, 299.0).value
    assert found == pytest.approx(0.37426900584795325, abs=1e-12)
    free = product_limit(time, event, censoring=True).at(time)
    strict = right = 0.0
    for i in np.flatnonzero(event & (time < 299)):
        strict += (time > time[i]).sum() / free[i] ** 2
        right += ((time > time[i]) & (risk < risk[i])).sum() / free[i] ** 2
    assert right / strict == pytest.approx(0.4129032, abs=1e-7)
    split = np.where(np.arange(7) == 1, 11.5, time)
    untied = oracle.concordance_index_ipcw(surv(time, event), surv(split, event), risk, 299.0)[0]
    assert found == pytest.approx(untied, abs=1e-12)


def test_uno_undoes_the_censoring() -> None:
    """Censoring that hides the late, badly ranked events flatters Harrell; Uno's C is nearer the truth."""
    generator = np.random.default_rng(0)
    n = 2000
    death = generator.exponential(1.0, n)
    early = death < 0.5
    risk = np.where(early, -death, generator.normal(size=n)) + 0.0
    leaves = generator.exponential(0.6, n)
    time, event = np.minimum(death, leaves), death <= leaves
    tau = 2.0
    truth = ipcw_concordance(death, np.ones(n, bool), death, np.ones(n, bool), risk, tau).value
    plain = survival_metrics._weighted_pairs(
        time, event, risk, np.flatnonzero(event & (time < tau)), np.ones(n)
    )
    weighted = ipcw_concordance(time, event, time, event, risk, tau).value
    assert abs(weighted - truth) < 0.5 * abs(plain[1] / plain[0] - truth)


def test_pairs_in_chunks_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    seed = next(k for k in range(350) if ipcw_concordance(*fold(k)).events > 10)
    whole = ipcw_concordance(*fold(seed))
    monkeypatch.setattr(survival_metrics, "_CHUNK", 1)
    assert ipcw_concordance(*fold(seed)).value == pytest.approx(whole.value, abs=1e-12)


def test_a_value_below_one_half_is_reported_as_it_is() -> None:
    time, event = np.arange(1.0, 5.0), np.ones(4, dtype=bool)
    assert ipcw_concordance(time, event, time, event, time).value == 0.0
    assert (time_dependent_auc(time, event, time, event, time, np.array([2.0])).values == 0.0).all()


def test_undefined_concordance_gives_its_reason() -> None:
    time, both, none = np.array([3.0, 5.0]), np.array([True, True]), np.array([False, False])
    risk = np.zeros(2)
    assert ipcw_concordance(time, both, time[:1], both[:1], risk[:1]).reason == "fewer than two patients"
    assert ipcw_concordance(time, both, time[:0], both[:0], risk[:0]).reason == "fewer than two patients"
    assert ipcw_concordance(time, none, time, both, risk).reason == "no events among the training patients"
    assert ipcw_concordance(time[:0], none[:0], time, both, risk).reason is not None
    assert ipcw_concordance(time, both, time, none, risk).reason == "no events"
    assert ipcw_concordance(time, both, time, both, risk, 2.0).reason == "no events before tau"
    beyond = "tau is beyond the follow-up of the training patients"
    assert ipcw_concordance(time, both, time + 4, both, risk, 100.0).reason == beyond
    inside = "no events inside the follow-up of the training patients"
    assert ipcw_concordance(time, both, time + 4, both, risk).reason == inside
    assert ipcw_concordance(time, both, time * 0 + 3, both, risk).reason == "no comparable pair"


@every_seed(200)
def test_auc_equals_scikit_survival(seed: int) -> None:
    train_time, train_event, time, event, risk = fold(seed)
    grid = asked_times(seed, time)
    if seed % 2:
        risk = np.random.default_rng(seed).integers(0, 9, (len(time), len(grid))) / 4
    train = surv(train_time, train_event)
    found = time_dependent_auc(train_time, train_event, time, event, risk, grid)
    for k, t in enumerate(grid):
        one = risk if risk.ndim == 1 else risk[:, [k]]
        expected = asked(oracle.cumulative_dynamic_auc, train, cut(time, event, t), one, [t])
        if expected is None or np.isnan(expected[1]):
            assert np.isnan(found.values[k])
            assert found.reasons[k]
        else:
            assert found.values[k] == pytest.approx(expected[0][0], abs=1e-12)
            assert found.reasons[k] is None
    expected = asked(oracle.cumulative_dynamic_auc, train, cut(time, event, grid[-1]), risk, grid)
    assert (found.mean.n, found.mean.events) == (len(time), int(event.sum()))
    if expected is None or np.isnan(expected[1]):
        assert np.isnan(found.mean.value)
        assert found.mean.reason
    else:
        assert found.mean.value == pytest.approx(expected[1], abs=1e-12)
        assert found.mean.reason is None


def test_auc_needs_no_weight_after_its_time() -> None:
    """A last test event beyond the training follow-up: scikit-survival refuses, ours is unchanged."""
    time, event = np.arange(1.0, 9.0), np.ones(8, dtype=bool)
    risk = np.array([3.0, 1, 2, 5, 4, 1, 0, 2])
    train = time[:6], np.array([True, False, True, True, False, True])
    grid = np.array([2.0, 4.0])
    with pytest.raises(ValueError, match="largest observed"):
        oracle.cumulative_dynamic_auc(surv(*train), surv(time, event), risk, grid)
    found = time_dependent_auc(*train, time, event, risk, grid)
    expected, mean = oracle.cumulative_dynamic_auc(surv(*train), cut(time, event, 4.0), risk, grid)
    np.testing.assert_allclose(found.values, expected, atol=1e-12)
    assert found.mean.value == pytest.approx(mean, abs=1e-12)
    late = time_dependent_auc(*train, time, event, risk, np.array([2.0, 7.0]))
    assert late.reasons == (None, "an event outside the follow-up of the training patients")
    assert late.mean.reason == f"undefined at 1 of 2 times: {late.reasons[1]}"


@every_seed(200)
def test_brier_equals_scikit_survival(seed: int) -> None:
    train_time, train_event, time, event, _ = fold(seed)
    grid = asked_times(seed, time)
    survival = np.random.default_rng(seed).random((len(time), len(grid)))
    found = brier_score(train_time, train_event, time, event, survival, grid)
    free = product_limit(train_time, train_event, censoring=True).at(grid)
    train = surv(train_time, train_event)
    usable = np.isfinite(found)
    for k, t in enumerate(grid):
        # scikit-survival wants G at every test time; what comes after t may come just after it
        near = surv(np.where(time > t, min(t + 0.25, max(train_time.max(), t)), time), event)
        expected = asked(oracle.brier_score, train, near, survival[:, k], t)
        if t == train_time.max() and free[k] > 0:
            expected = None  # no such place after t: the loop below decides
            assert usable[k] == (train_event.any() and event.any() and time.min() <= t < time.max())
        elif expected is None or not free[k] > 0 or not event.any():
            assert not usable[k]
        else:
            assert found[k] == pytest.approx(expected[1][0], abs=1e-12)
        if usable[k]:
            loop = loop_brier(train_time, train_event, time, event, survival[:, k], t)
            assert found[k] == pytest.approx(loop, abs=1e-12)
    whole = integrated_brier_score(train_time, train_event, time, event, survival, grid)
    if usable.all() and len(grid) > 1:
        expected = asked(oracle.integrated_brier_score, train, surv(time, event), survival, grid)
        area = sum((found[k] + found[k + 1]) / 2 * (grid[k + 1] - grid[k]) for k in range(len(grid) - 1))
        assert whole.value == pytest.approx(area / (grid[-1] - grid[0]), abs=1e-12)
        assert expected is None or whole.value == pytest.approx(expected, abs=1e-12)
    else:
        assert np.isnan(whole.value)
        assert whole.reason


def loop_brier(train_time, train_event, time, event, survival, t) -> float:  # type: ignore[no-untyped-def]
    def free(at: float) -> float:
        value = 1.0
        for u in np.unique(train_time[~train_event & (train_time <= at)]):
            left = (train_time[~train_event & (train_time == u)]).size
            stayed = (train_time > u).sum() + left
            value *= 1 - left / stayed
        return value

    total = 0.0
    for i in range(len(time)):
        if time[i] > t:
            total += (1 - survival[i]) ** 2 / free(t)
        elif event[i]:
            total += survival[i] ** 2 / free(time[i])
    return total / len(time)


def test_brier_without_anybody_in_training_followed_so_far_is_undefined() -> None:
    """Where G is zero scikit-survival leaves those still alive out of the sum, and the score looks good."""
    train_time, train_event = np.array([1.0, 2.0]), np.array([True, False])
    time, event = np.array([1.0, 9.0, 9.0]), np.array([True, True, True])
    survival = np.zeros((3, 1))
    theirs = oracle.brier_score(surv(train_time, train_event), surv(time, event), survival, [5.0])[1]
    assert theirs[0] == 0.0
    assert np.isnan(brier_score(train_time, train_event, time, event, survival, np.array([5.0]))).all()
    both = integrated_brier_score(
        train_time, train_event, time, event, np.zeros((3, 2)), np.array([1.0, 5.0])
    )
    assert both.reason == "undefined at 1 of 2 times: a time beyond the follow-up of the training patients"
    one = integrated_brier_score(train_time, train_event, time, event, survival, np.array([1.0]))
    assert one.reason == "fewer than two times"


def test_bad_arguments_are_refused() -> None:
    time, event, risk = np.arange(1.0, 4.0), np.ones(3, dtype=bool), np.zeros(3)
    with pytest.raises(ValueError, match="event must be one bool"):
        ipcw_concordance(time, event, time, event.astype(int), risk)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="event must be one bool"):
        ipcw_concordance(time, event.astype(int), time, event, risk)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="risk must have shape"):
        ipcw_concordance(time, event, time, event, risk[:2])
    with pytest.raises(ValueError, match="risk has 1 values"):
        ipcw_concordance(time, event, time, event, np.array([0, np.nan, 0]))
    with pytest.raises(ValueError, match="increase strictly"):
        time_dependent_auc(time, event, time, event, risk, np.array([2.0, 2.0]))
    with pytest.raises(ValueError, match="at least one time"):
        time_dependent_auc(time, event, time, event, risk, np.array([]))
    with pytest.raises(ValueError, match="risk must have shape"):
        time_dependent_auc(time, event, time, event, np.zeros((3, 2)), np.array([2.0]))
    with pytest.raises(ValueError, match="within"):
        brier_score(time, event, time, event, np.full((3, 1), 1.5), np.array([2.0]))

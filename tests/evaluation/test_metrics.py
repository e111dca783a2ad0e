"""Concordance, AUROC and bootstrap against scikit-survival, lifelines and scikit-learn."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from lifelines.utils import concordance_index
from sklearn.metrics import roc_auc_score
from sksurv.metrics import concordance_index_censored

from prime.evaluation import metrics
from prime.evaluation.metrics import Score, auroc, bootstrap_interval, concordance, concordance_within
from tests.evaluation.every_seed import every_seed


def sample(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A small cohort with many ties in time and in risk; every fifth one heavily censored."""
    generator = np.random.default_rng(seed)
    n = int(generator.integers(2, 80))
    time = generator.integers(1, int(generator.integers(3, 60)), n).astype(float)
    event = generator.random(n) < (0.05 if seed % 5 == 0 else generator.random())
    risk = generator.integers(0, int(generator.integers(2, 40)), n) / 4
    return time, event, risk


def loop_concordance(time: np.ndarray, event: np.ndarray, risk: np.ndarray) -> float:
    points = pairs = 0.0
    for i in range(len(time)):
        for j in range(len(time)):
            if event[i] and (time[i] < time[j] or (time[i] == time[j] and not event[j])):
                pairs += 1
                points += 1.0 if risk[i] > risk[j] else 0.5 if risk[i] == risk[j] else 0.0
    return points / pairs if pairs else float("nan")


@every_seed(200)
def test_concordance_equals_outside_oracles(seed: int) -> None:
    time, event, risk = sample(seed)
    found = concordance(time, event, risk)
    assert (found.n, found.events) == (len(time), int(event.sum()))
    expected = loop_concordance(time, event, risk)
    if np.isnan(expected):
        assert np.isnan(found.value)
        assert found.reason in ("no events", "no comparable pair")
        return
    assert found.reason is None
    assert found.value == pytest.approx(expected, abs=1e-12)
    assert found.value == pytest.approx(concordance_index_censored(event, time, risk)[0], abs=1e-12)
    assert found.value == pytest.approx(concordance_index(time, -risk, event), abs=1e-12)


def test_concordance_in_chunks_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    time, event, risk = sample(11)
    whole = concordance(time, event, risk)
    monkeypatch.setattr(metrics, "_CHUNK", 1)
    assert concordance(time, event, risk) == whole


def test_a_value_below_one_half_is_reported_as_it_is() -> None:
    """A sibling project replaced any value below 0.5 by one minus it."""
    time, event = np.array([1.0, 2.0, 3.0]), np.array([True, True, True])
    assert concordance(time, event, np.array([1.0, 2.0, 3.0])).value == 0.0
    assert concordance(time, event, np.array([3.0, 2.0, 1.0])).value == 1.0
    assert auroc(np.array([True, False]), np.array([0.1, 0.9])).value == 0.0


def test_ties_by_hand() -> None:
    event = np.array([True, True])
    assert concordance(np.array([1.0, 2.0]), event, np.zeros(2)).value == 0.5
    at_once = concordance(np.array([2.0, 2.0]), event, np.array([1.0, 0.0]))
    assert np.isnan(at_once.value)
    assert at_once.reason == "no comparable pair"
    with_censored = concordance(np.array([2.0, 2.0]), np.array([True, False]), np.array([1.0, 0.0]))
    assert with_censored.value == 1.0


@pytest.mark.parametrize(
    ("time", "event", "reason"),
    [
        ([], [], "fewer than two patients"),
        ([3.0], [True], "fewer than two patients"),
        ([3.0, 4.0], [False, False], "no events"),
        ([3.0, 4.0], [False, True], "no comparable pair"),
    ],
)
def test_undefined_concordance_gives_its_reason(time: list[float], event: list[bool], reason: str) -> None:
    found = concordance(np.array(time), np.array(event, dtype=bool), np.zeros(len(time)))
    assert np.isnan(found.value)
    assert found.reason == reason
    assert found.n == len(time)


def test_masked_rows_have_no_effect() -> None:
    time, event, risk = sample(12)
    label = event
    mask = np.random.default_rng(0).random(len(time)) < 0.7
    spoiled_time, spoiled_risk = np.where(mask, time, np.nan), np.where(mask, risk, np.nan)
    flipped = np.where(mask, event, ~event)
    expected = concordance(time[mask], event[mask], risk[mask])
    assert concordance(spoiled_time, flipped, spoiled_risk, mask) == expected
    strata = np.arange(len(time)) % 3
    within = concordance_within(spoiled_time, flipped, spoiled_risk, strata, mask)
    assert within == concordance_within(time[mask], event[mask], risk[mask], strata[mask])
    assert auroc(flipped, spoiled_risk, mask) == auroc(label[mask], risk[mask])


def test_bad_arguments_are_refused() -> None:
    time, event, risk = sample(13)
    with pytest.raises(ValueError, match="event must be bool"):
        concordance(time, event.astype(int), risk)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="risk has 1 values that are not finite"):
        concordance(time, event, np.where(np.arange(len(risk)) == 0, np.nan, risk))
    with pytest.raises(ValueError, match="time has 1 values that are not finite"):
        concordance(np.where(np.arange(len(risk)) == 0, np.inf, time), event, risk)
    with pytest.raises(ValueError, match=r"risk .* as long"):
        concordance(time, event, risk[:-1])
    with pytest.raises(ValueError, match=r"mask .* as long"):
        concordance(time, event, risk, np.ones(1, dtype=bool))
    with pytest.raises(ValueError, match="one vector"):
        concordance(time[:, None], event[:, None], risk[:, None])
    with pytest.raises(ValueError, match="strata"):
        concordance_within(time, event, risk, np.zeros(1))
    with pytest.raises(ValueError, match="score has"):
        auroc(event, np.full(len(event), np.nan))


def test_within_strata_counts_no_pair_across_them() -> None:
    """Two folds, each ranked perfectly but on scales far apart: pooled looks poor, within is perfect."""
    generator = np.random.default_rng(3)
    time = generator.permutation(40).astype(float) + 1
    event = np.ones(40, dtype=bool)
    fold = np.arange(40) % 2
    risk = -time + 1000 * fold
    assert concordance(time, event, risk).value < 0.9
    assert concordance_within(time, event, risk, fold).value == 1.0


@every_seed(20)
def test_within_strata_equals_pairs_pooled(seed: int) -> None:
    time, event, risk = sample(seed)
    strata = np.array(["a", "b", "c"])[np.arange(len(time)) % 3]
    found = concordance_within(time, event, risk, strata)
    points = pairs = 0.0
    for name in "abc":
        rows = strata == name
        for i in np.flatnonzero(rows & event):
            for j in np.flatnonzero(rows):
                if time[i] < time[j] or (time[i] == time[j] and not event[j]):
                    pairs += 1
                    points += 1.0 if risk[i] > risk[j] else 0.5 if risk[i] == risk[j] else 0.0
    if pairs:
        assert found.value == pytest.approx(points / pairs, abs=1e-12)
    else:
        assert np.isnan(found.value)
    one = concordance_within(time, event, risk, np.zeros(len(time)))
    np.testing.assert_equal(one.value, concordance(time, event, risk).value)


@given(st.integers(0, 10_000))
def test_concordance_properties(seed: int) -> None:
    time, event, risk = sample(seed)
    found = concordance(time, event, risk).value
    if np.isnan(found):
        return
    assert 0 <= found <= 1
    assert concordance(time, event, -risk).value == pytest.approx(1 - found)
    assert concordance(time * 3 + 1, event, np.exp(risk)).value == pytest.approx(found)
    order = np.random.default_rng(seed).permutation(len(time))
    assert concordance(time[order], event[order], risk[order]).value == pytest.approx(found)


@every_seed(60)
def test_auroc_equals_scikit_learn(seed: int) -> None:
    _, label, score = sample(seed)
    found = auroc(label, score)
    assert (found.n, found.events) == (len(label), int(label.sum()))
    if 0 < label.sum() < len(label):
        assert found.value == pytest.approx(roc_auc_score(label, score), abs=1e-12)
        assert found.reason is None
    else:
        assert np.isnan(found.value)


@pytest.mark.parametrize(
    ("label", "reason"), [([], "nobody"), ([True, True], "no negative"), ([False, False], "no positive")]
)
def test_auroc_of_one_class_is_undefined(label: list[bool], reason: str) -> None:
    found = auroc(np.array(label, dtype=bool), np.zeros(len(label)))
    assert np.isnan(found.value)
    assert found.reason == reason


def test_bootstrap_covers_and_repeats() -> None:
    generator = np.random.default_rng(1)
    risk = generator.normal(size=120)
    time = generator.exponential(np.exp(-risk))
    event = generator.random(120) < 0.6
    value = concordance(time, event, risk).value
    found = bootstrap_interval(concordance, time, event, risk, replicates=300, seed=5)
    assert found.low < value < found.high
    assert 0.02 < found.high - found.low < 0.3
    assert (found.used, found.undefined) == (300, 0)
    assert found == bootstrap_interval(concordance, time, event, risk, replicates=300, seed=5)
    assert found != bootstrap_interval(concordance, time, event, risk, replicates=300, seed=6)
    narrower = bootstrap_interval(concordance, time, event, risk, replicates=300, seed=5, level=0.5)
    assert found.low < narrower.low < narrower.high < found.high


def test_bootstrap_of_a_mean_is_the_known_one() -> None:
    values = np.random.default_rng(2).normal(size=400)

    def mean(sample: np.ndarray) -> Score:
        return Score(float(sample.mean()), len(sample), 0)

    found = bootstrap_interval(mean, values, replicates=4000)
    half = 1.96 * values.std() / np.sqrt(400)
    assert found.low == pytest.approx(values.mean() - half, abs=0.01)
    assert found.high == pytest.approx(values.mean() + half, abs=0.01)


def test_bootstrap_resamples_rows_together() -> None:
    left = np.arange(30.0)

    def agree(a: np.ndarray, b: np.ndarray) -> Score:
        return Score(float((a == b).all()), len(a), 0)

    assert bootstrap_interval(agree, left, left.copy(), replicates=20).low == 1.0


def test_bootstrap_counts_undefined_replicates() -> None:
    time, event = np.arange(1.0, 7.0), np.array([True, False, False, False, False, False])
    found = bootstrap_interval(concordance, time, event, -time, replicates=200)
    assert found.undefined > 0
    assert found.used == 200 - found.undefined
    assert (found.low, found.high) == (1.0, 1.0)
    never = bootstrap_interval(concordance, time, np.zeros(6, dtype=bool), -time, replicates=50)
    assert np.isnan(never.low)
    assert (never.used, never.undefined) == (0, 50)
    empty = bootstrap_interval(concordance, time[:0], event[:0], time[:0], replicates=50)
    assert (empty.used, empty.undefined) == (0, 50)


def test_bootstrap_arguments_are_checked() -> None:
    with pytest.raises(ValueError, match="one length"):
        bootstrap_interval(concordance, np.zeros(3), np.zeros(2))
    with pytest.raises(ValueError, match="level"):
        bootstrap_interval(concordance, np.zeros(3), level=1.0)
    with pytest.raises(ValueError, match="replicates"):
        bootstrap_interval(concordance, np.zeros(3), replicates=0)


def test_pairs_are_those_that_can_be_compared() -> None:
    """Times 1 (event), 2 (censored), 3 (event), 4: the first event has three pairs, the second one."""
    time, event = np.array([1.0, 2.0, 3.0, 4.0]), np.array([True, False, True, False])
    assert concordance(time, event, -time).pairs == 4
    assert concordance_within(time, event, -time, np.array([0, 0, 1, 1])).pairs == 2
    assert concordance(time, event & False, -time).pairs == 0
    assert auroc(np.array([True] * 5 + [False] * 2), np.arange(7.0)).pairs == 10
    assert auroc(event[:1], time[:1]).pairs == 0

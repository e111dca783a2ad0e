"""Metrics within groups."""

import numpy as np
import pytest

from prime.evaluation.metrics import bootstrap_interval, concordance
from prime.evaluation.subgroups import within_groups


def test_each_group_is_scored_as_if_it_were_alone() -> None:
    rng = np.random.default_rng(0)
    time, event, risk = rng.exponential(1, 90), rng.random(90) < 0.6, rng.normal(size=90)
    group = np.array(["b", "a", ""])[rng.integers(0, 3, 90)]
    found = within_groups(concordance, group, time, event, risk, replicates=50, seed=3)
    assert [item.group for item in found] == ["a", "b"]
    for item in found:
        rows = [array[group == item.group] for array in (time, event, risk)]
        assert item.score == concordance(*rows)
        assert item.interval == bootstrap_interval(concordance, *rows, replicates=50, seed=3)
        assert item.interval.low <= item.score.value <= item.interval.high


def test_a_group_without_a_value_says_why() -> None:
    time, event = np.array([1.0, 2.0, 3.0]), np.array([True, False, False])
    found = within_groups(concordance, np.array(["a", "a", "b"]), time, event, -time, replicates=10)
    assert found[0].score.value == 1
    assert np.isnan(found[1].score.value)
    assert found[1].score.reason == "fewer than two patients"
    assert np.isnan(found[1].interval.low)


def test_lengths_that_disagree_are_refused() -> None:
    with pytest.raises(ValueError, match="groups"):
        within_groups(concordance, np.array(["a"]), np.zeros(2), np.zeros(2, bool), np.zeros(2))

"""Outcome labels at a horizon."""

import numpy as np
import pytest

from prime.evaluation.horizon import horizon_label


def test_horizon_labels() -> None:
    time = np.array([1.0, 1095, 1095, 1096, 1096, 1095.5, 0])
    event = np.array([True, True, False, True, False, False, False])
    label, known = horizon_label(time, event, 1095)
    assert label.tolist() == [True, True, False, False, False, False, False]
    assert known.tolist() == [True, True, False, True, True, True, False]
    assert label.dtype == known.dtype == np.bool_


def test_an_event_after_the_horizon_is_a_negative_and_early_censoring_is_left_out() -> None:
    generator = np.random.default_rng(0)
    time, event = generator.integers(0, 20, 300).astype(float), generator.random(300) < 0.5
    label, known = horizon_label(time, event, 10)
    for i in range(300):
        state = "unknown" if not event[i] and time[i] <= 10 else "event" if time[i] <= 10 else "free"
        assert (label[i], known[i]) == (state == "event", state != "unknown")


def test_bad_arguments_are_refused() -> None:
    label, score = np.array([True, False]), np.zeros(2)
    with pytest.raises(ValueError, match="time has 1"):
        horizon_label(np.array([1.0, np.nan]), label, 10)
    with pytest.raises(ValueError, match="horizon_days"):
        horizon_label(score, label, float("inf"))

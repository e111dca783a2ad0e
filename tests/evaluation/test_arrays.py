"""The checks of arrays say which argument is wrong and let the right ones through."""

import numpy as np
import pytest

from prime.evaluation import argument_checks as arrays


def test_right_arrays_come_back_in_the_type_of_the_equations() -> None:
    time, event = arrays.survival_arrays(np.array([1, 2]), np.array([True, False]))  # type: ignore[arg-type]
    assert (time.dtype, time.tolist()) == (np.float64, [1.0, 2.0])
    assert event.tolist() == [True, False]
    assert arrays.follow_up_times(np.zeros(1)).tolist() == [0.0]
    assert arrays.probability_vector(np.array([0.0, 1.0]), 2, "chance").tolist() == [0.0, 1.0]
    assert arrays.finite_vector(np.zeros(0), None, "risk").tolist() == []


def test_wrong_arrays_are_named() -> None:
    one, nan = np.ones(1), np.array([np.nan])
    with pytest.raises(ValueError, match="label must be one bool vector, found float64"):
        arrays.bool_vector(one, "label")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"high must be bool of shape \(2,\)"):
        arrays.sized_bool_vector(one > 0, 2, "high")
    with pytest.raises(ValueError, match="risk must have shape"):
        arrays.finite_vector(np.ones((2, 2)), None, "risk")
    with pytest.raises(ValueError, match="risk has 1 values that are not finite"):
        arrays.finite_vector(nan, 1, "risk")
    with pytest.raises(ValueError, match="time has 1 negative"):
        arrays.follow_up_times(-one)
    with pytest.raises(ValueError, match="chance must lie within"):
        arrays.probability_vector(2 * one, 1, "chance")
    with pytest.raises(ValueError, match="survival must lie within"):
        arrays.check_probabilities(nan, "survival")
    for level in (0.0, 1.0):
        with pytest.raises(ValueError, match="level"):
            arrays.check_level(level)

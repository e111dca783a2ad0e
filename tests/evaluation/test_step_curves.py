"""Steps and straight lines of a discrete-time prediction, by hand and against numpy."""

import numpy as np
import pytest

from prime.evaluation.step_curves import own_time_survival, step_survival

EDGES = np.array([-np.inf, 100.0, 200.0, 400.0, np.inf])
SURVIVAL = np.array([[0.9, 0.5, 0.4, 0.1], [1.0, 1.0, 0.0, 0.0]])


def test_step_survival_is_right_continuous() -> None:
    times = np.array([0.0, 99.0, 100.0, 199.9, 200.0, 400.0, 9999.0])
    found = step_survival(EDGES, SURVIVAL, times)
    assert found[0].tolist() == [1.0, 1.0, 0.9, 0.9, 0.5, 0.4, 0.4]
    assert found[1].tolist() == [1.0, 1.0, 1.0, 1.0, 1.0, 0.0, 0.0]
    ending = np.array([-np.inf, 100.0, 200.0, 400.0, 800.0])
    assert step_survival(ending, SURVIVAL, np.array([799.0, 800.0, 900.0]))[0].tolist() == [0.4, 0.1, 0.1]
    assert step_survival(EDGES, SURVIVAL, times[::-1])[0].tolist() == found[0][::-1].tolist()


def test_interpolated_survival_meets_the_steps_at_the_edges() -> None:
    times = np.array([-5.0, 0.0, 50.0, 100.0, 150.0, 300.0, 400.0, 9999.0])
    found = step_survival(EDGES, SURVIVAL, times, interpolate=True)
    np.testing.assert_allclose(found[0], [1.0, 1.0, 0.95, 0.9, 0.7, 0.45, 0.4, 0.4], atol=1e-12)
    at = EDGES[1:-1]
    np.testing.assert_allclose(step_survival(EDGES, SURVIVAL, at, True), step_survival(EDGES, SURVIVAL, at))
    for row in range(2):
        line = np.interp(times, [0.0, *at], [1.0, *SURVIVAL[row, :3]])
        np.testing.assert_allclose(found[row], line, atol=1e-12)
    from_fifty = np.array([50.0, 100.0, 200.0, 400.0, 800.0])
    np.testing.assert_allclose(
        step_survival(from_fifty, SURVIVAL, np.array([40.0, 75.0, 600.0]), True)[0], [1.0, 0.95, 0.25]
    )
    before = np.array([-np.inf, -10.0, 10.0])
    np.testing.assert_allclose(
        step_survival(before, SURVIVAL[:, :2], np.array([-11.0, -10.0, 0.0]), True)[0], [1.0, 0.9, 0.7]
    )
    one_bin = step_survival(np.array([-np.inf, np.inf]), SURVIVAL[:, :1], np.array([3.0]), True)
    assert (one_bin == 1.0).all()


@pytest.mark.parametrize("interpolate", [True, False])
def test_own_time_survival_is_the_diagonal(interpolate: bool) -> None:
    generator = np.random.default_rng(0)
    survival = np.sort(generator.random((30, 4)))[:, ::-1]
    time = generator.integers(0, 500, 30).astype(float)
    whole = step_survival(EDGES, survival, time, interpolate)
    found = own_time_survival(EDGES, survival, time, interpolate)
    np.testing.assert_array_equal(found, np.diag(whole))


def test_a_prediction_that_is_no_curve_is_refused() -> None:
    time = np.arange(1.0, 4.0)
    with pytest.raises(ValueError, match="one longer"):
        step_survival(EDGES[1:], SURVIVAL, time)
    with pytest.raises(ValueError, match="edges must increase"):
        step_survival(EDGES[::-1], SURVIVAL, time)
    with pytest.raises(ValueError, match="within"):
        step_survival(EDGES, SURVIVAL + 0.5, time)
    with pytest.raises(ValueError, match="time must have shape"):
        own_time_survival(EDGES, SURVIVAL, time)

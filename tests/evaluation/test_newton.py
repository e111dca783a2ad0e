"""Newton's method on functions whose maximum is known."""

import numpy as np

from prime.evaluation.newton import Derivatives, finite_maximum, maximise


def parabola(point: np.ndarray) -> Derivatives:
    curvature, centre = np.array([[2.0, 0.5], [0.5, 1.0]]), np.array([3.0, -1.0])
    away = point - centre
    return Derivatives(float(-0.5 * away @ curvature @ away), -curvature @ away, curvature)


def root_of_square(point: np.ndarray) -> Derivatives:
    """-sqrt(1 + (x - 9)^2): whole steps from 0 overshoot ever further."""
    away = point - 9.0
    length = np.sqrt(1 + away**2)
    return Derivatives(float(-length[0]), -away / length, np.diag(length**-3))


def line(point: np.ndarray) -> Derivatives:
    return Derivatives(float(point[0]), np.ones(1), np.zeros((1, 1)))


def drift(point: np.ndarray) -> Derivatives:
    """It rises for ever by steps of one."""
    slope = 1e40 * np.exp(-point)
    return Derivatives(float(-slope[0]), slope, np.diag(slope))


def test_a_parabola_takes_one_step() -> None:
    found = maximise(parabola, 2)
    np.testing.assert_allclose(found.point, [3.0, -1.0], rtol=1e-14)
    assert found.reached


def test_steps_that_overshoot_are_halved() -> None:
    found = finite_maximum(root_of_square, 1)
    assert found is not None
    np.testing.assert_allclose(found, 9.0, rtol=1e-14)


def test_without_a_maximum_there_is_none() -> None:
    assert finite_maximum(line, 1) is None
    assert not maximise(drift, 1).reached
    assert finite_maximum(drift, 1) is None

"""Which tiles count as tissue, against hand numbers and plain loops."""

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from prime.encode.slides.filters import CANNY_HIGH, CANNY_LOW, TissueTests, canny, entropy, grey


def test_entropy_by_hand() -> None:
    assert entropy(np.full((8, 8), 7, dtype=np.uint8)) == 0
    halves = np.repeat(np.array([[3], [200]], dtype=np.uint8), 8, axis=1)
    assert entropy(halves) == pytest.approx(1.0)
    assert entropy(np.arange(256, dtype=np.uint8).reshape(16, 16)) == pytest.approx(8.0)
    quarter = np.array([[0, 1, 1, 1]], dtype=np.uint8)
    assert entropy(quarter) == pytest.approx(0.25 * 2 + 0.75 * math.log2(4 / 3))


def test_grey_weighs_the_colours() -> None:
    pixels = np.array([[[255, 0, 0], [0, 255, 0], [0, 0, 255], [10, 20, 30]]], dtype=np.uint8)
    expected = [round(0.299 * r + 0.587 * g + 0.114 * b) for r, g, b in pixels[0].tolist()]
    assert grey(pixels)[0].tolist() == expected


def naive_canny(values: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Pixel by pixel: Sobel with repeated borders, the ridge along one of four directions, then growing."""
    height, width = values.shape

    def at(y: int, x: int) -> int:
        return int(values[min(max(y, 0), height - 1), min(max(x, 0), width - 1)])

    def slopes(y: int, x: int) -> tuple[int, int]:
        right = sum(w * (at(y + d, x + 1) - at(y + d, x - 1)) for d, w in ((-1, 1), (0, 2), (1, 1)))
        down = sum(w * (at(y + 1, x + d) - at(y - 1, x + d)) for d, w in ((-1, 1), (0, 2), (1, 1)))
        return down, right

    gradient = {(y, x): slopes(y, x) for y in range(height) for x in range(width)}
    strength = {place: abs(down) + abs(right) for place, (down, right) in gradient.items()}
    ridge: set[tuple[int, int]] = set()
    for (y, x), (down, right) in gradient.items():
        angle = math.degrees(math.atan2(abs(down), abs(right)))
        if angle < 22.5:
            step = (0, 1)
        elif angle > 67.5:
            step = (1, 0)
        else:
            step = (1, 1) if (down >= 0) == (right >= 0) else (1, -1)
        before = strength.get((y - step[0], x - step[1]), 0)
        after = strength.get((y + step[0], x + step[1]), 0)
        if strength[y, x] > before and strength[y, x] >= after and strength[y, x] > CANNY_LOW:
            ridge.add((y, x))
    growing = [place for place in ridge if strength[place] > CANNY_HIGH]
    found = set(growing)
    while growing:
        y, x = growing.pop()
        near = {(y + dy, x + dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1)}
        growing += near & ridge - found
        found |= near & ridge
    edges = np.zeros(values.shape, dtype=np.bool_)
    for place in found:
        edges[place] = True
    return edges


@pytest.mark.parametrize("seed", range(4))
def test_canny_agrees_with_a_loop(seed: int) -> None:
    generator = np.random.default_rng(seed)
    coarse = generator.integers(0, 60 + 60 * seed, (7, 9)).astype(np.uint8)
    values = coarse.repeat(5, axis=0).repeat(4, axis=1)
    found = canny(values)
    assert np.array_equal(found, naive_canny(values))
    assert 0 < found.mean() < 0.6


def test_canny_finds_one_line_at_a_step_and_none_in_the_flat() -> None:
    values = np.zeros((12, 12), dtype=np.uint8)
    assert not canny(values).any()
    values[:, 6:] = 80
    assert canny(values).sum(axis=1).tolist() == [1] * 12


def test_each_test_can_be_switched_off() -> None:
    flat = np.full((16, 16, 3), 200, dtype=np.uint8)
    ramp = np.repeat(np.arange(256, dtype=np.uint8).reshape(16, 16, 1), 3, axis=2)
    assert TissueTests().failed(flat) == "entropy"
    assert TissueTests(entropy_bits=None).failed(flat) is None
    assert TissueTests(entropy_bits=None, edges=0.02).failed(flat) == "edges"
    assert TissueTests(entropy_bits=8.0).failed(ramp) is None
    assert TissueTests(entropy_bits=8.01).failed(ramp) == "entropy"

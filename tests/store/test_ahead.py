"""Batches made ahead: order, bounds and errors."""

import threading
import time
from collections.abc import Iterator

import pytest

from prime.store.ahead import made_ahead


@pytest.mark.parametrize("workers", [0, 1, 3])
def test_everything_comes_once_and_in_order(workers: int) -> None:
    def slow(number: int) -> int:
        time.sleep(0.01 * (number % 3))
        return number * number

    assert list(made_ahead(slow, range(12), workers)) == [n * n for n in range(12)]
    assert list(made_ahead(slow, [], workers)) == []


@pytest.mark.parametrize("workers", [0, 1, 2])
def test_no_more_than_the_workers_are_ahead(workers: int) -> None:
    made: list[int] = []

    def make(number: int) -> int:
        made.append(number)
        return number

    for asked, _ in enumerate(made_ahead(make, range(10), workers)):
        time.sleep(0.005)
        assert len(made) <= asked + 1 + workers


def test_it_works_while_the_reader_does() -> None:
    ready = threading.Event()

    def make(number: int) -> int:
        if number == 1:
            ready.set()
        return number

    batches = made_ahead(make, range(3), 1)
    assert next(batches) == 0
    assert ready.wait(5)


@pytest.mark.parametrize("workers", [0, 1, 3])
def test_an_error_reaches_the_reader_at_its_place(workers: int) -> None:
    def make(number: int) -> int:
        if number == 2:
            raise ValueError("the third")
        return number

    batches: Iterator[int] = made_ahead(make, range(6), workers)
    assert [next(batches), next(batches)] == [0, 1]
    with pytest.raises(ValueError, match="the third"):
        next(batches)


def test_a_reader_that_stops_leaves_no_thread() -> None:
    before = threading.active_count()
    batches = made_ahead(lambda n: n, range(100), 3)
    next(batches)
    batches.close()  # type: ignore[attr-defined]
    assert threading.active_count() == before

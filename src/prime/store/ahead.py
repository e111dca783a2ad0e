"""Batches made ahead of the step that reads them, in an order that nothing but the plan decides."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Made = TypeVar("Made")


def made_ahead(make: Callable[[Item], Made], items: Iterable[Item], workers: int) -> Iterator[Made]:
    """`make(item)` of all items in their order, `workers` of them at a time while the reader works.

    Threads, not processes: what they do is copying and arithmetic outside the interpreter's lock, and a batch
    of the paper's size (260 MB) does not fit into the shared memory that containers often have. With no
    workers everything is made when it is asked for. An error of `make` reaches the reader at its place.
    """
    if workers < 1:
        yield from map(make, items)
        return
    waiting: deque[Future[Made]] = deque()
    with ThreadPoolExecutor(workers, thread_name_prefix="batch") as pool:
        try:
            for item in items:
                waiting.append(pool.submit(make, item))
                if len(waiting) > workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for left in waiting:
                left.cancel()

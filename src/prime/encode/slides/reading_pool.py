"""Reading a slide in several processes: results in the order of the tasks, few in memory at once."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future
from concurrent.futures.process import BrokenProcessPool
from functools import lru_cache
from typing import TypeVar, cast

from joblib.externals.loky import ProcessPoolExecutor

from prime.encode.slides.grid import TileGrid
from prime.errors import InputError

AHEAD = 2  # tasks per process that are under way or whose result waits to be used
IDLE_S = 60  # a reading process ends after so long without work

Task = TypeVar("Task")
Result = TypeVar("Result")
Work = Callable[[TileGrid, Task], Result]


class ReadingPool:
    """Does tasks here (`pool` None) or in other processes, at most `AHEAD` per process at a time."""

    def __init__(self, pool: Executor | None, processes: int) -> None:
        self._pool = pool
        self._window = AHEAD * processes

    def map(self, work: "Work[Task, Result]", grid: TileGrid, tasks: Iterable[Task]) -> Iterator[Result]:
        """Yield the result of each task, in their order. Raises InputError where a process was killed."""
        if self._pool is None:
            yield from (work(grid, task) for task in tasks)
            return
        waiting: deque[Future[Result]] = deque()
        try:
            for task in tasks:
                if len(waiting) == self._window:
                    yield waiting.popleft().result()
                waiting.append(self._pool.submit(work, grid, task))
            while waiting:
                yield waiting.popleft().result()
        except BrokenProcessPool:
            reading_processes.cache_clear()  # the next slide starts others
            raise InputError(f"{grid.path}: a reading process was killed; use fewer --workers") from None
        finally:
            for future in waiting:
                future.cancel()


def reading_pool(processes: int) -> ReadingPool:
    """A pool of so many processes, this one alone for 1. The processes are kept for the next slide."""
    return ReadingPool(reading_processes(processes) if processes > 1 else None, max(1, processes))


@lru_cache(maxsize=1)
def reading_processes(count: int) -> Executor:
    """Processes that start when there is work.

    They are joblib's, since those of the standard library cannot be started from one of joblib's.
    """
    return cast(Executor, ProcessPoolExecutor(count, timeout=IDLE_S))

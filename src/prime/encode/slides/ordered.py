"""Tasks on one slide in this process or several: results in the tasks' order, few of them held at once."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future
from concurrent.futures.process import BrokenProcessPool
from functools import lru_cache
from typing import TypeVar, cast

from joblib.externals.loky import ProcessPoolExecutor

from prime.encode.slides.grid import TileGrid
from prime.errors import InputError

AHEAD = 2  # tasks a process, at work or waiting to be fetched
IDLE_S = 60  # after which a reading process without work ends

Task = TypeVar("Task")
Result = TypeVar("Result")
Work = Callable[[TileGrid, Task], Result]


class Readers:
    """Does tasks in order, here or in several processes; at most `AHEAD` results a process are held."""

    def __init__(self, pool: Executor | None, processes: int) -> None:
        self._pool = pool
        self._window = AHEAD * processes

    def map(self, work: "Work[Task, Result]", grid: TileGrid, tasks: Iterable[Task]) -> Iterator[Result]:
        """Yield each task's result, in the tasks' order. Raises InputError where a process was killed."""
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


def readers(processes: int) -> Readers:
    """`processes` reading processes, or none for 1; the next slide finds them still there."""
    return Readers(reading_processes(processes) if processes > 1 else None, max(1, processes))


@lru_cache(maxsize=1)
def reading_processes(count: int) -> Executor:
    """The reading processes of this one, started when there is work and kept for the next slide.

    They are joblib's, since those of the standard library can't be started from a process of joblib's.
    """
    return cast(Executor, ProcessPoolExecutor(count, timeout=IDLE_S))

"""Progress of long work: bars in a terminal, a line a minute in a log file."""

import threading
import time
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import timedelta
from typing import Any, TypeVar

from rich.filesize import decimal
from rich.progress import BarColumn, MofNCompleteColumn, Progress, Task, TextColumn, TimeRemainingColumn

EVERY = 60.0  # seconds

_T = TypeVar("_T")
_active: ContextVar[Progress | None] = ContextVar("prime_progress", default=None)


class LongProgress(Progress):
    """A progress display that also serves where there is no terminal, as in the log of a cluster's queue.

    A task's field `bytes=True` says that its numbers are bytes, `parts` is a text that is shown behind them.
    """

    def __init__(self, *columns: Any, every: float = EVERY, **options: Any) -> None:
        super().__init__(*columns, **options)
        self.every, self.over = every, threading.Event()
        self.thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin to show progress."""
        super().start()
        seen = self.console.is_terminal or self.console.is_jupyter
        if not (self.disable or seen):
            self.over.clear()
            self.thread = threading.Thread(target=self._log, daemon=True)
            self.thread.start()

    def stop(self) -> None:
        """End it, with the last state."""
        self.over.set()
        if self.thread is not None:
            self.thread.join()
        super().stop()

    def _log(self) -> None:
        began = time.monotonic()
        first = {task.id: task.completed for task in self.tasks}
        while not self.over.wait(self.every):
            for task in self.tasks:
                start = first.setdefault(task.id, task.completed)
                self.console.print(log_line(task, start, time.monotonic() - began), highlight=False)


def log_line(task: Task, first: float, seconds: float) -> str:
    """One line of a log: what is done, for how long, and how much longer if it goes on like this.

    Args:
        task: of a progress display.
        first: what was done when the watch began, `seconds` ago.
    """
    show = decimal if task.fields.get("bytes") else "{:,.0f}".format
    total = "" if task.total is None else f" of {show(int(task.total))}"
    line = f"{task.description}: {show(int(task.completed))}{total} after {_duration(seconds)}"
    gained = task.completed - first
    if task.total is not None and gained > 0 and task.completed < task.total:
        line += f", about {_duration(seconds * (task.total - task.completed) / gained)} left"
    return f"{line} {task.fields.get('parts', '')}".rstrip()


def _duration(seconds: float) -> str:
    return str(timedelta(seconds=round(seconds)))


@contextmanager
def progress_display(shown: bool = True) -> Generator[Progress]:
    """The display in use, or a new one for the length of the block (without output where not shown)."""
    outer = _active.get()
    if outer is not None:
        yield outer
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with LongProgress(*columns, disable=not shown) as display:
        token = _active.set(display)
        try:
            yield display
        finally:
            _active.reset(token)


def tracked(items: Iterable[_T], description: str, total: int) -> Iterator[_T]:
    """Yield the items, with a progress bar while it lasts."""
    with progress_display() as display:
        task = display.add_task(description, total=total)
        for item in items:
            yield item
            display.advance(task)
        display.remove_task(task)

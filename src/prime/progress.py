"""Progress of long work, on stderr: bars in a terminal, a line a minute in a log file."""

import sys
import threading
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import timedelta
from importlib.util import find_spec
from typing import TypeVar

from rich.console import Console
from rich.filesize import decimal
from rich.progress import (
    BarColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

LOG_EVERY_S = 60.0
WATCH_EVERY_S = 1.0

_T = TypeVar("_T")


class _AmountColumn(ProgressColumn):
    """What is done of the total; for bytes also the speed."""

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        tail = f" ({decimal(int(speed))}/s)" if task.fields.get("bytes") and speed else ""
        return Text(_amount(task) + tail, style="progress.download")


class LongProgress(Progress):
    """A display of bars that also serves where there is no terminal, as in the log of a cluster's queue.

    A task's field `bytes=True` says that its numbers are bytes; `parts` is a text that is shown behind them.
    """

    def __init__(self, console: Console, shown: bool = True, log_every_s: float = LOG_EVERY_S) -> None:
        super().__init__(
            TextColumn("{task.description}"), BarColumn(bar_width=20), _AmountColumn(), TimeElapsedColumn(),
            TextColumn("left"), TimeRemainingColumn(), TextColumn("{task.fields[parts]}"),
            console=console, disable=not shown,
        )  # fmt: skip
        self.log_every_s, self.over = log_every_s, threading.Event()
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
        if self.tasks:
            super().stop()
        else:
            self.live.stop()  # Progress.stop would write an empty line into a log

    def _log(self) -> None:
        began = time.monotonic()
        first = {task.id: task.completed for task in self.tasks}
        while not self.over.wait(self.log_every_s):
            for task in self.tasks:
                start = first.setdefault(task.id, task.completed)
                self.console.print(log_line(task, start, time.monotonic() - began), highlight=False)


def log_line(task: Task, first: float, seconds: float) -> str:
    """One line of a log: what is done, for how long, and how much longer if it goes on like this.

    Args:
        task: of a progress display.
        first: what was done when the watch began, `seconds` ago.
    """
    line = f"{task.description}: {_amount(task)} after {_duration(seconds)}"
    gained = task.completed - first
    if task.total is not None and gained > 0 and task.completed < task.total:
        line += f", about {_duration(seconds * (task.total - task.completed) / gained)} left"
    return f"{line} {task.fields.get('parts', '')}".rstrip()


def _amount(task: Task) -> str:
    show = decimal if task.fields.get("bytes") else "{:,}".format
    total = "" if task.total is None else f" of {show(int(task.total))}"
    return f"{show(int(task.completed))}{total}"


def _duration(seconds: float) -> str:
    return str(timedelta(seconds=round(seconds)))


_active: ContextVar[LongProgress | None] = ContextVar("prime_progress", default=None)


@contextmanager
def progress_display(shown: bool = True) -> Generator[LongProgress]:
    """The display in use, or a new one for the length of the block; where not `shown`, one without output."""
    outer = _active.get()
    if outer is not None and shown:
        yield outer
        return
    with LongProgress(_console(), shown) as display:
        token = _active.set(display)
        try:
            yield display
        finally:
            _active.reset(token)


def _console() -> Console:
    """Of stderr; a notebook without widgets is a log file, though its kernel claims to be a terminal."""
    if "ipykernel.kernelapp" in sys.modules and find_spec("ipywidgets") is None:
        return Console(stderr=True, force_jupyter=False, force_terminal=False)
    return Console(stderr=True)


def tracked(items: Sequence[_T], description: str | Callable[[_T], str], shown: bool = True) -> Iterator[_T]:
    """Yield the items, with a bar while it lasts; `description` may depend on the item in work."""
    with progress_display(shown) as display:
        task = display.add_task("", total=len(items), parts="")
        try:
            for item in items:
                text = description if isinstance(description, str) else description(item)
                display.update(task, description=text)
                yield item
                display.advance(task)
        finally:
            display.remove_task(task)


@contextmanager
def watched(done: Callable[[], int], total: int, description: str) -> Generator[None]:
    """A bar that asks every second how many of `total` are done, here or on other machines."""
    over = threading.Event()
    with progress_display() as display:
        task = display.add_task(description, total=total, completed=done(), parts="")

        def watch() -> None:
            while not over.wait(WATCH_EVERY_S):
                display.update(task, completed=done())

        thread = threading.Thread(target=watch, daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()
            display.update(task, completed=done())

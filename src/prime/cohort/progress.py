"""One progress display at a time: work within work adds its line to the display that is already shown."""

from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeVar

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from prime.progress import LongProgress

_T = TypeVar("_T")
_active: ContextVar[Progress | None] = ContextVar("prime_progress", default=None)


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

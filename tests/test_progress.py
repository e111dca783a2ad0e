"""Progress in a terminal is a bar, in a log file a line now and then."""

import time
from io import StringIO

import pytest
from rich.console import Console
from rich.progress import Progress

from prime.progress import LongProgress, log_line


def output(terminal: bool) -> str:
    """What a display leaves that is watched while two of four things are done, then the rest."""
    console = Console(file=StringIO(), force_terminal=terminal, width=100)
    with LongProgress(console=console, every=0.01) as progress:
        task = progress.add_task("fits", total=4, parts="loss 0.5")
        time.sleep(0.05)
        progress.advance(task, 2)
        time.sleep(0.2)
        progress.advance(task, 2)
    assert isinstance(console.file, StringIO)
    return console.file.getvalue()


def test_a_log_file_gets_lines() -> None:
    assert "fits: 2 of 4 after 0:00:00, about 0:00:00 left loss 0.5\n" in output(terminal=False)


def test_a_terminal_gets_a_bar_alone() -> None:
    assert " after " not in output(terminal=True)


@pytest.mark.parametrize(
    ("done", "total", "first", "fields", "line"),
    [
        (30, 130, 10, {}, "x: 30 of 130 after 0:01:00, about 0:05:00 left"),
        (10, 130, 10, {}, "x: 10 of 130 after 0:01:00"),
        (130, 130, 10, {}, "x: 130 of 130 after 0:01:00"),
        (1234, None, 0, {"parts": "loss 1"}, "x: 1,234 after 0:01:00 loss 1"),
        (2_000_000, 4_000_000, 0, {"bytes": True}, "x: 2.0 MB of 4.0 MB after 0:01:00, about 0:01:00 left"),
    ],
)
def test_log_line(done: int, total: int | None, first: int, fields: dict[str, object], line: str) -> None:
    progress = Progress(disable=True)
    task = progress.add_task("x", total=total, completed=done, **fields)
    assert log_line(progress.tasks[task], first, 60.0) == line

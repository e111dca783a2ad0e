"""Progress in a terminal is a bar, in a log file a line now and then."""

import sys
import time
from io import StringIO
from types import ModuleType

import pytest
from rich.console import Console
from rich.progress import Progress

from prime import progress as progress_module
from prime.progress import LongProgress, log_line, progress_display, tracked, watched


def output(terminal: bool) -> str:
    """What a display leaves that is watched while two of four things are done, then the rest."""
    console = Console(file=StringIO(), force_terminal=terminal, width=100)
    with LongProgress(console, log_every_s=0.01) as progress:
        task = progress.add_task("fits", total=4, parts="loss 0.5")
        time.sleep(0.05)
        progress.advance(task, 2)
        time.sleep(0.2)
        progress.advance(task, 2)
    assert isinstance(console.file, StringIO)
    return console.file.getvalue()


def test_a_log_file_gets_lines() -> None:
    assert "fits: 2 of 4 after 0:00:00, about 0:00:00 left loss 0.5\n" in output(terminal=False)


def test_bytes_are_shown_with_their_unit() -> None:
    console = Console(file=StringIO(), force_terminal=True, width=120)
    with LongProgress(console) as progress:
        progress.add_task("fetching", total=4_000_000, completed=2_000_000, bytes=True, parts="")
    assert isinstance(console.file, StringIO)
    assert "2.0 MB of 4.0 MB" in console.file.getvalue()


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


def test_tracked_names_the_item_in_work_and_leaves_no_bar() -> None:
    seen: list[tuple[str, float]] = []
    with progress_display() as display:
        for item in tracked(["a", "b"], lambda name: f"reading {name}"):
            (task,) = display.tasks
            seen.append((f"{item}: {task.description}", task.completed))
        assert not display.tasks
    assert seen == [("a: reading a", 0), ("b: reading b", 1)]


def test_an_error_in_a_tracked_loop_ends_its_display() -> None:
    def fail_at_two() -> None:
        for item in tracked([1, 2], "counting"):
            if item == 2:
                raise ValueError("second")

    with pytest.raises(ValueError, match="second"):
        fail_at_two()
    with progress_display() as first, progress_display() as inner:
        assert inner is first
        assert not first.tasks


def test_what_is_not_shown_has_a_display_of_its_own() -> None:
    with progress_display() as outer:
        for _ in tracked([1], "inner", shown=False):
            assert not outer.tasks


def test_a_notebook_without_widgets_is_a_log_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")  # as kernels are started
    monkeypatch.delitem(sys.modules, "ipykernel.kernelapp", raising=False)
    assert progress_module._console().is_terminal
    monkeypatch.setitem(sys.modules, "ipykernel.kernelapp", ModuleType("ipykernel.kernelapp"))
    monkeypatch.setattr(progress_module, "find_spec", lambda name: None)
    console = progress_module._console()
    assert (console.is_terminal, console.is_jupyter, console.stderr) == (False, False, True)


def test_watched_asks_how_much_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress_module, "WATCH_EVERY_S", 0.01)
    done = 1
    with progress_display() as display:
        with watched(lambda: done, 3, "fits"):
            (task,) = display.tasks
            assert task.completed == 1
            done = 2
            for _ in range(500):
                if task.completed == 2:
                    break
                time.sleep(0.01)
            assert task.completed == 2
            done = 3
        assert task.completed == 3


@pytest.mark.parametrize("shown", [True, False])
def test_nothing_is_left_in_a_log_when_all_is_done(capsys: pytest.CaptureFixture[str], shown: bool) -> None:
    assert list(tracked("abc", "letters", shown)) == ["a", "b", "c"]
    assert capsys.readouterr().err == ""

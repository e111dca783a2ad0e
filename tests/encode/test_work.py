"""Work on many files: what is done is skipped, what is broken is told, and nothing else suffers."""

from io import StringIO
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from rich.console import Console

from prime.encode.work import FAILURES, Failure, Piece, facts_of, report, run_pieces
from prime.errors import InputError
from prime.files import write_text
from prime.job_pool import JobPool


def shout(piece: Piece) -> dict[str, Any]:
    """Upper case, with a note of each call beside the output."""
    text = piece.inputs[0].read_text(encoding="utf-8")
    if "broken" in text:
        raise InputError(f"{piece.inputs[0].name}: broken")
    write_text(piece.outputs[0], text.upper())
    calls = piece.outputs[0].with_suffix(".calls")
    calls.write_text((calls.read_text() if calls.is_file() else "") + "x")
    return {"length": len(text)}


def defective(piece: Piece) -> dict[str, Any]:
    raise ZeroDivisionError


@pytest.fixture
def pieces(tmp_path: Path) -> list[Piece]:
    found: list[Piece] = []
    for name in ("a", "b", "c", "d"):
        source = tmp_path / "in" / f"{name}.txt"
        write_text(source, f"text of {name}")
        found.append(Piece(name, (source,), (tmp_path / "out" / f"{name}.txt",)))
    return found


def run(pieces: list[Piece], settings: Any = 1, jobs: int | None = None, do: Any = shout) -> list[Failure]:
    out = pieces[0].outputs[0].parent
    done, failures = run_pieces(pieces, do, out, settings, JobPool(jobs), "shout")
    assert [piece.name for piece in done] == sorted({p.name for p in pieces} - {f.name for f in failures})
    return failures


def calls(pieces: list[Piece]) -> list[int]:
    return [len(p.outputs[0].with_suffix(".calls").read_text()) for p in pieces]


@pytest.mark.parametrize("jobs", [None, 2])
def test_all_is_done_once(pieces: list[Piece], jobs: int | None) -> None:
    assert run(pieces, jobs=jobs) == []
    assert [p.outputs[0].read_text() for p in pieces] == [f"TEXT OF {n}" for n in "ABCD"]
    assert run(pieces, jobs=jobs) == []
    assert calls(pieces) == [1, 1, 1, 1]
    assert facts_of(pieces[0], pieces[0].outputs[0].parent) == {"length": 9}


def test_what_changed_is_done_again(pieces: list[Piece]) -> None:
    run(pieces)
    write_text(pieces[1].inputs[0], "another text")
    pieces[2].outputs[0].unlink()
    (pieces[3].outputs[0].parent / ".encode" / "d.json").write_text("{", encoding="utf-8")
    run(pieces)
    assert calls(pieces) == [1, 2, 2, 2]
    assert pieces[1].outputs[0].read_text() == "ANOTHER TEXT"
    run(pieces, settings=2)
    assert calls(pieces) == [2, 3, 3, 3]


def test_touching_a_file_is_no_change(pieces: list[Piece]) -> None:
    run(pieces)
    pieces[0].inputs[0].touch()
    run(pieces)
    assert calls(pieces) == [1, 1, 1, 1]


@pytest.mark.parametrize("jobs", [None, 2])
def test_the_broken_is_told_and_the_rest_is_done(pieces: list[Piece], jobs: int | None) -> None:
    write_text(pieces[1].inputs[0], "broken")
    pieces[2].inputs[0].unlink()
    failures = run(pieces, jobs=jobs)
    out = pieces[0].outputs[0].parent
    assert [failure.name for failure in failures] == ["b", "c"]
    assert failures[0].reason == "b.txt: broken"
    assert "c.txt" in failures[1].reason
    assert not pieces[1].outputs[0].exists()
    assert pieces[3].outputs[0].is_file()
    assert pd.read_csv(out / FAILURES)["name"].tolist() == ["b", "c"]
    console = Console(file=StringIO(), width=200)
    assert report(failures, 4, out, console) == 1
    assert "2 of 4 done, 2 failed" in console.file.getvalue()  # type: ignore[attr-defined]
    write_text(pieces[1].inputs[0], "whole")
    write_text(pieces[2].inputs[0], "back")
    assert run(pieces, jobs=jobs) == []
    assert not (out / FAILURES).exists()
    assert calls(pieces) == [1, 1, 1, 1]
    assert report([], 4, out, console) == 0


def test_a_reason_is_printed_as_it_is(tmp_path: Path) -> None:
    console = Console(file=StringIO(), width=20)
    report([Failure("a", "no column [patient_id] in [/red] or the other of the two")], 1, tmp_path, console)
    assert "no column [patient_id] in [/red] or the other of the two\n" in console.file.getvalue()  # type: ignore[attr-defined]


def test_a_defect_of_ours_is_not_hidden(pieces: list[Piece]) -> None:
    with pytest.raises(ZeroDivisionError):
        run(pieces, do=defective)

"""Work on many files: pieces that are done are skipped, a broken one does not stop the others."""

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from operator import attrgetter
from pathlib import Path
from typing import Any, TypeVar

import pandas as pd
from rich.console import Console

from prime.errors import InputError
from prime.file_names import file_name
from prime.files import sha256_text, write_csv, write_json
from prime.fingerprint import FileStamp, stamp
from prime.job_pool import JobPool
from prime.parsing import read_json
from prime.progress import watched

NOTES = ".encode"  # folder, in that of the outputs, with a note on each finished piece
FAILURES = "failures.csv"


@dataclass(frozen=True)
class Piece:
    """A piece of work: its name, unique and fit for a file name, the files it reads, and those it writes."""

    name: str
    inputs: tuple[Path, ...]
    outputs: tuple[Path, ...]


@dataclass(frozen=True)
class Failure:
    """A piece that could not be done, and why, in one line."""

    name: str
    reason: str


Do = Callable[[Piece], dict[str, Any]]
P = TypeVar("P", bound=Piece)


def settings_hash(settings: Any) -> str:
    """The hash of settings, which are JSON values: everything that a piece depends on except its files."""
    return sha256_text(json.dumps(settings, sort_keys=True))


def _note(piece: Piece, out: Path) -> Path:
    """The file that says that a piece is done."""
    return out / NOTES / f"{file_name(piece.name)}.json"


def is_done(piece: Piece, out: Path, settings: str) -> bool:
    """Whether the outputs exist and were made from the same contents with the same settings."""
    note = _note(piece, out)
    if not note.is_file() or not all(path.is_file() for path in (*piece.inputs, *piece.outputs)):
        return False
    try:
        found = read_json(note)
        known = {item["path"]: FileStamp(**item) for item in found["inputs"]}
        same = found["settings"] == settings
    except (InputError, KeyError, TypeError):
        return False
    now = {stamp(path, out, known).path: stamp(path, out, known).sha256 for path in piece.inputs}
    return same and now == {path: item.sha256 for path, item in known.items()}


def _attempt(do: Do, piece: Piece, out: Path, settings: str) -> Failure | None:
    """Do one piece and note that it is done. A fault of the files is returned, a programming error raised."""
    try:
        stamps = [stamp(path, out) for path in piece.inputs]
        facts = do(piece)
    except (InputError, OSError, MemoryError) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        return Failure(piece.name, reason)
    note = {"settings": settings, "inputs": [asdict(item) for item in stamps], "facts": facts}
    write_json(_note(piece, out), note)
    return None


def run_pieces(
    pieces: Sequence[P],
    do: Do,
    out: Path,
    settings: Any,
    pool: JobPool,
    title: str,
) -> tuple[list[P], list[Failure]]:
    """Do the pieces that are not done yet, in parallel as `pool` says.

    Args:
        pieces: what is to be done.
        do: does one piece and returns facts, JSON values, which `facts_of` reads later.
        out: the folder with the notes on what is done, and `failures.csv` where something failed.
        settings: JSON values; where they change, everything is done again.
        pool: how many at once, and where.
        title: of the progress bar.

    Returns:
        The pieces that are done, now or before, and the failures, sorted by name.
    """
    digest = settings_hash(settings)
    todo = [piece for piece in pieces if not is_done(piece, out, digest)]
    started = time.time_ns()
    already = len(pieces) - len(todo)

    def finished() -> int:
        notes = (_note(piece, out) for piece in todo)
        return already + sum(note.is_file() and note.stat().st_mtime_ns >= started for note in notes)

    with watched(finished, len(pieces), title):
        found = pool.map(_attempt, [(do, piece, out, digest) for piece in todo], out / NOTES) if todo else []
    failures: list[Failure] = sorted(
        (failure for failure in found if failure is not None), key=attrgetter("name")
    )
    write_failures(failures, out / FAILURES)
    failed = {failure.name for failure in failures}
    return [piece for piece in pieces if piece.name not in failed], failures


def write_failures(failures: Sequence[Failure], path: Path) -> None:
    """Write the failures as csv; without any, remove what an earlier run left there."""
    if not failures:
        path.unlink(missing_ok=True)
        return
    write_csv(path, pd.DataFrame([asdict(failure) for failure in failures]))


def facts_of(piece: Piece, out: Path) -> dict[str, Any]:
    """What `do` returned for a finished piece."""
    return dict(read_json(_note(piece, out))["facts"])


def say(console: Console, text: str, style: str | None = None) -> None:
    """Print a line as it is: nothing in it is markup, and it is not broken at the edge of the screen."""
    console.print(text, highlight=False, markup=False, soft_wrap=True, style=style)


def report(failures: list[Failure], total: int, out: Path, console: Console) -> int:
    """Print what failed and why, and how many of `total` are done. Returns the exit status, 1 or 0."""
    for failure in failures:
        say(console, f"{failure.name}: {failure.reason}", "red")
    rest = f", {len(failures)} failed (listed in {out / FAILURES})" if failures else ""
    say(console, f"{out}: {total - len(failures)} of {total} done{rest}")
    return 1 if failures else 0

"""Work on many files: skip what is done, go on past what is broken, say at the end what failed and why."""

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from operator import attrgetter
from pathlib import Path
from typing import Any

import joblib
import pandas as pd
from rich.console import Console

from prime.errors import InputError
from prime.files import read_json, replacing, sha256_text, write_json
from prime.fingerprint import FileStamp, stamp
from prime.job_pool import JobPool
from prime.progress import watched

STATE = ".encode"  # folder, in that of the outputs, with a note on each finished piece
FAILURES = "failures.csv"


@dataclass(frozen=True)
class Piece:
    """One piece of work: a unique name that can name a file, the files it reads, the files it leaves."""

    name: str
    inputs: tuple[Path, ...]
    outputs: tuple[Path, ...]


@dataclass(frozen=True)
class Failure:
    """A piece that could not be done, and why, in one line."""

    name: str
    reason: str


Do = Callable[[Piece], dict[str, Any]]


def settings_hash(settings: Any) -> str:
    """The hash of everything beside its files that a piece depends on, JSON values."""
    return sha256_text(json.dumps(settings, sort_keys=True))


def is_done(piece: Piece, out: Path, settings: str) -> bool:
    """Whether the outputs stand, made from the same contents with the same settings."""
    note = out / STATE / f"{piece.name}.json"
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
    """Do one piece and note it. What the file is to blame for is handed back; a defect of ours is raised."""
    try:
        stamps = [stamp(path, out) for path in piece.inputs]
        facts = do(piece)
    except (InputError, OSError, MemoryError) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        return Failure(piece.name, reason)
    note = {"settings": settings, "inputs": [asdict(item) for item in stamps], "facts": facts}
    write_json(out / STATE / f"{piece.name}.json", note)
    return None


def run_pieces(
    pieces: Sequence[Piece],
    do: Do,
    out: Path,
    settings: Any,
    pool: JobPool,
    title: str,
) -> list[Failure]:
    """Do the pieces that are not done, in parallel as `pool` says; `do` returns facts to note, as JSON.

    A piece is done where its outputs stand, made of the same contents with the same `settings`.
    Failures are returned and written to `failures.csv` in `out`, which is removed where there are none.
    """
    digest = settings_hash(settings)
    todo = [piece for piece in pieces if not is_done(piece, out, digest)]
    started = time.time_ns()
    already = len(pieces) - len(todo)

    def finished() -> int:
        notes = (out / STATE / f"{piece.name}.json" for piece in todo)
        return already + sum(note.is_file() and note.stat().st_mtime_ns >= started for note in notes)

    with pool.backend(), watched(finished, len(pieces), title):
        found = joblib.Parallel(pre_dispatch="all")(
            joblib.delayed(_attempt)(do, piece, out, digest) for piece in todo
        )
    failures: list[Failure] = sorted(
        (failure for failure in found if failure is not None), key=attrgetter("name")
    )
    write_failures(failures, out / FAILURES)
    return failures


def write_failures(failures: Sequence[Failure], path: Path) -> None:
    """Write the failures as csv; without any, remove what an earlier run left there."""
    if not failures:
        path.unlink(missing_ok=True)
        return
    with replacing(path) as temporary:
        pd.DataFrame([asdict(failure) for failure in failures]).to_csv(temporary, index=False)


def facts_of(piece: Piece, out: Path) -> dict[str, Any]:
    """What `do` returned for a finished piece."""
    return dict(read_json(out / STATE / f"{piece.name}.json")["facts"])


def report(failures: list[Failure], done: int, out: Path, console: Console) -> int:
    """Print what failed and why. Returns the exit status: 1 where anything failed."""
    for failure in failures:
        console.print(f"{failure.name}: {failure.reason}", highlight=False, style="red")
    rest = f", {len(failures)} failed (listed in {out / FAILURES})" if failures else ""
    console.print(f"{out}: {done - len(failures)} of {done} done{rest}", highlight=False)
    return 1 if failures else 0

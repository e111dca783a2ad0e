"""Many files: how much room they need, several at once, what failed and why."""

import errno
import shutil
from collections.abc import Generator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path

from rich.filesize import decimal

from prime.encode.gdc.download import Moved, download, part_of, size_of
from prime.encode.gdc.ledger import Ledger
from prime.encode.gdc.manifest import NAME, GdcFile, read_manifest, refuse_clashes, write_manifest
from prime.encode.gdc.server import Server, Stopped
from prime.encode.work import FAILURES, Failure, write_failures
from prime.errors import InputError
from prime.progress import progress_display


class DiskFull(InputError):
    """No other file will do better: the work ends."""


@dataclass(frozen=True)
class Fetched:
    """How a fetch ended: files that were there and right, files that came, and those that failed."""

    already: int
    came: int
    failures: list[Failure]


def missing_bytes(files: Sequence[GdcFile], folder: Path) -> int:
    """The bytes still to come: partial files count for what they hold, files of the right size are there."""
    return sum(
        file.size - min(file.size, size_of(part_of(file.path(folder))))
        for file in files
        if size_of(file.path(folder)) != file.size
    )


def refuse_a_full_disk(need: int, folder: Path) -> None:
    """Raise InputError where fewer than `need` bytes are free in `folder`, which need not exist yet."""
    place = folder.absolute()
    while not place.exists():
        place = place.parent
    free = shutil.disk_usage(place).free
    if need > free:
        raise InputError(
            f"{folder}: {decimal(need)} are still to be fetched, {decimal(free)} are free there; nothing was "
            f"fetched. Name another disk with --out, or less with --project and --data"
        )


def fetch(server: Server, files: Sequence[GdcFile], folder: Path, jobs: int) -> Fetched:
    """Bring every file to `folder/DATA/FILENAME`; those that are right already are left alone.

    The list of files is kept in `folder/manifest.tsv`, joined with those fetched there before. A file that
    can't be had does not stop the others; all such are in the result and in `failures.csv`.

    Raises:
        InputError: the disk has no room, before anything is fetched or on the way.
        KeyboardInterrupt: after the threads have stopped; partial files stay.
    """
    refuse_a_full_disk(missing_bytes(files, folder), folder)
    _keep_manifest(files, folder / NAME)
    ledger = Ledger(folder)
    failures: list[Failure] = []
    came = 0
    with _progress(files, folder) as moved, ThreadPoolExecutor(jobs) as pool:
        tasks = {pool.submit(_one, server, file, folder, ledger, moved): file for file in files}
        try:
            for task in as_completed(tasks):
                try:
                    came += task.result()
                except DiskFull:
                    raise
                except InputError as error:
                    failures.append(Failure(tasks[task].filename, str(error)))
        except BaseException:
            server.stop.set()
            pool.shutdown(wait=True, cancel_futures=True)
            raise
    failures.sort(key=attrgetter("name"))
    write_failures(failures, folder / FAILURES)
    return Fetched(len(files) - came - len(failures), came, failures)


def _one(server: Server, file: GdcFile, folder: Path, ledger: Ledger, moved: Moved) -> bool:
    """Whether the file had to be fetched. Raises InputError where it can't be."""
    if server.stop.is_set():
        raise Stopped
    path = file.path(folder)
    if ledger.is_right(file):
        return False
    if size_of(path) == file.size:  # counted as there before its md5 was known
        moved(size_of(part_of(path)) - file.size)
    try:
        download(server, file, path, moved)
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise DiskFull(f"{path}: the disk is full; partial files stay, make room and run again") from None
        raise InputError(f"{path}: {error.strerror or error}") from None
    ledger.add(file)
    return True


@contextmanager
def _progress(files: Sequence[GdcFile], folder: Path) -> Generator[Moved]:
    """A bar over the bytes of all files, with speed and time left; yields what tells it of more."""
    total = sum(file.size for file in files)
    there = total - missing_bytes(files, folder)
    with progress_display() as bar:
        task = bar.add_task("fetching", total=total, completed=there, bytes=True, parts="")

        def moved(count: int) -> None:
            bar.advance(task, count)

        yield moved


def _keep_manifest(files: Sequence[GdcFile], path: Path) -> None:
    """Join the files to the manifest at `path`; where one is listed there already, the new row counts."""
    joined = {file.id: file for file in (read_manifest(path) if path.is_file() else [])}
    joined |= {file.id: file for file in files}
    refuse_clashes(joined.values(), str(path))
    write_manifest(joined.values(), path)

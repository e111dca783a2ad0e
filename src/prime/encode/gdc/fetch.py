"""Fetching many files: whether the disk has room, several at once, and which failed and why."""

import errno
import shutil
from collections.abc import Generator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path

from rich.filesize import decimal

from prime.encode.gdc.download import CountBytes, download, partial_path, size_of
from prime.encode.gdc.manifest import NAME, GdcFile, read_manifest, refuse_clashes, write_manifest
from prime.encode.gdc.server import Server, Stopped
from prime.encode.gdc.verified import VerifiedFiles
from prime.encode.work import FAILURES, Failure, write_failures
from prime.errors import InputError
from prime.progress import progress_display


class DiskFullError(InputError):
    """The disk is full, so that no other file can be fetched either."""


@dataclass(frozen=True)
class FetchResult:
    """How a fetch ended: the number of files that were there already, that were fetched, and the failures."""

    already_there: int
    fetched: int
    failures: list[Failure]


def missing_bytes(files: Sequence[GdcFile], folder: Path) -> int:
    """The bytes still to be fetched, without those of partial files; a right size counts as whole."""
    return sum(
        file.size - min(file.size, size_of(partial_path(file.path(folder))))
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


def fetch(server: Server, files: Sequence[GdcFile], folder: Path, jobs: int) -> FetchResult:
    """Fetch every file to `folder/DATA/FILENAME`, `jobs` at once; those there with the right md5 are skipped.

    The list of files is kept in `folder/manifest.tsv`, joined with those fetched there before. A file that
    cannot be fetched does not stop the others; all such are in the result and in `failures.csv`.

    Raises:
        InputError: the disk has no room, before anything is fetched or in between.
        KeyboardInterrupt: the user's, once the threads have stopped; partial files stay.
    """
    refuse_a_full_disk(missing_bytes(files, folder), folder)
    _keep_manifest(files, folder / NAME)
    verified = VerifiedFiles(folder)
    failures: list[Failure] = []
    fetched = 0
    with _byte_bar(files, folder) as count_bytes, ThreadPoolExecutor(jobs) as pool:
        tasks = {pool.submit(_fetch_one, server, file, folder, verified, count_bytes): file for file in files}
        try:
            for task in as_completed(tasks):
                try:
                    fetched += task.result()
                except DiskFullError:
                    raise
                except InputError as error:
                    failures.append(Failure(tasks[task].filename, str(error)))
        except BaseException:
            server.stop.set()
            pool.shutdown(wait=True, cancel_futures=True)
            raise
    for place in {partial_path(file.path(folder)).parent for file in files}:
        with suppress(OSError):  # there is none, or it holds the beginnings of files that failed
            place.rmdir()
    failures.sort(key=attrgetter("name"))
    write_failures(failures, folder / FAILURES)
    return FetchResult(len(files) - fetched - len(failures), fetched, failures)


def _fetch_one(
    server: Server, file: GdcFile, folder: Path, verified: VerifiedFiles, count_bytes: CountBytes
) -> bool:
    """Whether a file had to be fetched, which is then done. Raises InputError where it cannot be fetched."""
    if server.stop.is_set():
        raise Stopped
    path = file.path(folder)
    if verified.has(file):
        return False
    if size_of(path) == file.size:  # the bar counted it as there, before its md5 was computed
        count_bytes(size_of(partial_path(path)) - file.size)
    try:
        download(server, file, path, count_bytes)
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise DiskFullError(
                f"{path}: the disk is full; partial files stay, make room and run again"
            ) from None
        raise InputError(f"{path}: {error.strerror or error}") from None
    verified.add(file)
    return True


@contextmanager
def _byte_bar(files: Sequence[GdcFile], folder: Path) -> Generator[CountBytes]:
    """A bar over the bytes of all files; yields the function that advances it by a number of bytes."""
    total = sum(file.size for file in files)
    there = total - missing_bytes(files, folder)
    with progress_display() as bar:
        task = bar.add_task("fetching", total=total, completed=there, bytes=True, parts="")

        def count_bytes(count: int) -> None:
            bar.advance(task, count)

        yield count_bytes


def _keep_manifest(files: Sequence[GdcFile], path: Path) -> None:
    """Add the files to the manifest at `path`; a file that is listed there already gets its new row."""
    joined = {file.id: file for file in (read_manifest(path) if path.is_file() else [])}
    joined |= {file.id: file for file in files}
    refuse_clashes(joined.values(), str(path))
    write_manifest(joined.values(), path)

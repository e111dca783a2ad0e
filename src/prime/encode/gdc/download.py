"""One file, from the server to its place: taken up where it broke off, checked before it gets its name."""

import hashlib
import os
import re
from collections.abc import Callable
from pathlib import Path

import requests

from prime.encode.gdc.manifest import GdcFile
from prime.encode.gdc.server import Passing, Server, Stopped
from prime.errors import InputError

CHUNK = 1 << 18  # bytes
WRONG_LIMIT = 3  # whole downloads of one file that turned out wrong
Moved = Callable[[int], None]


class _Useless(Exception):
    """What lies in the partial file can't become the file: start over."""


def md5_of(path: Path) -> str:
    """The MD5 of a file's bytes, as hex: what the GDC states, good against accidents only."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def part_of(path: Path) -> Path:
    """The partial file of `path`."""
    return path.with_name(f"{path.name}.part")


def size_of(path: Path) -> int:
    """Bytes; 0 where there is no such file."""
    return path.stat().st_size if path.is_file() else 0


def download(server: Server, file: GdcFile, path: Path, moved: Moved) -> None:
    """Bring one file to `path`. It grows as `path.part` and is renamed once size and md5 agree.

    A broken transfer goes on where it stopped, as long as attempts bring bytes; `server.patience` limits
    those that bring none. A whole file with a wrong md5 is deleted and fetched again, three times at most.

    Args:
        server: the GDC.
        file: which one.
        path: where to; an existing file there is replaced only by a right one.
        moved: told the bytes that came, negative for those that were thrown away.

    Raises:
        InputError: the server refuses the file, stays silent, or sends wrong bytes.
        Stopped: the work was ended; the partial file stays.
    """
    part = part_of(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    wrong = idle = 0
    while not _finished(file, part, path):
        if part.is_file() and size_of(part) >= file.size:
            wrong += 1
            moved(-size_of(part))
            part.unlink()
            if wrong == WRONG_LIMIT:
                raise InputError(f"md5 is not {file.md5} after {wrong} whole downloads; is the manifest old?")
        before = size_of(part)
        try:
            _transfer(server, file, part, moved)
        except _Useless as reason:
            moved(-size_of(part))
            part.unlink(missing_ok=True)
            wrong += 1
            if wrong == WRONG_LIMIT:
                raise InputError(str(reason)) from None
        except Passing as trouble:
            idle = 0 if size_of(part) > before else idle + 1
            if idle > server.patience.retries:
                raise InputError(f"{trouble} ({idle} attempts without a byte)") from None
            server.rest(max(1, idle), trouble.wait_s)


def _finished(file: GdcFile, part: Path, path: Path) -> bool:
    """Give the partial file its name where it is whole and right."""
    if file.size == 0:
        part.touch()
    if not part.is_file() or size_of(part) != file.size or md5_of(part) != file.md5:
        return False
    os.replace(part, path)
    return True


def _transfer(server: Server, file: GdcFile, part: Path, moved: Moved) -> None:
    """One request for what is still missing, written as it comes: a kill loses what is on its way alone.

    Raises:
        Passing: it broke off, early or late; what came is in `part`.
        _Useless: the server has a file of another length.
    """
    have = size_of(part)
    headers = {"Range": f"bytes={have}-{file.size - 1}"} if have else {}
    with server.answer("GET", f"data/{file.id}", headers=headers) as answer:
        start = _start(answer, have, file)
        with part.open("r+b" if part.is_file() else "wb") as out:
            out.truncate(start)
            out.seek(start)
            moved(start - have)
            while chunk := answer.raw.read1(CHUNK):  # what has come, without waiting for more
                if server.stop.is_set():
                    raise Stopped
                out.write(chunk)
                out.flush()
                moved(len(chunk))
                if out.tell() > file.size:
                    raise _Useless(f"the server sends more than the {file.size} bytes of the manifest")
    if size_of(part) < file.size:
        raise Passing(f"{server.url}: the answer ended after {size_of(part)} of {file.size} bytes")


def _start(answer: requests.Response, have: int, file: GdcFile) -> int:
    """Where in the file the answer's bytes begin: 200 is the whole file, whatever was asked for.

    Raises _Useless where that is beyond what we have, or the range does not exist there (416).
    """
    if answer.status_code == 200:
        return 0
    if answer.status_code == 416:
        raise _Useless(
            f"the server's file is shorter than the {file.size} bytes of the manifest (status 416)"
        )
    stated = re.match(r"bytes (\d+)-", answer.headers.get("Content-Range", ""))
    if stated is None or int(stated.group(1)) > have:
        raise _Useless(f"an answer to a request from byte {have} without a usable Content-Range")
    return int(stated.group(1))

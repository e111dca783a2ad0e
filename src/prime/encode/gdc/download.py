"""Download of one file: resumed where it broke off, and renamed to its name only after its md5 is checked."""

import hashlib
import os
import re
from collections.abc import Callable
from pathlib import Path

import requests

from prime.encode.gdc.manifest import GdcFile
from prime.encode.gdc.server import Server, TooSlowError, TransientError
from prime.errors import InputError

PARTIAL = ".partial"  # no file of a manifest begins with a dot
MAX_WRONG = 3  # complete downloads of one file that may turn out wrong
CountBytes = Callable[[int], None]


class _RestartError(Exception):
    """The partial file cannot become the file: it is discarded and the download starts over."""


def md5_of(path: Path) -> str:
    """The MD5 of a file's bytes, as hex: what the GDC states, good against accidents only."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def partial_path(path: Path) -> Path:
    """Where the bytes of `path` are collected until they are complete, in a folder of their own."""
    return path.parent / PARTIAL / f"{path.name}.part"


def size_of(path: Path) -> int:
    """Bytes; 0 where there is no such file."""
    return path.stat().st_size if path.is_file() else 0


def download(server: Server, file: GdcFile, path: Path, count_bytes: CountBytes) -> None:
    """Download one file to `path`. It grows as `partial_path` and is renamed once size and md5 agree.

    A broken transfer is resumed where it stopped for as long as attempts receive bytes; `server.policy`
    limits those in a row that receive none. A complete file with a wrong md5 is deleted and fetched again,
    three times at most.

    Args:
        server: the GDC.
        file: which one.
        path: where to; an existing file there is replaced only by a correct one.
        count_bytes: called with the number of bytes received, negative for bytes that were discarded.

    Raises:
        InputError: the server refuses the file, does not answer, or sends wrong bytes.
        Stopped: the work was ended; the partial file stays.
    """
    part = partial_path(path)
    part.parent.mkdir(parents=True, exist_ok=True)
    wrong = empty_attempts = 0
    while not _finished(file, part, path):
        if part.is_file() and size_of(part) >= file.size:
            wrong += 1
            count_bytes(-size_of(part))
            part.unlink()
            if wrong == MAX_WRONG:
                raise InputError(f"md5 is not {file.md5} after {wrong} whole downloads; is the manifest old?")
        before = size_of(part)
        try:
            _transfer(server, file, part, count_bytes)
        except _RestartError as reason:
            count_bytes(-size_of(part))
            part.unlink(missing_ok=True)
            wrong += 1
            if wrong == MAX_WRONG:
                raise InputError(str(reason)) from None
        except TransientError as fault:
            grown = size_of(part) > before and not isinstance(fault, TooSlowError)
            empty_attempts = 0 if grown else empty_attempts + 1
            if empty_attempts > server.policy.retries:
                raise InputError(f"{fault} ({empty_attempts} attempts in vain)") from None
            server.wait_before_retry(max(1, empty_attempts), fault.retry_after_s)


def _finished(file: GdcFile, part: Path, path: Path) -> bool:
    """Rename the partial file to `path` where it is complete and its md5 agrees."""
    if file.size == 0:
        part.touch()
    if not part.is_file() or size_of(part) != file.size or md5_of(part) != file.md5:
        return False
    os.replace(part, path)
    return True


def _transfer(server: Server, file: GdcFile, part: Path, count_bytes: CountBytes) -> None:
    """Make one request for what is missing, and write it as it arrives, so that a kill loses next to nothing.

    Raises:
        TransientError: the transfer broke off; what arrived is in `part`.
        _RestartError: the server's file has another length.
    """
    have = size_of(part)
    headers = {"Range": f"bytes={have}-{file.size - 1}"} if have else {}
    with server.response("GET", f"data/{file.id}", headers=headers) as response:
        start = _first_byte(response, have, file)
        with part.open("r+b" if part.is_file() else "wb") as out:
            out.truncate(start)
            out.seek(start)
            count_bytes(start - have)
            for chunk in server.chunks(response):
                out.write(chunk)
                out.flush()
                count_bytes(len(chunk))
                if out.tell() > file.size:
                    raise _RestartError(f"the server sends more than the {file.size} bytes of the manifest")
    if size_of(part) < file.size:
        raise TransientError(f"{server.url}: the answer ended after {size_of(part)} of {file.size} bytes")


def _first_byte(response: requests.Response, have: int, file: GdcFile) -> int:
    """Where in the file the response begins; with status 200 at 0, whatever range was asked for.

    Raises _RestartError where that is beyond the `have` bytes there, or the server has no such range (416).
    """
    if response.status_code == 200:
        return 0
    if response.status_code == 416:
        raise _RestartError(
            f"the server's file is shorter than the {file.size} bytes of the manifest (status 416)"
        )
    stated = re.match(r"bytes (\d+)-", response.headers.get("Content-Range", ""))
    if stated is None or int(stated.group(1)) > have:
        raise _RestartError(f"an answer to a request from byte {have} without a usable Content-Range")
    return int(stated.group(1))

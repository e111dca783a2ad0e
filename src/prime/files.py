"""Writing files so that a kill never leaves half of one, and hashing them."""

import hashlib
import json
import os
import uuid
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from filelock import FileLock, Timeout
from numpy.typing import NDArray

from prime.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

LOCK = ".lock"


@contextmanager
def replacing(path: Path) -> Generator[Path]:
    """Yield a temporary path beside `path`; on success it is renamed onto `path`, on failure removed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.stem}.{uuid.uuid4().hex[:8]}{path.suffix}")
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def sole_process(folder: Path, wait: bool = False) -> Generator[None]:
    """Keep every other process that asks for `folder` out; a killed process lets go.

    With `wait`, waits for the other to end. A file system without locks keeps nobody out.
    Raises InputError where another process has the folder and `wait` is False.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / LOCK)
    try:
        lock.acquire(timeout=-1 if wait else 0)
    except Timeout:
        raise InputError(
            f"{folder}: another process is writing there; stop it, or wait until it ends"
        ) from None
    except NotImplementedError:
        pass
    try:
        yield
    finally:
        lock.release()


def cache_folder() -> Path:
    """The user's cache folder: `PRIME_CACHE`, else `~/.cache/prime`."""
    return Path(os.environ.get("PRIME_CACHE") or "~/.cache/prime").expanduser()


def read_text(path: Path, where: str = "") -> str:
    """Read a text file in UTF-8, without its byte order mark; line ends become line feeds.

    Raises InputError, which begins with `where`, for a missing file or another encoding.
    """
    name = f"{where}: {path}" if where else str(path)
    try:
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise InputError(f"{name}: no such file") from None
    except UnicodeDecodeError as error:
        raise InputError(f"{name}: not UTF-8 (byte {error.start}); save it as text in UTF-8") from None


def write_text(path: Path, text: str) -> None:
    """Write `text` in UTF-8 to `path`, atomically."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    """Write `value` as indented JSON to `path`, atomically."""
    write_text(path, json.dumps(value, indent=2, sort_keys=False, default=str) + "\n")


def write_csv(path: Path, frame: "pd.DataFrame", **options: Any) -> None:
    """Write a table without its index, atomically; `options` are those of `DataFrame.to_csv`."""
    with replacing(path) as temporary:
        frame.to_csv(temporary, index=False, **options)


def write_npy(path: Path, values: NDArray[Any]) -> None:
    """Write an array as .npy, atomically."""
    with replacing(path) as temporary:
        np.save(temporary, values, allow_pickle=False)


def sha256_file(path: Path) -> str:
    """SHA-256 of a file's bytes, as hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sha256_text(text: str) -> str:
    """SHA-256 of a text's UTF-8 bytes, as hex."""
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def sha256_paths(paths: list[Path], progress: Callable[[Path], None] | None = None) -> str:
    """SHA-256 over the names and contents of several files, in name order."""
    digest = hashlib.sha256()
    for path in sorted(paths):
        digest.update(path.name.encode("utf-8"))
        digest.update(sha256_file(path).encode("ascii"))
        if progress is not None:
            progress(path)
    return digest.hexdigest()

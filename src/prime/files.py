"""Writing files so that a kill never leaves half of one, and hashing them."""

import hashlib
import json
import os
import re
import stat
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock, Timeout

from prime.errors import InputError, first_line
from prime.leftovers import hidden_name, sweep

if TYPE_CHECKING:
    import h5py
    import pandas as pd
    from anndata import AnnData
    from mudata import MuData
    from numpy.typing import NDArray

LOCK = ".lock"


_folders: ContextVar[tuple[Path, ...]] = ContextVar("folders", default=())


@contextmanager
def writing_below(*folders: Path) -> Generator[None]:
    """Within the block, files are written below these folders, those of blocks around it, and the cache."""
    token = _folders.set((*_folders.get(), *map(_absolute, folders)))
    try:
        yield
    finally:
        _folders.reset(token)


def _absolute(path: Path) -> Path:
    return Path(os.path.abspath(path))  # `..` taken away; a folder that is a link stays the user's choice


@contextmanager
def replacing(path: Path) -> Generator[Path]:
    """Yield a temporary path beside `path`; on success it is renamed onto `path`, on failure removed.

    What killed processes left in the folder is removed.

    Raises:
        InputError: `path` is something else than a file (a folder, a device, a link), lies outside the
            folders of `writing_below`, or cannot be written: no place, no permission, no such folder.
    """
    require_place(path)
    temporary = hidden_name(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        sweep(path.parent)
        yield temporary
        os.replace(temporary, path)
    except Exception as error:
        if (trouble := _trouble(error, path, temporary)) is not None:
            raise InputError(f"{path}: cannot be written ({trouble})") from None
        raise
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def require_place(path: Path) -> None:
    """Raise InputError where `path` is no file's place, or outside the folders of `writing_below`."""
    allowed = _folders.get()
    if allowed and not any(_absolute(path).is_relative_to(folder) for folder in (*allowed, cache_folder())):
        raise InputError(f"{path}: lies outside {', '.join(map(str, allowed))}; nothing is written there")
    try:
        mode = path.lstat().st_mode
    except OSError:  # not there yet, or it cannot be looked at: writing says why
        return
    if not stat.S_ISREG(mode):
        kind = "folder" if stat.S_ISDIR(mode) else "link" if stat.S_ISLNK(mode) else "device, pipe or socket"
        raise InputError(f"{path}: is a {kind}, and no file can be put in its place; name a file")


def _trouble(error: Exception, path: Path, temporary: Path) -> str | None:
    """What the file system has against writing `path`; None where the error is about something else.

    Libraries report a full disk each in their own way: the file that they left is tried.
    """
    if isinstance(error, InputError):
        return None
    if isinstance(error, OSError) and error.strerror is not None:
        about = error.filename in (None, str(temporary), str(path), *map(str, path.parents))
        return error.strerror if about else None
    if stated := re.search(r"\(os error (\d+)\)", str(error)):  # as libraries in Rust say it
        return os.strerror(int(stated[1]))
    try:
        with temporary.open("ab") as file:
            file.write(bytes(2**16))
            os.fsync(file.fileno())
    except OSError as found:
        return found.strerror
    return None


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
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise InputError(f"{name}: no such file") from None
    except UnicodeDecodeError as error:
        raise InputError(f"{name}: not UTF-8 (byte {error.start}); save it as text in UTF-8") from None
    if "\0" in text:
        raise InputError(f"{name}: holds NUL signs, as UTF-16 does; save it as text in UTF-8")
    return text


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


@contextmanager
def writing_h5(path: Path) -> Generator["h5py.File"]:
    """Yield a new HDF5 file that is written to `path` as a whole, atomically, when the block ends.

    It is made in memory: HDF5 does not survive a full disk.
    """
    import h5py

    memory = BytesIO()
    with h5py.File(memory, "w") as file:
        yield file
    with replacing(path) as temporary:
        temporary.write_bytes(memory.getbuffer())


def write_npy(path: Path, values: "NDArray[Any]") -> None:
    """Write an array as .npy, atomically."""
    import numpy as np

    with replacing(path) as temporary:
        np.save(temporary, values, allow_pickle=False)


def write_parquet(path: Path, frame: "pd.DataFrame") -> None:
    """Write a table without its index as parquet, atomically, with checksums of its pages."""
    with replacing(path) as temporary:
        frame.to_parquet(temporary, index=False, write_page_checksum=True)


def write_anndata(path: Path, data: "AnnData") -> None:
    """Write an AnnData as `.h5ad`, atomically; text of its tables becomes categories, as anndata has it."""
    with replacing(path) as temporary:
        data.write_h5ad(temporary)


def write_mudata(path: Path, mdata: "MuData") -> None:
    """Write a MuData as `.h5mu`, atomically."""
    from mudata import set_options, write_h5mu

    with replacing(path) as temporary, set_options(pull_on_update=False):
        write_h5mu(temporary, mdata)


def read_parquet(path: Path, **options: Any) -> "pd.DataFrame":
    """Read a table that `write_parquet` wrote; `options` are those of `pandas.read_parquet`.

    Raises InputError where it is damaged.
    """
    import pandas as pd

    try:
        return pd.read_parquet(path, page_checksum_verification=True, **options)
    except (OSError, ValueError, KeyError) as error:
        raise InputError(f"{path}: damaged ({first_line(error)}); remove it, and it is made again") from None


def is_whole_parquet(path: Path) -> bool:
    """Whether a parquet file is there to its end."""
    from pyarrow import ArrowException
    from pyarrow.parquet import read_metadata

    try:
        read_metadata(path)
    except (OSError, ArrowException):
        return False
    return True


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

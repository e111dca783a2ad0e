"""Datasets of users' HDF5 files: what is in the file itself, of a size that its bytes can hold."""

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import h5py
import h5py.h5o
import numpy as np
from numpy.typing import NDArray

from prime.errors import InputError, cut, first_line

LARGE = 2**28  # bytes; below, what a dataset declares is read whatever the file's size
MOST_COMPRESSED = 100  # bytes declared of each that is stored; features compress less than tenfold
MOST_LINKS = 8  # soft links after each other


@contextmanager
def reading_h5(path: Path, where: str) -> Generator[h5py.File]:
    """Open a file; what goes wrong within the block is one InputError with `where` and the file."""
    try:
        with h5py.File(path, "r") as file:
            yield file
    except InputError as error:
        text = str(error)
        raise InputError(text if text.startswith(f"{where}: ") else f"{where}: {path}: {text}") from None
    except (OSError, RuntimeError, LookupError, TypeError, ValueError, MemoryError) as error:
        raise InputError(f"{where}: {path}: {fault(error)}") from None


def find_dataset(file: h5py.File, name: str) -> h5py.Dataset | None:
    """The dataset of this name in the file itself, None where there is none.

    Raises InputError for one in another file: by an external link, also behind soft links, by external
    storage or by a virtual dataset.
    """
    found = _resolved(file, file, name, MOST_LINKS)
    if not isinstance(found, h5py.Dataset):
        return None
    _require_own(found, name)
    return found


def find_whole(file: h5py.File, name: str) -> h5py.Dataset | h5py.Group | None:
    """The dataset of this name, or the group with all that is below it, None where there is none.

    Raises InputError where a part of it lies in another file, is a link, or declares what is not stored.
    """
    found = _resolved(file, file, name, MOST_LINKS)
    if isinstance(found, h5py.Group):
        _require_whole(found, set())
    elif isinstance(found, h5py.Dataset):
        _require_own(found, name)
        require_stored(found)
    else:
        return None
    return found


def _require_own(data: h5py.Dataset, name: str) -> None:
    if data.external or data.is_virtual:
        raise InputError(f"{name} lies in another file; only what is in the file itself is read")


def _require_whole(group: h5py.Group, seen: set[int]) -> None:
    """Look at every member of a group, each once, whatever path leads to it."""
    for name in group:
        if not isinstance(group.get(name, getlink=True), h5py.HardLink):
            raise InputError(f"{cut(f'{group.name}/{name}')} is a link; only what is in the file is read")
        member = cast(Any, group[name])
        place = int(h5py.h5o.get_info(member.id).addr)
        if place in seen:
            continue
        seen.add(place)
        if isinstance(member, h5py.Group):
            _require_whole(member, seen)
        elif isinstance(member, h5py.Dataset):
            _require_own(member, str(member.name))
            require_stored(member)


def _resolved(file: h5py.File, group: Any, name: str, links: int) -> Any:
    """The object at a path; links are followed one by one, so that none leads out unseen."""
    node = file if name.startswith("/") else group
    for part in (part for part in name.split("/") if part not in ("", ".")):
        if not isinstance(node, h5py.Group):
            return None
        link = node.get(part, getlink=True)
        if isinstance(link, h5py.ExternalLink):
            raise InputError(
                f"{part} is a link to another file ({cut(link.filename)}); only this one is read"
            )
        if isinstance(link, h5py.SoftLink):
            if not links:
                raise InputError(f"{part}: more than {MOST_LINKS} links after each other")
            node = _resolved(file, node, link.path, links - 1)
        else:
            node = cast(Any, node.get(part)) if link is not None else None
    return node


def read_dataset(data: h5py.Dataset) -> NDArray[Any]:
    """All numbers of a dataset. Raises InputError for other kinds, no array, and sizes that are not there."""
    if data.dtype.kind not in "fiub":
        raise InputError(f"expected numbers in {data.name}, found {data.dtype}")
    if not data.shape:
        raise InputError(f"expected an array in {data.name}, found a single value or nothing")
    require_stored(data)
    return np.asarray(data[()])


def require_stored(data: h5py.Dataset) -> None:
    """Raise InputError where a dataset declares far more bytes than are stored."""
    declared = int(np.prod([int(n) for n in data.shape or ()], dtype=object)) * data.dtype.itemsize
    stored = int(data.id.get_storage_size())
    if declared > LARGE and declared > MOST_COMPRESSED * stored:
        raise InputError(f"{data.name} declares {declared:,} bytes and stores {stored:,}; write it again")


def fault(error: Exception) -> str:
    """What is wrong with a file that HDF5 cannot read, and what to do."""
    text = first_line(error)
    if any(words in text for words in ("unable to lock", "already open for write", "consistency flags")):
        return "is still open for writing; wait until it is closed, or write it again"
    return f"not a whole HDF5 file ({cut(text, 200)}); copy or encode it again"

"""Datasets of users' HDF5 files: what is in the file itself, of a size that its bytes can hold."""

from typing import Any, cast

import h5py
import numpy as np
from numpy.typing import NDArray

from prime.errors import InputError, cut, first_line

LARGE = 2**28  # bytes; below, what a dataset declares is read whatever the file's size
MOST_COMPRESSED = 100  # bytes declared of each that is stored; features compress less than tenfold
MOST_LINKS = 8  # soft links after each other


def find_dataset(file: h5py.File, name: str) -> h5py.Dataset | None:
    """The dataset of this name in the file itself, None where there is none.

    Raises InputError for one in another file: by an external link, also behind soft links, by external
    storage or by a virtual dataset.
    """
    found = _resolved(file, file, name, MOST_LINKS)
    if not isinstance(found, h5py.Dataset):
        return None
    if found.external or found.is_virtual:
        raise InputError(f"{name} lies in another file; only what is in the file itself is read")
    return found


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
    declared = int(np.prod([int(n) for n in data.shape], dtype=object)) * data.dtype.itemsize
    if declared > LARGE and declared > MOST_COMPRESSED * data.id.get_storage_size():
        stored = data.id.get_storage_size()
        raise InputError(f"{data.name} declares {declared:,} bytes and stores {stored:,}; write it again")
    return np.asarray(data[()])


def fault(error: Exception) -> str:
    """What is wrong with a file that HDF5 cannot read, and what to do."""
    text = first_line(error)
    if any(words in text for words in ("unable to lock", "already open for write", "consistency flags")):
        return "is still open for writing; wait until it is closed, or write it again"
    return f"not a whole HDF5 file ({cut(text, 200)}); copy or encode it again"

"""Matrices of float32 that may be larger than memory: in a nameless temporary file where they are large."""

import os
import tempfile
from typing import IO

import numpy as np
from numpy.typing import NDArray

from prime.errors import InputError

IN_MEMORY = 2**26  # bytes
CHUNK_VALUES = 2**22  # cells that are read at a time: 32 MB as float64
FLOAT32_MAX = float(np.finfo(np.float32).max)
ZEROS = bytes(2**20)


def large_matrix(rows: int, columns: int, where: str) -> NDArray[np.float32]:
    """A matrix (rows, columns) of zeros to be filled; a mapped file above 64 MB, gone with the last reader.

    Raises InputError, which begins with `where`, where the temporary folder has no room for it.
    """
    size = 4 * rows * columns
    if size <= IN_MEMORY:
        return np.zeros((rows, columns), dtype=np.float32)
    try:
        with tempfile.TemporaryFile() as file:
            _reserve(file, size)
            return np.memmap(file, dtype=np.float32, mode="r+", shape=(rows, columns))
    except OSError as error:
        raise InputError(
            f"{where}: {size / 2**30:.1f} GiB do not fit into {tempfile.gettempdir()} ({error.strerror});"
            f" set TMPDIR to a folder on a disk with more room"
        ) from None


def _reserve(file: IO[bytes], size: int) -> None:
    """Give a file its blocks now: a full disk is an error here, and would be a signal in a map."""
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(file.fileno(), 0, size)
        return
    for start in range(0, size, len(ZEROS)):
        file.write(ZEROS[: size - start])
    file.flush()

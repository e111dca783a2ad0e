"""Writing a `.npy` array row by row, when its length is known only at the end."""

from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

FLOAT16_LIMIT = 60000.0
HEADER_BYTES = 128


class TooLargeForFloat16(Exception):
    """A float16 array got a number above FLOAT16_LIMIT; it should be written as float32 instead."""


class ArrayWriter:
    """Appends float rows (n, d) to a C-ordered `.npy` file; the header is completed on exit.

    Raises:
        TooLargeForFloat16: by `append`, where dtype is float16 and a magnitude is above FLOAT16_LIMIT.
    """

    def __init__(self, path: Path, dim: int, dtype: str) -> None:
        self.dim = dim
        self.dtype = np.dtype(dtype)
        self.rows = 0
        self._file = path.open("wb")
        self._file.write(b"\0" * HEADER_BYTES)

    def append(self, rows: NDArray[np.float32]) -> None:
        """Write rows (n, d) in the array's dtype."""
        if rows.ndim != 2 or rows.shape[1] != self.dim:
            raise ValueError(f"expected rows (n, {self.dim}), got {rows.shape}")
        if self.dtype == np.float16 and bool((np.abs(rows) > FLOAT16_LIMIT).any()):
            raise TooLargeForFloat16
        self._file.write(np.ascontiguousarray(rows, dtype=self.dtype).tobytes())
        self.rows += len(rows)

    def __enter__(self) -> "ArrayWriter":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self._file.seek(0)
            self._file.write(header(self.rows, self.dim, self.dtype))
        self._file.close()


def header(rows: int, dim: int, dtype: "np.dtype[Any]") -> bytes:
    """A `.npy` header, version 1.0, of exactly HEADER_BYTES for a C-ordered array (rows, dim)."""
    text = f"{{'descr': {npy.dtype_to_descr(dtype)!r}, 'fortran_order': False, 'shape': ({rows}, {dim}), }}"
    room = HEADER_BYTES - len(npy.magic(1, 0)) - 2
    if len(text) >= room:
        raise ValueError(f"array too large for its header: {rows} x {dim}")
    return npy.magic(1, 0) + room.to_bytes(2, "little") + text.ljust(room - 1).encode("ascii") + b"\n"

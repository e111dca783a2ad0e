"""Results that fits of one process share, so that each is made once."""

import hashlib
import json
from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from prime.files import sha256_text

Made = TypeVar("Made")


class Kept(Generic[Made]):
    """The last `most` results, each found by the facts that it was made of."""

    def __init__(self, most: int) -> None:
        self.most = most
        self._made: dict[str, Made] = {}

    def __len__(self) -> int:
        return len(self._made)

    def __call__(self, facts: Sequence[Any], make: Callable[[], Made]) -> Made:
        """What was made of the same facts (JSON values) before, or is now."""
        key = sha256_text(json.dumps(facts, sort_keys=True))
        if key not in self._made:
            while len(self._made) >= self.most:
                self._made.pop(next(iter(self._made)))
            self._made[key] = make()
        return self._made[key]


def digest_of(*arrays: NDArray[Any] | None) -> str:
    """SHA-256 of arrays' kinds, shapes and values, as a fact; None stands for an array that is not there."""
    digest = hashlib.sha256()
    for array in arrays:
        if array is None:
            digest.update(b"none")
            continue
        whole = np.ascontiguousarray(array)
        digest.update(f"{whole.dtype.str} {whole.shape} ".encode())
        digest.update(whole.data)
    return digest.hexdigest()

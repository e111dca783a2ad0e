"""A cache folder of a process's own, so that nothing of a request outlives the service."""

import os
import tempfile
from collections.abc import Generator
from contextlib import contextmanager

CACHE = "PRIME_CACHE"


@contextmanager
def caching_nowhere() -> Generator[None]:
    """Within the block, what the user's cache would keep goes to a folder that is removed at its end."""
    before = os.environ.get(CACHE)
    with tempfile.TemporaryDirectory(prefix="prime-cache-") as folder:
        os.environ[CACHE] = folder
        try:
            yield
        finally:
            os.environ.pop(CACHE)
            if before is not None:
                os.environ[CACHE] = before

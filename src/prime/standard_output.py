"""Standard output and standard error whose reader may go away: `prime check | head -1`."""

import os
import sys
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any


class PatientStream:
    """A text stream that swallows what nobody reads any more, so that the command goes on to its end."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """Write the text, or nothing where the reader has gone. Raises OSError named `standard output`."""
        try:
            return self._stream.write(text)
        except OSError as error:
            self._discard(error)
            return len(text)

    def flush(self) -> None:
        """Flush, or nothing where the reader has gone. Raises OSError named `standard output`."""
        try:
            self._stream.flush()
        except OSError as error:
            self._discard(error)

    def _discard(self, error: OSError) -> None:
        """From now on the stream leads nowhere, also for what its buffer still holds."""
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self._stream.fileno())
        os.close(nowhere)
        if not isinstance(error, BrokenPipeError):
            raise OSError(error.errno, error.strerror, "standard output") from None


@contextmanager
def patient_streams() -> Generator[None]:
    """Within the block, standard output and standard error are patient streams."""
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = map(PatientStream, before)  # pyright: ignore[reportAttributeAccessIssue]
    try:
        yield
    finally:
        try:
            sys.stdout.flush()
        finally:
            sys.stdout, sys.stderr = before

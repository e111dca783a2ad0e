"""A run that trackers follow: what they miss is told again, and one that fails never stops the training."""

import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from prime.errors import InputError, first_line

_left_out: set[str] = set()  # trackers that failed in this process, as kind=place


class RunLogger(Protocol):
    """What follows one run."""

    def tell(self, step: int, numbers: Mapping[str, float]) -> None:
        """Take the numbers of a step and keep them at once; those that it has it leaves as they are."""
        ...

    def close(self, finished: bool) -> None:
        """The run is over, or was stopped."""
        ...


class Followed:
    """A context: `log` takes a row of the run's log after the run itself has saved it.

    A tracker that raises anything is left out for the rest of this process, for other runs too, after one
    line on standard error. One that refuses this run alone, by an InputError, is asked again for others.

    Args:
        loggers: makes the tracker of each `kind=place`.
        rows: of the log that is there already.
    """

    def __init__(
        self, loggers: Mapping[str, Callable[[], RunLogger]], rows: Sequence[Mapping[str, Any]]
    ) -> None:
        self._made, self._rows = loggers, rows
        self._loggers: dict[str, RunLogger] = {}

    def __enter__(self) -> "Followed":
        for where, make in self._made.items():
            if where not in _left_out:
                self._quietly(where, lambda where=where, make=make: self._begin(where, make()))
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        for where, logger in list(self._loggers.items()):
            self._quietly(where, lambda logger=logger: logger.close(kind is None))

    def log(self, row: Mapping[str, Any]) -> None:
        """Tell every tracker a row: its numbers, by its `epoch`."""
        for where, logger in list(self._loggers.items()):
            self._quietly(where, lambda logger=logger: _tell(logger, row))

    def _begin(self, where: str, logger: RunLogger) -> None:
        self._loggers[where] = logger
        for row in self._rows:
            _tell(logger, row)

    def _quietly(self, where: str, action: Callable[[], None]) -> None:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # what trackers say of their own libraries
                action()
        except Exception as error:
            self._loggers.pop(where, None)
            whom = "this run is not followed"
            if not isinstance(error, InputError):
                _left_out.add(where)
                whom = "left out from here on"
            reason = f"{type(error).__name__}: {first_line(error)}"
            kind = where.partition("=")[0]  # a place may hold a password
            print(f"--track {kind}: {whom}, training goes on ({reason})", file=sys.stderr)


def _tell(logger: RunLogger, row: Mapping[str, Any]) -> None:
    logger.tell(int(row["epoch"]), numbers_of(row))


def numbers_of(row: Mapping[str, Any]) -> dict[str, float]:
    """The single numbers of a row of a log, without its epoch; lists and texts are left out."""
    return {
        key: float(value)
        for key, value in row.items()
        if key != "epoch" and isinstance(value, int | float) and not isinstance(value, bool)
    }

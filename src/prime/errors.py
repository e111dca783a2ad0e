"""The one exception for a user's mistake, and what its messages are made of."""

import reprlib
from collections.abc import Sequence

LONGEST = 100  # letters of a name that are shown
LONGEST_LINE, MOST_LINES = 2_000, 30  # of a message

_SHORT = reprlib.Repr()
_SHORT.maxlevel, _SHORT.maxstring, _SHORT.maxother, _SHORT.maxlong = 2, 60, 60, 40
_SHORT.maxlist = _SHORT.maxtuple = _SHORT.maxset = _SHORT.maxdict = 5


class InputError(ValueError):
    """Bad input: the message names the file, row or key, what was found, and what to do.

    The command line prints the message alone, without a traceback, and exits with status 2.
    """


def cut(text: str, longest: int = LONGEST) -> str:
    """The text, its end replaced by `...` where it is longer."""
    return text if len(text) <= longest else text[: longest - 3] + "..."


def shown(value: object) -> str:
    """Any value as text of a line's length at most; large ones are cut before they are formatted."""
    return cut(_SHORT.repr(value))


def bounded(message: str) -> str:
    """A message of a screen's length at most: long lines are cut, and so are many."""
    lines = message.splitlines() or [""]
    more = len(lines) - MOST_LINES
    kept = [cut(line, LONGEST_LINE) for line in lines[:MOST_LINES]]
    return "\n".join([*kept, f"and {more:,} more lines"] if more > 0 else kept)


def some(names: Sequence[str], shown: int = 5) -> str:
    """The first few of the names, long ones cut, and how many more there are."""
    short = [cut(name) for name in names[:shown]]
    more = len(names) - shown
    return ", ".join(short) + (f" and {more:,} more" if more > 0 else "")


def first_line(error: BaseException) -> str:
    """The first line of another library's message, or the kind of error where it has no message."""
    return (str(error).splitlines() or [type(error).__name__])[0]

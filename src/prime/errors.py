"""The one exception for a user's mistake, and what its messages are made of."""

from collections.abc import Sequence

LONGEST = 100  # letters of a name that are shown


class InputError(ValueError):
    """Bad input: the message names the file, row or key, what was found, and what to do.

    The command line prints the message alone, without a traceback, and exits with status 2.
    """


def some(names: Sequence[str], shown: int = 5) -> str:
    """The first few of the names, long ones cut, and how many more there are."""
    short = [name if len(name) <= LONGEST else name[: LONGEST - 3] + "..." for name in names[:shown]]
    more = len(names) - shown
    return ", ".join(short) + (f" and {more:,} more" if more > 0 else "")


def first_line(error: BaseException) -> str:
    """The first line of another library's message, or the kind of error where it has no message."""
    return (str(error).splitlines() or [type(error).__name__])[0]

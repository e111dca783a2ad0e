"""The one exception for a user's mistake."""


class InputError(ValueError):
    """Bad input: the message names the file, row or key, what was found, and what to do.

    The command line prints the message alone, without a traceback, and exits with status 2.
    """

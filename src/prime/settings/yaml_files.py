"""Reading what a user wrote in YAML: a file, with `${NAME}` taken from the environment, or a single value."""

import os
import re
from pathlib import Path
from typing import Any

from prime.errors import InputError, cut
from prime.files import read_text
from prime.parsing import LARGEST_YAML, parse_yaml

_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\}")


def expand_variables(text: str, where: str) -> str:
    """Replace `${NAME}` and `${NAME:-default}` by the environment; as in a shell, an empty
    variable takes the default too. Raises InputError where unset."""

    def value(match: re.Match[str]) -> str:
        name: str = match.group(1)
        default: str | None = match.group(2)
        found = os.environ.get(name)
        if not found and default is not None:
            return default
        if found is None:
            raise InputError(
                f"{where}: environment variable {name} is not set; set it or write ${{{name}:-default}}"
            )
        return found

    return _VARIABLE.sub(value, text)


def read_yaml(path: Path) -> dict[str, Any]:
    """Read a YAML mapping. Raises InputError naming the file where it is missing or malformed."""
    if path.is_file() and path.stat().st_size > 4 * LARGEST_YAML:
        raise InputError(f"{path}: {path.stat().st_size:,} bytes are too many for a YAML file")
    value = parse_yaml(expand_variables(read_text(path), str(path)), str(path))
    if not isinstance(value, dict):
        raise InputError(f"{path}: expected a mapping of keys to values, found {type(value).__name__}")
    return value  # pyright: ignore[reportUnknownVariableType]


def parse_value(text: str, where: str) -> Any:
    """One value as YAML reads it: a number, a word, `true`, `[1, 2]`. `where` begins the InputError."""
    try:
        return parse_yaml(text, where)
    except InputError as error:
        why = str(error).removeprefix(f"{where}: ").removeprefix("line 1: ")
        raise InputError(f"{where}: {cut(text)!r} is not a value that YAML can read ({why})") from None

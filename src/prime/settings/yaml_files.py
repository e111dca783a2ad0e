"""Reading what a user wrote in YAML: a file, with `${NAME}` taken from the environment, or a single value."""

import os
import re
from pathlib import Path
from typing import Any

import yaml

from prime.errors import InputError

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
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    try:
        text = expand_variables(path.read_text(encoding="utf-8"), str(path))
        value = yaml.safe_load(text)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not a YAML file ({error})") from None
    if not isinstance(value, dict):
        raise InputError(f"{path}: expected a mapping of keys to values, found {type(value).__name__}")
    return value  # pyright: ignore[reportUnknownVariableType]


def parse_value(text: str, where: str) -> Any:
    """One value as YAML reads it: a number, a word, `true`, `[1, 2]`. `where` begins the InputError."""
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError:
        raise InputError(f"{where}: {text!r} is not a value that YAML can read") from None

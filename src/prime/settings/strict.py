"""Settings that refuse unknown keys, and the message about keys that are refused."""

from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from prime.errors import cut, shown


class Strict(BaseModel):
    """A configuration that refuses unknown keys and is frozen once read."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def validation_message(path: Path | str, error: ValidationError) -> str:
    """One line for each key that pydantic refused: file, key, what was found, what is wrong."""
    lines: list[str] = []
    for item in error.errors():
        key = ".".join(cut(str(part)) for part in item["loc"]) or "(top level)"
        found = "" if item["type"] in ("missing", "value_error") else f", found {shown(item['input'])}"
        wrong = (
            "no such key" if item["type"] == "extra_forbidden" else item["msg"].removeprefix("Value error, ")
        )
        lines.append(f"{path}: {key}: {wrong}{found}")
    return "\n".join(lines)

"""Settings that refuse unknown keys, and the message about keys that are refused."""

from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, ConfigDict, ValidationError, field_validator
from pydantic_core import PydanticCustomError
from pydantic_core.core_schema import ValidationInfo

from prime.errors import cut, shown


class Strict(BaseModel):
    """A configuration that refuses unknown keys and is frozen once read."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @field_validator("*", mode="before")
    @classmethod
    def _yes_is_no_number(cls, value: Any, info: ValidationInfo) -> Any:
        """Refuse `yes` where a number is wanted: YAML reads it as true, and true would count as 1."""
        if isinstance(value, bool) and info.field_name is not None:
            kinds = _kinds(cls.model_fields[info.field_name].annotation)
            if kinds & {int, float} and bool not in kinds:
                raise PydanticCustomError("number", "Input should be a number")
        return value


def _kinds(annotation: Any) -> set[Any]:
    """The types that an annotation allows, and for a list or mapping that."""
    origin = get_origin(annotation)
    if origin is Annotated:
        return _kinds(get_args(annotation)[0])
    if origin in (Union, UnionType):
        return {kind for part in get_args(annotation) for kind in _kinds(part)}
    return {type(value) for value in get_args(annotation)} if origin is Literal else {origin or annotation}


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

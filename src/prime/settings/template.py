"""An experiment file with every setting, its default and its limits, written from the settings themselves."""

import json
from typing import Any, Literal, cast, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from prime.settings.experiment import ExperimentConfig

HEAD = """# An experiment of PRIME: every setting with its default. Delete what you do not change.
# Relative paths start from this file's folder. Unknown keys are refused.
"""
EXAMPLES = {"cohort": "cohort.yaml"}
COMMENT_COLUMN = 40


def experiment_template() -> str:
    """The text of an experiment file: valid YAML whose values are the defaults."""
    return HEAD + "\n".join(_lines(ExperimentConfig, 0)) + "\n"


def _lines(settings: type[BaseModel], depth: int) -> list[str]:
    indent = "  " * depth
    lines: list[str] = []
    for name, field in settings.model_fields.items():
        inner = field.annotation
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            lines += ([""] if depth == 0 else []) + _group(name, inner, depth)
            continue
        value = EXAMPLES.get(name) if field.is_required() else field.get_default(call_default_factory=True)
        if groups := _groups(value):
            lines.append(f"{indent}{name}:")
            lines += [line for key, group in groups.items() for line in _group(key, group, depth + 1)]
            continue
        text = f"{indent}{name}: {_yaml(value)}"
        note = _allowed(field)
        lines.append(f"{text:<{COMMENT_COLUMN - 1}} # {note}" if note else text)
    return lines


def _group(name: str, settings: type[BaseModel], depth: int) -> list[str]:
    """What the settings are for, their name, and each of them."""
    indent, title = "  " * depth, (settings.__doc__ or "").strip().splitlines()[0]
    return [f"{indent}# {title}", f"{indent}{name}:", *_lines(settings, depth + 1)]


def _groups(value: object) -> dict[str, type[BaseModel]]:
    """The settings that a mapping holds by name; none where it holds something else."""
    held = cast(dict[str, object], value) if isinstance(value, dict) else {}
    return {name: type(item) for name, item in held.items() if isinstance(item, BaseModel)}


def _yaml(value: Any) -> str:
    """A value on one line; JSON is YAML too, and plain words need no quotes."""
    if isinstance(value, str):
        return value
    if isinstance(value, BaseModel):
        return "{" + ", ".join(f"{name}: {_yaml(item)}" for name, item in value) + "}"
    if isinstance(value, tuple):
        return "[" + ", ".join(map(_yaml, cast(tuple[Any, ...], value))) + "]"
    return json.dumps(value)


def _choices(annotation: Any) -> list[str]:
    """The words of a Literal, wherever it stands inside the annotation."""
    if get_origin(annotation) is Literal:
        return [str(word) for word in get_args(annotation)]
    return [word for part in get_args(annotation) for word in _choices(part)]


def _keys(annotation: Any) -> list[str]:
    """The keys of the settings that a list holds."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return list(annotation.model_fields)
    return [key for part in get_args(annotation) for key in _keys(part)]


def _allowed(field: FieldInfo) -> str:
    """What a setting may be: its words, its limits, or the keys of each entry."""
    keys = _keys(field.annotation)
    if keys:
        return f"each {{{', '.join(keys)}}}"
    words = _choices(field.annotation)
    signs = {"gt": ">", "ge": ">=", "lt": "<", "le": "<="}
    limits = [
        f"{sign} {getattr(item, name)}"
        for item in field.metadata
        for name, sign in signs.items()
        if getattr(item, name, None) is not None
    ]
    return " | ".join(words) or ", ".join(limits)

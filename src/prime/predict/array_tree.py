"""Frozen dataclasses full of arrays as one safetensors file, and back: no pickle, no code in the file.

A value is written as JSON in which every array is named, and the arrays stand under those names. Reading
makes only the classes that it is given; whatever else a file names is refused.
"""

from dataclasses import fields, is_dataclass
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

Arrays = dict[str, NDArray[Any]]
CLASS, ARRAY, RAGGED, LIST, MAP = "class", "array", "ragged", "list", "map"


def take_apart(value: Any, name: str = "root") -> tuple[Any, Arrays]:
    """A value as JSON, and its arrays by name.

    It may hold dataclasses, arrays of numbers or booleans, dicts with string keys, tuples, strings, numbers,
    booleans and None. A tuple of vectors of one dtype stands as one array.

    Raises:
        TypeError: anything else.
    """
    arrays: Arrays = {}
    return _apart(value, name, arrays), arrays


def _apart(value: Any, name: str, arrays: Arrays) -> Any:
    if value is None or isinstance(value, str | bool | int | float):
        return value
    if isinstance(value, np.ndarray):
        arrays[name] = np.ascontiguousarray(cast(NDArray[Any], value))
        return {ARRAY: name}
    if is_dataclass(value) and not isinstance(value, type):
        parts = {f.name: _apart(getattr(value, f.name), f"{name}.{f.name}", arrays) for f in fields(value)}
        return {CLASS: type(value).__name__, "fields": parts}
    if isinstance(value, dict):
        items = cast(dict[str, Any], value)
        return {MAP: [[key, _apart(items[key], f"{name}.{i}", arrays)] for i, key in enumerate(items)]}
    if isinstance(value, tuple):
        items = cast(tuple[Any, ...], value)
        if len(items) > 1 and all(isinstance(v, np.ndarray) and v.ndim == 1 for v in items):
            arrays[f"{name}.values"] = np.concatenate(items)
            arrays[f"{name}.lengths"] = np.array([len(v) for v in items], dtype=np.int64)
            return {RAGGED: name}
        return {LIST: [_apart(item, f"{name}.{i}", arrays) for i, item in enumerate(items)]}
    raise TypeError(f"{name}: a {type(value).__name__} can't be written")


def put_together(described: Any, arrays: Arrays, classes: tuple[type, ...]) -> Any:
    """The value that `take_apart` described, of these classes alone.

    Raises:
        KeyError, TypeError, ValueError: the description is none, or names what is not there.
    """
    known = {kind.__name__: kind for kind in classes}

    def build(part: Any) -> Any:
        if part is None or isinstance(part, str | bool | int | float):
            return part
        if not isinstance(part, dict):
            raise TypeError(f"found a {type(part).__name__} in the description")
        found = cast(dict[str, Any], part)
        if CLASS in found:
            return known[found[CLASS]](**{name: build(inner) for name, inner in found["fields"].items()})
        if ARRAY in found:
            return arrays[found[ARRAY]]
        if MAP in found:
            return {str(key): build(inner) for key, inner in found[MAP]}
        if RAGGED in found:
            values, lengths = (arrays[f"{found[RAGGED]}.{end}"] for end in ("values", "lengths"))
            if (lengths < 0).any() or lengths.sum() != len(values):
                raise ValueError(f"{found[RAGGED]}: its lengths do not add up")
            return tuple(np.split(values, np.cumsum(lengths)[:-1]))
        return tuple(build(inner) for inner in found[LIST])

    return build(described)

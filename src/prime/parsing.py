"""The one parser of YAML and JSON, for files, settings and servers' answers: bounded, and no key twice.

Texts are bounded by size before they are read, by depth and by the number of their values before anything is
built from them, aliases counted for what they stand for. Whole numbers fit 64 bits.
"""

import json
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml

from prime.errors import InputError, cut, first_line

LARGEST_YAML = 2**20  # characters; a cohort of fifty sources takes 10,000
LARGEST_JSON = 2**29  # bytes; the GDC's answer on all its cases takes 2**27
DEEPEST = 40  # collections within collections
MOST_VALUES = 50_000  # of a YAML text, with aliases written out
WHOLE = 2**63  # whole numbers lie below, in size
LONGEST_NUMBER = 100  # letters

MERGE = "tag:yaml.org,2002:merge"

# Where libyaml was not there when PyYAML was built, the slower loader reads the same.
_Loader: type[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def parse_yaml(text: str, where: str) -> Any:
    """The value of a YAML text. Raises InputError, which begins with `where` and names the line at fault."""
    if len(text) > LARGEST_YAML:
        raise InputError(f"{where}: {len(text):,} characters; a YAML text has {LARGEST_YAML:,} at most")
    try:
        _require_bounds(yaml.parse(text, Loader=_Loader))
        loader = _Loader(text)
        node = loader.get_single_node()
        if node is None:
            return None
        _refuse(node, loader, set())
        return loader.construct_document(node)
    except InputError as error:
        raise InputError(f"{where}: {error}") from None
    except yaml.YAMLError as error:
        raise InputError(f"{where}: {_fault(error)}") from None
    except (ValueError, TypeError, OverflowError, AttributeError) as error:  # a date such as 2020-99-99
        raise InputError(f"{where}: not a YAML value ({cut(first_line(error))})") from None


def _fault(error: yaml.YAMLError) -> str:
    """What PyYAML says, in one line."""
    problem, mark = getattr(error, "problem", None), getattr(error, "problem_mark", None)
    line = "" if mark is None else f"line {mark.line + 1}: "
    return f"{line}not a YAML file ({cut(str(problem or first_line(error)))})"


def _require_bounds(events: Iterable[yaml.Event]) -> None:
    """Raise InputError where the events nest too deep, or stand for too many values."""
    sizes: dict[str, int] = {}  # values below each anchor, itself included
    opened: list[tuple[str | None, int]] = []  # anchor of each open collection, and the values before it
    total = 0
    for event in events:
        line = event.start_mark.line + 1 if event.start_mark else 0
        if isinstance(event, yaml.AliasEvent):
            if event.anchor in (name for name, _ in opened):
                raise InputError(f"line {line}: alias {event.anchor!r} stands within what it names")
            total += sizes.get(str(event.anchor), 1)
        elif isinstance(event, yaml.ScalarEvent):
            total += 1
            if event.anchor is not None:
                sizes[event.anchor] = 1
        elif isinstance(event, yaml.CollectionStartEvent):
            opened.append((event.anchor, total))
            total += 1
            if len(opened) > DEEPEST:
                raise InputError(f"line {line}: more than {DEEPEST} lists or mappings within each other")
        elif isinstance(event, yaml.CollectionEndEvent):
            anchor, before = opened.pop()
            if anchor is not None:
                sizes[anchor] = total - before
        if total > MOST_VALUES:
            raise InputError(f"line {line}: more than {MOST_VALUES:,} values, aliases written out")


def _refuse(node: yaml.Node, loader: Any, seen: set[int]) -> None:
    """Raise InputError for a key that a mapping has twice, and for a whole number beyond 64 bits."""
    if id(node) in seen:
        return
    seen.add(id(node))
    line = node.start_mark.line + 1 if node.start_mark else 0
    if isinstance(node, yaml.ScalarNode):
        if node.tag == "tag:yaml.org,2002:int" and not _fits(node, loader):
            raise InputError(f"line {line}: {cut(node.value)!r} is too large a whole number")
    elif isinstance(node, yaml.SequenceNode):
        for item in node.value:
            _refuse(item, loader, seen)
    else:
        keys: set[object] = set()
        for key, value in node.value:
            _refuse(key, loader, seen)
            _refuse(value, loader, seen)
            if isinstance(key, yaml.ScalarNode) and key.tag != MERGE:
                name = loader.construct_object(key)
                if name in keys:
                    at = key.start_mark.line + 1 if key.start_mark else line
                    raise InputError(f"line {at}: key {cut(key.value)!r} is given twice; remove one")
                keys.add(name)


def _fits(node: yaml.ScalarNode, loader: Any) -> bool:
    return len(node.value) <= LONGEST_NUMBER and abs(loader.construct_object(node)) < WHOLE


def parse_json(text: str | bytes, where: str) -> Any:
    """The value of a JSON text. Raises InputError, which begins with `where`."""
    if len(text) > LARGEST_JSON:
        raise InputError(f"{where}: {len(text):,} bytes; a JSON text has {LARGEST_JSON:,} at most")
    try:
        return json.loads(text, object_pairs_hook=_unique, parse_int=_whole)
    except InputError as error:
        raise InputError(f"{where}: {error}") from None
    except RecursionError:
        raise InputError(f"{where}: lists or mappings nest too deep") from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{where}: not a JSON file ({error})") from None


def read_json(path: Path) -> Any:
    """The value of a JSON file in UTF-8. Raises InputError where it is missing, too large or not JSON."""
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    if path.stat().st_size > LARGEST_JSON:
        raise InputError(f"{path}: larger than {LARGEST_JSON:,} bytes; not a JSON file of PRIME's")
    return parse_json(path.read_bytes(), str(path))


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        (twice, _), *_ = Counter(key for key, _ in pairs).most_common(1)
        raise InputError(f"key {cut(twice)!r} is given twice; remove one")
    return found


def _whole(text: str) -> int:
    value = int(text) if len(text) <= LONGEST_NUMBER else WHOLE
    if abs(value) >= WHOLE:
        raise InputError(f"{cut(text)} is too large a whole number")
    return value

"""The one parser: what is refused, where it stands, and that nothing grows on the way."""

import json
import re
import tracemalloc
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from prime.errors import InputError, bounded, shown
from prime.parsing import DEEPEST, LARGEST_YAML, parse_json, parse_yaml, read_json
from prime.settings.yaml_files import parse_value, read_yaml

PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**62), 2**62)
    | st.floats(allow_nan=False)
    | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=12,
)


def bomb(levels: int = 9, wide: int = 9) -> str:
    lines = [f"a0: &a0 [{', '.join(['lol'] * wide)}]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * wide)}]" for n in range(1, levels)]
    return "\n".join(lines)


@given(PLAIN)
def test_plain_values_come_back(value: object) -> None:
    assert parse_json(json.dumps(value), "here") == value
    text = yaml.safe_dump(value, allow_unicode=True)
    assert parse_yaml(text, "here") == yaml.safe_load(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\nb: 2\na: 3", "line 3: key 'a' is given twice"),
        ("a:\n  b: 1\n  c: 2\n  b: 2\n", "line 4: key 'b' is given twice"),
        ("- {x: 1, x: 2}", "line 1: key 'x' is given twice"),
        ("yes: 1\ntrue: 2", "line 2: key 'true' is given twice"),
        ("1: a\n0x1: b", "line 2: key '0x1' is given twice"),
        (bomb(), "more than 50,000 values"),
        ("<<: &a {k: 1}\nb: &b {<<: [" + "*a, " * 300 + "]}\nc: {<<: [" + "*b, " * 300 + "]}", "more than"),
        ("&a [*a]", "stands within what it names"),
        ("[" * (DEEPEST + 1) + "]" * (DEEPEST + 1), "within each other"),
        ("[" * 100_000, "within each other"),
        ("a: " + "9" * 5000, "too large a whole number"),
        ("a: 9223372036854775808", "too large a whole number"),
        ("a: 1:" + ":".join(["59"] * 60), "too large a whole number"),
        ("a: 2020-99-99", "not a YAML value"),
        ("a: [1", "line 2: not a YAML file"),
        ("a: b: c", "line 1: not a YAML file"),
        ("!!python/object/apply:os.system [id]", "not a YAML file"),
        ("? [a]\n: 1", "not a YAML file"),
        ("a: 1\n---\nb: 2", "not a YAML file"),
        ("a: \x00", "not a YAML file"),
        ("x" * (LARGEST_YAML + 1), "characters; a YAML text has"),
    ],
)
def test_what_a_yaml_text_must_not_hold(text: str, message: str) -> None:
    with pytest.raises(InputError, match=re.escape(message)) as error:
        parse_yaml(text, "file.yaml")
    assert str(error.value).startswith("file.yaml: ")
    assert len(str(error.value)) < 400


def test_a_merged_mapping_may_be_overruled_and_merged_again() -> None:
    text = "a: &a {k: 1, l: 2}\nz: {deep: {b: &b {<<: *a, k: 3}}}\nc: {<<: *b, l: 4}"
    assert parse_yaml(text, "x") == yaml.safe_load(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"a": 1, "b": {"c": 1, "c": 2}}', "key 'c' is given twice"),
        ("[" * 100_000, "nest too deep"),
        ("9" * 5000, "too large a whole number"),
        ('{"a": -9223372036854775809}', "too large a whole number"),
        ("{", "not a JSON file"),
        ("", "not a JSON file"),
        (b"\xff\xfe\x00", "not a JSON file"),
    ],
)
def test_what_a_json_text_must_not_hold(text: str | bytes, message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=re.escape(message)):
        parse_json(text, "here")
    path = tmp_path / "a.json"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(InputError, match=rf"a\.json: .*{re.escape(message)}"):
        read_json(path)


def test_files_and_settings_go_the_same_way(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text("os:\n  time: t\n  unit: days\n  unit: years\n")
    with pytest.raises(InputError, match=r"a\.yaml: line 4: key 'unit' is given twice"):
        read_yaml(path)
    with pytest.raises(
        InputError, match=r"--set a: .* is not a value that YAML can read \(key 'b' is given twice"
    ):
        parse_value("{b: 1, b: 2}", "--set a")
    path.write_bytes(b"a" * (4 * LARGEST_YAML + 1))
    with pytest.raises(InputError, match="too many for a YAML file"):
        read_yaml(path)


def test_a_bomb_takes_no_memory() -> None:
    tracemalloc.start()
    with pytest.raises(InputError):
        parse_yaml(bomb(20, 20), "bomb")
    assert tracemalloc.get_traced_memory()[1] < 2**23
    tracemalloc.stop()


def test_large_values_are_cut_before_they_are_formatted() -> None:
    nested: object = ["lol"] * 9
    for _ in range(40):
        nested = [nested] * 9  # 9**41 words
    assert len(shown(nested)) <= 100
    assert shown({"a": "x" * 10**6})[:6] == "{'a': "
    assert shown(1.5) == "1.5"
    text = bounded("\n".join(["y" * 10_000] * 1000))
    assert len(text) < 70_000
    assert text.endswith("and 970 more lines")
    assert bounded("short") == "short"

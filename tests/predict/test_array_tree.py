"""Dataclasses of arrays, written and read back; nothing else is made of a file."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from prime.predict.array_tree import put_together, take_apart


@dataclass(frozen=True)
class Leaf:
    values: Any
    name: str | None


@dataclass(frozen=True)
class Tree:
    leaves: dict[str, Leaf]
    parts: tuple[Any, ...]
    count: int


TREE = Tree(
    {"a": Leaf(np.arange(6.0).reshape(2, 3), "x"), "": Leaf(np.array([True, False]), None)},
    (np.arange(3), np.zeros(0, dtype=np.int64), np.arange(2)),
    7,
)


def same(a: Any, b: Any) -> None:
    (first, arrays), (second, others) = take_apart(a), take_apart(b)
    assert first == second
    assert arrays.keys() == others.keys()
    for name, values in arrays.items():
        np.testing.assert_array_equal(values, others[name])
        assert values.dtype == others[name].dtype


def test_what_is_put_together_is_what_was_taken_apart() -> None:
    described, arrays = take_apart(TREE)
    found = put_together(described, arrays, (Tree, Leaf))
    assert isinstance(found, Tree)
    same(found, TREE)
    assert len(arrays) == 4  # the vectors of a tuple stand together


def test_single_vectors_and_mixed_tuples_survive() -> None:
    for parts in ((), (np.arange(3.0),), (Leaf(np.ones(2), "x"), 3, None)):
        same(put_together(*take_apart(parts), (Leaf,)), parts)


def test_other_classes_are_not_made() -> None:
    described, arrays = take_apart(TREE)
    with pytest.raises(KeyError, match="Leaf"):
        put_together(described, arrays, (Tree,))
    with pytest.raises(KeyError):
        put_together({"class": "Path", "fields": {}}, {}, (Tree, Leaf))


@pytest.mark.parametrize("damage", [{"array": "gone"}, {"ragged": "gone"}, {"what": 1}, [1]])
def test_damaged_descriptions_are_errors(damage: Any) -> None:
    with pytest.raises((KeyError, TypeError)):
        put_together(damage, {}, ())


def test_lengths_must_add_up() -> None:
    arrays = {"x.values": np.arange(3.0), "x.lengths": np.array([1, 1])}
    with pytest.raises(ValueError, match="do not add up"):
        put_together({"ragged": "x"}, arrays, ())


def test_what_is_no_data_is_refused() -> None:
    with pytest.raises(TypeError, match="root: a function"):
        take_apart(same)

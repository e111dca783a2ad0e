"""Registries: entries by name, with the place of their code, which is imported when it is needed."""

from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import Any, Protocol, TypeVar

from prime.errors import InputError


class Entry(Protocol):
    """What a registry holds: a name, and the place of the code as `module:attribute`."""

    @property
    def name(self) -> str: ...
    @property
    def place(self) -> str: ...


E = TypeVar("E", bound=Entry)


class Registry(Mapping[str, E]):
    """Entries by name, in the order in which they were added; `what` is their kind, for messages."""

    def __init__(self, what: str, *entries: E) -> None:
        self.what = what
        self.entries: dict[str, E] = {}
        for entry in entries:
            self.add(entry)

    def add(self, entry: E) -> E:
        """Register an entry. Raises ValueError for a name that is taken."""
        if entry.name in self.entries:
            raise ValueError(f"{self.what} {entry.name!r} is registered twice")
        self.entries[entry.name] = entry
        return entry

    def remove(self, name: str) -> None:
        """Take an entry out again."""
        del self.entries[name]

    def find(self, name: str) -> E:
        """The entry of a name that a user gave. Raises InputError for an unknown one."""
        if name not in self.entries:
            raise InputError(f"no {self.what} {name!r}; there are {', '.join(self.entries)}")
        return self.entries[name]

    def __getitem__(self, name: str) -> E:
        return self.entries[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.entries)

    def __len__(self) -> int:
        return len(self.entries)


def load(place: str) -> Any:
    """The object at `module:attribute`."""
    module, _, attribute = place.partition(":")
    return getattr(import_module(module), attribute)

"""The registry of readers: an option of the cohort file names one, and a decorator adds one."""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prime.cohort.config import SourceConfig
from prime.cohort.source import SourceRows
from prime.errors import InputError

Keep = Collection[str] | None
Read = Callable[[Any, Path, str, Keep], SourceRows]
Files = Callable[[Any, Path, str], list[Path]]


@dataclass(frozen=True)
class Reader:
    """How one kind of source is read.

    Attributes:
        read: (its config, root folder, name for messages, patients to keep or None for all) to its rows.
        files: (its config, root folder, name for messages) to the files it depends on, without reading them.
    """

    read: Read
    files: Files


READERS: dict[str, Reader] = {}


def reader(*names: str, files: Files) -> Callable[[Read], Read]:
    """Register a function as the reader of the sources whose `reader:` is one of `names`."""

    def register(read: Read) -> Read:
        for name in names:
            READERS[name] = Reader(read, files)
        return read

    return register


def read_source(name: str, config: SourceConfig, root: Path | str, keep: Keep = None) -> SourceRows:
    """Open one source: what it is at once, its rows lazily.

    Args:
        name: the source's name, for messages.
        config: its options.
        root: the cohort's root folder.
        keep: only these patients, or None for all.

    Raises:
        InputError: the files are missing or malformed; some faults show only once the rows are read.
    """
    return READERS[config.reader].read(config, Path(root), f"source {name}", keep)


def source_files(name: str, config: SourceConfig, root: Path | str) -> list[Path]:
    """The files a source depends on, in order. Raises InputError where there are none."""
    found = READERS[config.reader].files(config, Path(root), f"source {name}")
    for path in found:
        if not path.is_file():
            raise InputError(f"source {name}: {path}: no such file")
    return found

"""The registry of readers: the option `reader` of a source names one, and a decorator adds one."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from prime.cohort.source import SourceConfig, SourceRows, SourceTexts
from prime.errors import InputError

S = TypeVar("S", bound=SourceConfig)


@dataclass(frozen=True)
class Reader:
    """How one kind of source is read. Each function takes the source's settings, the cohort's root folder,
    and what to begin a message with.

    Attributes:
        settings: the class that validates the source's options.
        read: to its rows.
        files: to the files that it depends on, without reading them.
        inspect: to what `prime check` looks at.
    """

    settings: type[SourceConfig]
    read: Callable[[Any, Path, str], SourceRows]
    files: Callable[[Any, Path, str], list[Path]]
    inspect: Callable[[Any, Path, str], SourceRows | SourceTexts]


READERS: dict[str, Reader] = {}


def _path_alone(config: SourceConfig, root: Path, where: str) -> list[Path]:
    return [root / config.path]


def reader(
    *names: str,
    settings: type[S],
    files: Callable[[S, Path, str], list[Path]] = _path_alone,
    inspect: Callable[[S, Path, str], SourceRows | SourceTexts] | None = None,
) -> Callable[[Callable[[S, Path, str], SourceRows]], Callable[[S, Path, str], SourceRows]]:
    """Register a function as the reader of the sources whose `reader:` is one of `names`.

    Args:
        names: as they stand in a cohort file.
        settings: validates the options of such a source.
        files: lists what the source depends on; `path` alone where it is left out.
        inspect: for the check: rows before a patient's are averaged, or texts without running an encoder;
            the reader itself where it is left out.

    Raises ValueError for a name that is taken.
    """

    def register(read: Callable[[S, Path, str], SourceRows]) -> Callable[[S, Path, str], SourceRows]:
        for name in names:
            if name in READERS:
                raise ValueError(f"reader {name!r} is registered twice")
            READERS[name] = Reader(settings, read, files, inspect or read)
        return read

    return register


def read_source(name: str, config: SourceConfig, root: Path | str) -> SourceRows:
    """Open one source: what it is at once, its rows lazily.

    Args:
        name: the source's name, for messages.
        config: its options.
        root: the cohort's root folder.

    Raises:
        InputError: the files are missing or malformed; some faults show only once the rows are read.
    """
    return READERS[config.reader].read(config, Path(root), f"source {name}")


def inspect_source(name: str, config: SourceConfig, root: Path | str) -> SourceRows | SourceTexts:
    """Open one source as the check looks at it, without running an encoder. Raises as read_source."""
    return READERS[config.reader].inspect(config, Path(root), f"source {name}")


def source_files(name: str, config: SourceConfig, root: Path | str) -> list[Path]:
    """The files a source depends on, in order. Raises InputError where there are none."""
    found = READERS[config.reader].files(config, Path(root), f"source {name}")
    for path in found:
        if not path.is_file():
            raise InputError(f"source {name}: {path}: no such file")
    return found

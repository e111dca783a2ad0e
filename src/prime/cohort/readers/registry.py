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
    and the text with which its messages begin.

    Attributes:
        settings: the class that validates the source's options.
        read: returns its rows.
        files: lists the files that it depends on, without reading them.
        inspect: returns what `prime check` examines.
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
        names: as in a cohort file.
        settings: validates the options of such a source.
        files: lists the files that the source depends on; by default `path`.
        inspect: for `prime check`: rows before those of a patient are averaged, or texts before they are
            encoded; by default the reader itself.

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
    """Open a source: its description is complete, its rows are read lazily.

    Args:
        name: the source's name, for messages.
        config: its options.
        root: the cohort's root folder.

    Raises:
        InputError: the files are missing or malformed; some faults show only once the rows are read.
    """
    return READERS[config.reader].read(config, Path(root), f"source {name}")


def inspect_source(name: str, config: SourceConfig, root: Path | str) -> SourceRows | SourceTexts:
    """Open a source as `prime check` examines it, without running an encoder. Raises as read_source."""
    return READERS[config.reader].inspect(config, Path(root), f"source {name}")


def source_files(name: str, config: SourceConfig, root: Path | str) -> list[Path]:
    """The files a source depends on, in order. Raises InputError where there are none."""
    found = READERS[config.reader].files(config, Path(root), f"source {name}")
    for path in found:
        if not path.is_file():
            raise InputError(f"source {name}: {path}: no such file")
    return found

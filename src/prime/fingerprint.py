"""What identifies a file's content, quickly where its size and time of change tell, else by its hash."""

from dataclasses import dataclass
from pathlib import Path

from prime.files import sha256_file


@dataclass(frozen=True)
class FileStamp:
    """A file as it was read.

    Attributes:
        path: relative to the cohort's root where it lies below it, else absolute.
        size: bytes.
        mtime_ns: time of change.
        sha256: of its content.
    """

    path: str
    size: int
    mtime_ns: int
    sha256: str


def name_below(path: Path, root: Path) -> str:
    """The path relative to `root` where it lies below it, else absolute."""
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else str(path.absolute())


def stamp(path: Path, root: Path, known: dict[str, FileStamp] | None = None) -> FileStamp:
    """A file's stamp; where `known` has it with the same size and time, its hash is taken over."""
    facts = path.stat()
    name = name_below(path, root)
    old = None if known is None else known.get(name)
    if old is not None and (old.size, old.mtime_ns) == (facts.st_size, facts.st_mtime_ns):
        return old
    return FileStamp(name, facts.st_size, facts.st_mtime_ns, sha256_file(path))


def changed(root: Path, now: list[Path], before: list[FileStamp], what: str) -> list[str]:
    """Reasons why files are not those stamped before: missing, new, or of other content.

    A file outside the root, such as an encoder's in an environment, may have moved: another folder with files
    of the same names and content is the same.
    """
    known = {item.path: item for item in before}
    names = {name_below(path, root): path for path in now}
    for name, path in [(name, path) for name, path in names.items() if name not in known]:
        if (old := _moved(name, path, [known[gone] for gone in known if gone not in names])) is not None:
            names[old.path] = names.pop(name)
    gone = [name for name in known if name not in names or not names[name].is_file()]
    reasons = [f"{what}: {name} is missing" for name in gone]
    for name, path in names.items():
        if name not in known:
            reasons.append(f"{what}: {name} is new")
        elif path.is_file() and stamp(path, root, known).sha256 != known[name].sha256:
            reasons.append(f"{what}: {name} changed")
    return reasons


def _moved(name: str, path: Path, gone: list[FileStamp]) -> FileStamp | None:
    """The stamp of a file that stood outside the root, with the same last name and content; None without."""
    alike = [old for old in gone if Path(old.path).is_absolute() and Path(old.path).name == path.name]
    if not alike or not Path(name).is_absolute() or not path.is_file():
        return None
    content = sha256_file(path) if any(old.size == path.stat().st_size for old in alike) else None
    return next((old for old in alike if old.sha256 == content), None)

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
    for name, old in _moved(names, known).items():
        names[old] = names.pop(name)
    gone = [name for name in known if name not in names or not names[name].is_file()]
    reasons = [f"{what}: {name} is missing" for name in gone]
    for name, path in names.items():
        if name not in known:
            reasons.append(f"{what}: {name} is new")
        elif path.is_file() and stamp(path, root, known).sha256 != known[name].sha256:
            reasons.append(f"{what}: {name} changed")
    return reasons


def _moved(names: dict[str, Path], known: dict[str, FileStamp]) -> dict[str, str]:
    """New names of files outside the root, and the old name of the same content with the same last name."""
    left: dict[str, list[FileStamp]] = {}
    for name, old in known.items():
        if name not in names and Path(name).is_absolute():
            left.setdefault(Path(name).name, []).append(old)
    found: dict[str, str] = {}
    for name, path in names.items():
        alike = left.get(path.name, [])
        if name in known or not alike or not Path(name).is_absolute() or not path.is_file():
            continue
        if any(old.size == path.stat().st_size for old in alike):
            content = sha256_file(path)
            same = next((old for old in alike if old.sha256 == content), None)
            if same is not None:
                alike.remove(same)
                found[name] = same.path
    return found

"""Which fetched files have the right md5, kept on disk so that terabytes are not hashed at every start."""

import threading
from pathlib import Path

from prime.encode.gdc.download import md5_of
from prime.encode.gdc.manifest import GdcFile

PLACE = Path(".gdc") / "verified.tsv"


class VerifiedFiles:
    """A list in the fetched folder: a line per file with name, size, time of change and md5.

    A file that has changed since in size or time is hashed again. A half-written line, after a kill, is
    ignored.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._path = folder / PLACE
        self._lock = threading.Lock()
        self._known: set[str] = set()
        if self._path.is_file():
            self._known = set(self._path.read_text(encoding="utf-8", errors="replace").splitlines())

    def has(self, file: GdcFile) -> bool:
        """Whether the file is there with its size and md5 of the manifest, hashed where that is unknown."""
        path = file.path(self._folder)
        if not path.is_file() or path.stat().st_size != file.size:
            return False
        if self._line(file) in self._known:
            return True
        if md5_of(path) != file.md5:
            return False
        self.add(file)
        return True

    def add(self, file: GdcFile) -> None:
        """Note a file that is there and whose md5 was checked."""
        line = self._line(file)
        with self._lock:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with self._path.open("a", encoding="utf-8") as out:
                out.write(f"\n{line}\n")  # the first line feed ends a line that a kill left unfinished
            self._known.add(line)

    def _line(self, file: GdcFile) -> str:
        facts = file.path(self._folder).stat()
        return f"{file.data}/{file.filename}\t{facts.st_size}\t{facts.st_mtime_ns}\t{file.md5}"

"""Which fetched files were found right, so that md5 sums of terabytes are not computed at every start."""

import threading
from pathlib import Path

from prime.encode.gdc.download import md5_of
from prime.encode.gdc.manifest import GdcFile

PLACE = Path(".gdc") / "verified.tsv"


class Ledger:
    """Lines of name, size, time of change and md5 in a fetched folder, added as files are found right.

    A file that changed since, in size or time, is computed again. Half a line, after a kill, is ignored.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._path = folder / PLACE
        self._lock = threading.Lock()
        self._known: set[str] = set()
        if self._path.is_file():
            self._known = set(self._path.read_text(encoding="utf-8", errors="replace").splitlines())

    def is_right(self, file: GdcFile) -> bool:
        """Whether the file lies in its place with the size and md5 of the manifest."""
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
        """Note a file, which lies in its place, as right."""
        line = self._line(file)
        with self._lock:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with self._path.open("a", encoding="utf-8") as out:
                out.write(f"\n{line}\n")  # the first break ends a line that a kill left half
            self._known.add(line)

    def _line(self, file: GdcFile) -> str:
        facts = file.path(self._folder).stat()
        return f"{file.data}/{file.filename}\t{facts.st_size}\t{facts.st_mtime_ns}\t{file.md5}"

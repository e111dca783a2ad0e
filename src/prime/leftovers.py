"""Names of files that are being written, and the removal of those that killed processes left behind."""

import os
import re
import socket
import uuid
from contextlib import suppress
from hashlib import sha256
from pathlib import Path

_HERE = sha256(socket.gethostname().encode()).hexdigest()[:6]  # processes are known on their own machine
_HIDDEN = re.compile(r"\..*\.([0-9a-f]{6})-(\d{1,9})-[0-9a-f]{8}(?:\.[^.]{0,20})?", re.DOTALL)
_swept: set[str] = set()


def hidden_name(path: Path) -> Path:
    """A new hidden name beside `path`, with its suffix, the machine and the process in it."""
    mark = f"{_HERE}-{os.getpid()}-{uuid.uuid4().hex[:8]}"
    return path.with_name(f".{path.stem[:40]}.{mark}{path.suffix[:20]}")


def sweep(folder: Path) -> None:
    """Remove the hidden files in a folder whose processes have ended; once a process and folder."""
    name = os.path.abspath(folder)
    if name in _swept:
        return
    _swept.add(name)
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if (match := _HIDDEN.fullmatch(entry.name)) and match[1] == _HERE and not _runs(int(match[2])):
                with suppress(OSError):
                    os.unlink(entry.path)


def _runs(process: int) -> bool:
    """Whether a process of this machine is there; where that cannot be known, it is taken to be."""
    if os.name == "nt":
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True

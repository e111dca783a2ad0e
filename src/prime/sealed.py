"""Folders that are read only as they were written: a manifest with the checksums of the files beside it.

Stores, checkpoints and model folders are such folders. The manifest is written last. It holds the SHA-256 of
each file under `sha256`, and its own, over all its other keys, under `seal`: against damage and edits by
mistake, not against somebody who writes new checksums.
"""

import json
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, cast

from prime.errors import InputError
from prime.files import cache_folder, sha256_file, sha256_text, write_json
from prime.parsing import read_json

DIGESTS, SEAL = "sha256", "seal"
REMEMBERED_FROM = 2**20  # bytes; a smaller file is hashed whenever it is read
SETTLED_NS = 2_000_000_000  # since a file's last change; before, its time cannot tell another change

_known: dict[str, tuple[list[int], str]] = {}


def write_sealed(path: Path, facts: Mapping[str, Any], digests: Mapping[str, str]) -> None:
    """Write a manifest: `facts`, which are JSON values, and the checksums of files by name."""
    contents = json.loads(json.dumps({**facts, DIGESTS: dict(digests)}, default=str))
    write_json(path, contents | {SEAL: _own(contents)})


def _own(manifest: Mapping[str, Any]) -> str:
    rest = {key: value for key, value in manifest.items() if key != SEAL}
    return sha256_text(json.dumps(rest, sort_keys=True))


def read_sealed(path: Path, kind: str, remedy: str) -> dict[str, Any]:
    """Read a manifest. `kind` says what its folder is ("store"), `remedy` what to do where it is damaged.

    Raises InputError where it is missing, no such manifest, or not as it was written.
    """
    found = read_json(path)
    manifest = cast(dict[str, Any], found) if isinstance(found, dict) else {}
    if SEAL not in manifest or not isinstance(manifest.get(DIGESTS), dict):
        raise InputError(f"{path}: not the manifest of a {kind}, or of an older version; {remedy}")
    if manifest[SEAL] != _own(manifest):
        raise InputError(f"{path}: damaged {kind}: its manifest is not as it was written; {remedy}")
    return manifest


def require_files(
    folder: Path, manifest: Mapping[str, Any], names: Iterable[str], kind: str, remedy: str
) -> None:
    """Raise InputError unless each file is in the manifest's list and has the checksum that stands there."""
    for name in names:
        path, digest = folder / name, manifest[DIGESTS].get(name)
        if not path.is_file():
            fault = "missing"
        elif digest is None:
            fault = "the manifest has no checksum of it"
        elif remembered_sha256(path) != digest:
            fault = "its checksum is not the manifest's"
        else:
            continue
        raise InputError(f"{folder}: damaged {kind}: {name}: {fault}; {remedy}")


def remembered_sha256(path: Path) -> str:
    """SHA-256 of a file. A large one is hashed once for each size and time of change.

    What is known is kept in the cache folder, so that other processes know it too.
    """
    facts = path.stat()
    stamp = [facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns, facts.st_ino]
    if facts.st_size < REMEMBERED_FROM or time.time_ns() - max(stamp[1:3]) < SETTLED_NS:
        return sha256_file(path)
    name = str(path.resolve())
    note = cache_folder() / "checksums" / f"{sha256_text(name)[:32]}.json"
    known = _known.get(name) or _noted(note)
    if known is None or known[0] != stamp:
        known = (stamp, sha256_file(path))
        _note(note, known)
    _known[name] = known
    return known[1]


def _noted(note: Path) -> tuple[list[int], str] | None:
    try:
        stamp, digest = read_json(note)
    except (InputError, OSError, ValueError, TypeError):
        return None
    return stamp, digest


def _note(note: Path, known: tuple[list[int], str]) -> None:
    with suppress(InputError, OSError):  # no cache folder here: hashed again next time
        write_json(note, known)

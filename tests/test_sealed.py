"""Manifests with checksums: what is believed, and how often a large file is hashed."""

import json
import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prime import sealed
from prime.errors import InputError
from prime.files import sha256_file
from prime.sealed import read_sealed, remembered_sha256, require_files, write_sealed

FACTS = st.dictionaries(
    st.text(max_size=4),
    st.floats() | st.integers(-9, 9) | st.text(max_size=4) | st.none() | st.lists(st.text()),
)


@given(FACTS)
def test_what_was_written_is_read_and_no_other(facts: dict[str, object]) -> None:
    facts = {key: value for key, value in facts.items() if key not in ("sha256", "seal")}
    path = Path(tempfile.gettempdir()) / f"sealed-{os.getpid()}.json"
    write_sealed(path, facts, {"a": "b"})
    found = read_sealed(path, "store", "pack it again")
    assert found["sha256"] == {"a": "b"}
    assert repr({k: v for k, v in found.items() if k not in ("sha256", "seal")}) == repr(facts)
    path.write_text(json.dumps({**found, "new": 1}))
    with pytest.raises(InputError, match="not as it was written; pack it again"):
        read_sealed(path, "store", "pack it again")
    path.unlink()


@pytest.mark.parametrize("text", ["[]", "{}", '{"seal": 1}', '{"seal": "x", "sha256": []}'])
def test_what_is_no_manifest(tmp_path: Path, text: str) -> None:
    (tmp_path / "m.json").write_text(text)
    with pytest.raises(InputError, match=r"m\.json: not the manifest of a store, or of an older version; do"):
        read_sealed(tmp_path / "m.json", "store", "do")


def test_files_are_those_of_the_manifest(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("1")
    write_sealed(tmp_path / "m.json", {}, {"a": sha256_file(tmp_path / "a"), "gone": "0"})
    manifest = read_sealed(tmp_path / "m.json", "store", "do")
    require_files(tmp_path, manifest, ["a"], "store", "do")
    (tmp_path / "b").write_text("1")
    for name, message in (("gone", "gone: missing"), ("b", "b: the manifest has no checksum of it")):
        with pytest.raises(InputError, match=f"damaged store: {message}; do"):
            require_files(tmp_path, manifest, [name], "store", "do")
    (tmp_path / "a").write_text("2")
    with pytest.raises(InputError, match="a: its checksum is not the manifest's"):
        require_files(tmp_path, manifest, ["a"], "store", "do")


@pytest.fixture
def hashed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """What is hashed; files count as large and settled."""
    found: list[Path] = []
    monkeypatch.setenv("PRIME_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(sealed, "REMEMBERED_FROM", 0)
    monkeypatch.setattr(sealed, "SETTLED_NS", 0)
    monkeypatch.setattr(sealed, "_known", {})
    monkeypatch.setattr(sealed, "sha256_file", lambda path: (found.append(path), sha256_file(path))[1])
    return found


def test_a_large_file_is_hashed_once_for_each_size_and_time(
    tmp_path: Path, hashed: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a"
    path.write_text("1")
    first = remembered_sha256(path)
    assert remembered_sha256(path) == first == sha256_file(path)
    monkeypatch.setattr(sealed, "_known", {})  # another process
    assert remembered_sha256(path) == first
    assert hashed == [path]
    before = path.stat()
    path.write_text("2")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))  # same size, same time of change
    assert remembered_sha256(path) == sha256_file(path) != first
    (note,) = (tmp_path / "cache" / "checksums").iterdir()
    for damage in ("", "[]", "{", "[[1, 2], 3]"):
        note.write_text(damage)
        monkeypatch.setattr(sealed, "_known", {})
        assert remembered_sha256(path) == sha256_file(path)


def test_without_a_cache_folder_it_is_hashed_each_time(
    tmp_path: Path, hashed: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("PRIME_CACHE", str(tmp_path / "file"))
    (tmp_path / "a").write_text("1")
    assert remembered_sha256(tmp_path / "a") == sha256_file(tmp_path / "a")


def test_a_file_that_has_just_changed_is_not_remembered(
    tmp_path: Path, hashed: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sealed, "SETTLED_NS", 10**12)
    (tmp_path / "a").write_text("1")
    for _ in range(2):
        remembered_sha256(tmp_path / "a")
    assert len(hashed) == 2

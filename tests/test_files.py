"""Reading users' texts, and writing tables and arrays so that a failure leaves the old file."""

import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import save_file

from prime.errors import InputError
from prime.files import read_text, replacing, write_csv, write_npy, write_text, writing_below
from prime.leftovers import hidden_name


def test_texts_are_utf8_with_or_without_a_mark(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    for data in ("é\nb\n".encode(), "\ufeffé\r\nb\r\n".encode()):
        path.write_bytes(data)
        assert read_text(path) == "é\nb\n"


def test_a_text_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    with pytest.raises(InputError, match=r"^--train: .*a\.txt: no such file$"):
        read_text(path, "--train")
    path.write_bytes(b"ab\xff")
    with pytest.raises(InputError, match=r"a\.txt: not UTF-8 \(byte 2\)"):
        read_text(path)


def test_tables_and_arrays(tmp_path: Path) -> None:
    write_csv(tmp_path / "new" / "t.csv", pd.DataFrame({"a": [1.23456, 2]}), float_format="%.2f")
    assert (tmp_path / "new" / "t.csv").read_text() == "a\n1.23\n2.00\n"
    write_npy(tmp_path / "x.npy", np.arange(3))
    with pytest.raises(ValueError, match="Object arrays"):
        write_npy(tmp_path / "x.npy", np.array([object()]))
    assert np.load(tmp_path / "x.npy").tolist() == [0, 1, 2]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["new", "x.npy"]


def test_nothing_is_put_in_the_place_of_what_is_no_file(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("old")
    (tmp_path / "link").symlink_to(tmp_path / "file")
    os.mkfifo(tmp_path / "pipe")
    for name, kind in (("folder", "folder"), ("link", "link"), ("pipe", "device, pipe or socket")):
        before = (tmp_path / name).lstat()
        with pytest.raises(InputError, match=f"{name}: is a {kind}, and no file can be put in its place"):
            write_text(tmp_path / name, "new")
        assert (tmp_path / name).lstat() == before
    with pytest.raises(InputError, match="/dev/null: is a device"):
        write_text(Path("/dev/null"), "new")
    assert Path("/dev/null").is_char_device()
    assert (tmp_path / "file").read_text() == "old"


def test_nothing_is_written_outside_the_folders_where_they_are_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PRIME_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    with writing_below(Path("out")):
        for path in (tmp_path / "out" / "a", Path("out/b/../c"), tmp_path / "cache" / "d"):
            write_text(path, "")
        for path in (Path("x"), Path("out/../x"), Path("out/../../x"), Path("outer"), tmp_path.parent / "x"):
            with pytest.raises(InputError, match=r"lies outside .*out; nothing is written there"):
                write_text(path, "")
        with writing_below(tmp_path / "store"):
            write_text(tmp_path / "store" / "x", "")
            write_text(tmp_path / "out" / "x", "")
        with pytest.raises(InputError, match="lies outside"):
            write_text(tmp_path / "store" / "y", "")
    write_text(tmp_path / "x", "")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cache", "out", "store", "x"]


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """A disk that takes files of so many bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


BIG = {
    "text": lambda path: path.write_text("a" * 10**6),
    "csv": lambda path: pd.DataFrame({"a": np.arange(10**5)}).to_csv(path),
    "parquet": lambda path: pd.DataFrame({"a": np.random.default_rng(0).random(10**5)}).to_parquet(path),
    "npy": lambda path: np.save(path, np.zeros(10**5)),
    "torch": lambda path: torch.save(torch.zeros(10**5), path),
    "safetensors": lambda path: save_file({"a": torch.zeros(10**5)}, path),
}


@pytest.mark.parametrize("kind", BIG)
def test_a_full_disk_is_one_line_with_the_path_whoever_writes(tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"a.{kind}"
    path.write_text("old")
    with largest_file(2**16), pytest.raises(InputError) as error, replacing(path) as temporary:
        BIG[kind](temporary)
    assert str(error.value).startswith(f"{path}: cannot be written (")
    assert str(error.value).endswith("File too large)")
    assert [one.name for one in tmp_path.iterdir()] == [path.name]
    assert path.read_text() == "old"


def test_no_place_for_a_file_is_one_line_with_the_path(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "file" / "a", tmp_path / ("n" * 300), tmp_path / ("n" * 300) / "a"):
        with pytest.raises(InputError, match=r"a?: cannot be written") as error:
            write_text(path, "")
        assert str(error.value).startswith(str(path))
    with pytest.raises(InputError, match="cannot be written"), replacing(tmp_path / "new" / "a"):
        shutil.rmtree(tmp_path / "new")  # the folder is removed in mid-run


def test_the_error_of_another_file_is_not_that_of_the_target(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="other"), replacing(tmp_path / "a"):
        (tmp_path / "other").read_text()
    with pytest.raises(ZeroDivisionError), replacing(tmp_path / "a"):
        _ = 1 / 0
    assert not list(tmp_path.iterdir())


def test_what_a_killed_process_left_is_removed_by_the_next(tmp_path: Path) -> None:
    code = (
        "import os, sys, pathlib; from prime.files import replacing\n"
        "with replacing(pathlib.Path(sys.argv[1])) as temporary:\n"
        "    temporary.write_text('half'); os.kill(os.getpid(), 9)"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "a.txt")], check=False)
    (left,) = tmp_path.iterdir()
    assert left.name.startswith(".a.")
    running = hidden_name(tmp_path / "b.txt")
    running.write_text("of this process")
    for name in (".hidden", ".a.txt", ".a.ffffff-1-00000000.txt"):  # a user's, and one of another machine
        (tmp_path / name).write_text("")
    write_text(tmp_path / "c.txt", "")
    names = {".hidden", ".a.txt", ".a.ffffff-1-00000000.txt", running.name, "c.txt"}
    assert {path.name for path in tmp_path.iterdir()} == names

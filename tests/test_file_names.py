"""Names from data become names of files, one for each."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prime.file_names import LONGEST, file_name, is_file_name

BAD = ["", ".", "..", "../evil", "x/../../..", "/etc/passwd", "a\\b", "C:\\x", "a\0b", "a\nb"]
BAD += [".hidden", "-rf", " a", "a ", "a.", "con", "NUL.txt", "com1", "x" * 230, "é" * 200, "\ud800"]
BAD += ["a:b", "*", "~", "$HOME"]


@pytest.mark.parametrize("name", ["LUAD", "TCGA-AA-0001", "type 2", "a.b_c+d", "x" * LONGEST, "1"])
def test_plain_names_stay(name: str) -> None:
    assert file_name(name) == name


@pytest.mark.parametrize("name", BAD)
def test_others_become_plain(name: str) -> None:
    assert not is_file_name(name)
    assert is_file_name(file_name(name))
    assert file_name(file_name(name)) == file_name(name)


def test_no_two_become_one() -> None:
    assert len({file_name(name) for name in BAD}) == len(BAD)


@given(st.text(max_size=300), st.text(max_size=300))
def test_every_name_is_a_file_in_its_folder(one: str, other: str) -> None:
    name = file_name(one)
    assert Path(os.path.normpath(Path("out") / f"{name}.parquet")).parent == Path("out")
    assert len(name.encode()) <= LONGEST
    assert (file_name(other) == name) == (one == other)

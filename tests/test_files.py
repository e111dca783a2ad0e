"""Reading users' texts, and writing tables and arrays so that a failure leaves the old file."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from prime.errors import InputError
from prime.files import read_text, write_csv, write_npy


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

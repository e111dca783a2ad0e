"""Rows on their way into a store: a few patients together, and who has a number that cannot be."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from prime.cohort.source import SourceRows
from prime.errors import InputError
from prime.store import packing

Rows = dict[str, NDArray[np.float32]]


def streamed(rows: Rows, path: Path) -> dict[str, tuple[int, int]]:
    """Start and length of each patient."""
    source = SourceRows("sequence", 3, None, iter(rows.items()), "a file")
    table = packing._stream(source, path, "float32")
    return {p: (int(s), int(n)) for p, s, n in table.itertuples(index=False)}


def made(count: int) -> Rows:
    rng = np.random.default_rng(0)
    return {f"P{i}": rng.normal(size=(rng.integers(1, 5), 3)).astype(np.float32) for i in range(count)}


@pytest.mark.parametrize("together", [1, 7, 10**6])
def test_rows_are_those_of_each_patient_however_many_are_written_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, together: int
) -> None:
    monkeypatch.setattr(packing, "WRITTEN_TOGETHER", together)
    rows = made(20)
    index, stored = streamed(rows, tmp_path / "a.npy"), np.load(tmp_path / "a.npy")
    assert list(index) == list(rows)
    assert len(stored) == sum(map(len, rows.values()))
    for patient, (start, length) in index.items():
        assert np.array_equal(stored[start : start + length], rows[patient])


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_the_patient_with_a_bad_number_is_named(tmp_path: Path, bad: float) -> None:
    rows = made(20)
    rows["P13"][0, 1] = bad
    with pytest.raises(InputError, match="a file: patient P13 has NaN or an infinite number"):
        streamed(rows, tmp_path / "a.npy")
    assert not list(tmp_path.iterdir())

"""Tables of vectors larger than memory: read some columns at a time, held in a file, the same to a bit."""

import errno
import os
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prime.cohort import large_matrix as matrices
from prime.cohort.large_matrix import large_matrix
from prime.cohort.patient_rows import RowsByPatient, blocks_of
from prime.cohort.readers import read_source, vector
from prime.cohort.readers.vector import VectorSource
from prime.cohort.source import SourceRows
from prime.errors import InputError


def write_table(path: Path) -> Path:
    """Thirty rows of twenty patients in no order: gaps, an empty row and column, an index, text numbers."""
    rng = np.random.default_rng(0)
    table = pd.DataFrame(rng.normal(size=(30, 6)), columns=["a", "a.b", "b", "c", "d", "e"])
    table = table.mask(rng.random(table.shape) < 0.2)
    table.loc[4] = np.nan
    table["d"] = np.nan
    table["e"] = pd.Series(rng.integers(0, 9, 30)).astype(str)
    table.insert(0, "patient_id", [f"P{i}" for i in rng.integers(0, 20, 30)])
    table.loc[4, "e"] = "NA"
    table.insert(0, "Unnamed: 0", range(30))
    table.to_parquet(path, index=False) if path.suffix == ".parquet" else table.to_csv(path, index=False)
    return path


def read(path: Path, instances: str) -> tuple[SourceRows, dict[str, np.ndarray]]:
    config = VectorSource.model_validate({"reader": "vector", "path": path.name, "instances": instances})
    source = read_source("x", config, path.parent)
    return source, dict(source.patients)


@pytest.mark.parametrize("instances", ["mean", "tokens"])
@pytest.mark.parametrize("suffix", ["parquet", "csv"])
def test_a_table_in_a_file_reads_as_one_in_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str, instances: str
) -> None:
    path = write_table(tmp_path / f"t.{suffix}")
    whole, expected = read(path, instances)
    monkeypatch.setattr(matrices, "IN_MEMORY", 0)
    monkeypatch.setattr(vector, "CHUNK_VALUES", 1)
    parts, found = read(path, instances)
    assert (parts.feature_names, parts.notes, parts.empty) == (whole.feature_names, whole.notes, whole.empty)
    assert parts.feature_names == ["a", "a.b", "b", "c", "e"]
    assert list(found) == list(expected)
    for patient, rows in expected.items():
        assert np.array_equal(found[patient], rows, equal_nan=True)


def test_values_are_those_of_a_plain_loop(tmp_path: Path) -> None:
    path = write_table(tmp_path / "t.parquet")
    table = pd.read_parquet(path)
    _, found = read(path, "tokens")
    for patient, rows in found.items():
        own = table[table["patient_id"] == patient][["a", "a.b", "b", "c", "e"]]
        own = own.replace("NA", np.nan).astype(float).dropna(how="all")
        assert np.array_equal(rows, own.to_numpy(dtype=np.float32), equal_nan=True)
    assert sum(len(rows) for rows in found.values()) == 29


def test_a_large_matrix_is_zeros_that_can_be_filled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(matrices, "IN_MEMORY", 0)
    values = large_matrix(300, 7, "t")
    assert isinstance(values, np.memmap)
    assert not values.any()
    values[:, 3] = 5
    assert values.sum() == 1500


@pytest.mark.parametrize("has_fallocate", [True, False])
def test_a_full_disk_is_one_error_that_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch, has_fallocate: bool
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(matrices, "IN_MEMORY", 0)
    if has_fallocate:
        monkeypatch.setattr(os, "posix_fallocate", full)
    else:
        monkeypatch.delattr(os, "posix_fallocate")
        monkeypatch.setattr(matrices, "ZEROS", bytes(16))
        assert large_matrix(3, 7, "t").shape == (3, 7)
        monkeypatch.setattr(matrices.tempfile, "TemporaryFile", full)
    with pytest.raises(InputError, match=r"t: 0\.0 GiB do not fit into .*No space left.*set TMPDIR"):
        large_matrix(300, 7, "t")


@given(
    ids=st.lists(st.sampled_from("abcdé"), max_size=12),
    average=st.booleans(),
    some_columns=st.booleans(),
    together=st.integers(1, 30),
)
def test_blocks_of_patients_hold_what_each_patient_has(
    ids: list[str], average: bool, some_columns: bool, together: int
) -> None:
    rng = np.random.default_rng(len(ids))
    values = rng.normal(size=(len(ids) + 3, 4)).astype(np.float32)
    values[rng.random(values.shape) < 0.2] = np.nan
    rows = rng.permutation(len(values))[: len(ids)]
    columns = np.array([0, 2]) if some_columns else slice(None)

    def made() -> RowsByPatient:
        return RowsByPatient(pd.Series(ids, dtype=object), rows, values, columns, average)

    pairs = list(made())
    assert [name for name, _ in pairs] == sorted(set(ids))
    for name, own in pairs:
        mine = values[[row for row, who in zip(rows, ids, strict=True) if who == name]][:, columns]
        if average and len(mine) > 1:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", RuntimeWarning)
                mine = np.nanmean(mine.astype(np.float64), axis=0, keepdims=True).astype(np.float32)
        np.testing.assert_allclose(own, mine, rtol=1e-6)
    for blocks in (list(made().blocks(together)), list(blocks_of(made(), together))):
        found = [
            (name, own)
            for block in blocks
            for name, own in zip(
                block.patients, np.split(block.rows, np.cumsum(block.lengths)[:-1]), strict=True
            )
        ]
        assert [name for name, _ in found] == [name for name, _ in pairs]
        for (_, one), (_, other) in zip(found, pairs, strict=True):
            np.testing.assert_array_equal(one, other)

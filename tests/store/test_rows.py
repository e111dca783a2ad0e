"""Rows of patients: gathered, drawn and taken in parts, against plain loops."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prime.store import rows as rows_module
from prime.store.rows import draw_rows, gather_rows, patient_chunks, sums_by_patient

LENGTHS = st.lists(st.integers(0, 5), min_size=1, max_size=12)


def index_of(lengths: list[int]) -> np.ndarray:
    """Patients whose rows stand in the store in another order than they do."""
    length = np.array(lengths, dtype=np.int64)
    order = np.argsort(-np.arange(len(lengths)))
    start = np.zeros(len(lengths), dtype=np.int64)
    start[order] = np.cumsum(length[order]) - length[order]
    return np.stack([start, length], axis=1)


@given(LENGTHS)
def test_gathered_rows_equal_a_loop(lengths: list[int]) -> None:
    index = index_of(lengths)
    patients = np.arange(len(lengths))[::2]
    expected = [row for p in patients for row in range(index[p, 0], index[p, 0] + index[p, 1])]
    assert gather_rows(index, patients).tolist() == expected


@given(LENGTHS, st.integers(1, 20))
def test_drawn_rows_are_some_of_them_in_order_each_once(lengths: list[int], most: int) -> None:
    index, patients = index_of(lengths), np.arange(len(lengths))
    every, drawn = gather_rows(index, patients).tolist(), draw_rows(index, patients, most, 3).tolist()
    assert len(drawn) == min(most, len(every))
    assert [row for row in every if row in set(drawn)] == drawn
    assert drawn == draw_rows(index, patients, most, 3).tolist()


def test_a_draw_is_the_same_as_from_a_list_of_all_rows() -> None:
    index = index_of([7, 0, 900, 40])
    patients = np.array([3, 0, 2])
    every = gather_rows(index, patients)
    expected = np.sort(np.random.default_rng(5).choice(len(every), 30, replace=False))
    assert draw_rows(index, patients, 30, 5).tolist() == every[expected].tolist()


@given(LENGTHS, st.integers(1, 40), st.integers(1, 9))
def test_chunks_cover_everyone_once_and_are_bounded(lengths: list[int], values: int, dim: int) -> None:
    index, patients = index_of(lengths), np.arange(len(lengths))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rows_module, "CHUNK_VALUES", values)
        chunks = list(patient_chunks(index, patients, dim))
    assert [p for chunk in chunks for p in patients[chunk]] == patients.tolist()
    for chunk in chunks:
        size = int(index[patients[chunk], 1].sum())
        assert size * dim <= max(values, dim) or len(patients[chunk]) == 1


@given(LENGTHS)
def test_sums_of_consecutive_rows_equal_a_loop(lengths: list[int]) -> None:
    rows = np.random.default_rng(0).normal(size=(sum(lengths), 2)).astype(np.float32)
    found, at = sums_by_patient(rows, np.array(lengths)), 0
    for patient, length in enumerate(lengths):
        expected = rows[at : at + length].astype(np.float64).sum(axis=0)
        np.testing.assert_allclose(found[patient], expected, atol=1e-12)
        at += length

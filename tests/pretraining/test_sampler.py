"""Batches: every patient once, within one cancer type where asked, the same for the same seed."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prime.pretraining.sampler import epoch_batches


def codes(patients: int, types: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, types, patients)


@settings(max_examples=60)
@given(st.integers(2, 120), st.integers(1, 6), st.integers(2, 40), st.floats(0, 1), st.integers(0, 1000))
def test_every_patient_once_in_batches_of_two_or_more(
    patients: int, types: int, size: int, within: float, seed: int
) -> None:
    chosen = np.random.default_rng(seed).permutation(200)[:patients]
    batches = epoch_batches(chosen, codes(200, types), size, within, seed, 0)
    assert sorted(np.concatenate(batches).tolist()) == sorted(chosen.tolist())
    assert all(len(batch) >= 2 for batch in batches)
    # Only a patient left alone may make a batch larger than asked.
    assert sum(max(0, len(batch) - size) for batch in batches) <= types + 1


def test_batches_are_near_equal() -> None:
    sizes = [len(b) for b in epoch_batches(np.arange(101), codes(101, 3), 16, 0.0, 0, 0)]
    assert max(sizes) - min(sizes) <= 1
    assert max(sizes) <= 16


def test_within_type_batches_are_pure_and_small_types_join_the_mixed() -> None:
    types = np.repeat([0, 1, 2], [60, 40, 5])
    batches = epoch_batches(np.arange(105), types, 10, 1.0, 0, 0)
    pure = [b for b in batches if len(np.unique(types[b])) == 1 and types[b[0]] != 2]
    assert sum(map(len, pure)) == 100
    rest = [b for b in batches if (types[b] == 2).any()]
    assert sorted(np.concatenate(rest).tolist()) == list(range(100, 105))


def test_the_share_within_type_is_what_was_asked() -> None:
    types = np.repeat(np.arange(4), 100)
    batches = epoch_batches(np.arange(400), types, 20, 0.5, 3, 0)
    pure = sum(len(b) for b in batches if len(np.unique(types[b])) == 1)
    assert pure == 200


@pytest.mark.parametrize("within", [0.0, 0.5, 1.0])
def test_seed_and_epoch_decide(within: float) -> None:
    def order(seed: int, epoch: int) -> list[int]:
        batches = epoch_batches(np.arange(60), codes(60, 3), 8, within, seed, epoch)
        return np.concatenate(batches).tolist()

    assert order(0, 0) == order(0, 0)
    assert order(0, 0) != order(0, 1)
    assert order(0, 0) != order(1, 0)

"""Where training values lie, and what is far from there."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prime.errors import InputError
from prime.store.origin import require_same_makers, require_same_names, require_same_origin, source_facts
from prime.store.ranges import Range, far_outside, other_scale, training_range
from prime.store.store import Store


def test_the_range_is_that_of_the_patients_rows(made_up_store: Store) -> None:
    patients = np.array([3, 4, 9, 20, 21])
    for source in made_up_store.sources:
        index, values = (
            made_up_store.index(source),
            np.asarray(made_up_store.values(source), dtype=np.float64),
        )
        rows = np.concatenate([values[start : start + count] for start, count in index[patients]])
        found = training_range(made_up_store, source, patients)
        np.testing.assert_allclose(found.low, np.nanmin(rows, axis=0))
        np.testing.assert_allclose(found.high, np.nanmax(rows, axis=0))
        np.testing.assert_allclose(found.centre, np.nanmedian(rows, axis=0), rtol=1e-6)


def known(features: int, low: float = -2.0, high: float = 2.0) -> Range:
    full = np.ones(features, dtype=np.float32)
    return Range(low * full, high * full, 0 * full, full)


@pytest.mark.parametrize(
    ("values", "count"),
    [
        ([0.0] * 10, None),
        ([7.0] + [0.0] * 9, None),  # one of ten, however far, is an oddity
        ([7.0] * 3 + [0.0] * 7, 3),
        ([5.9] * 10, 10),  # within one width, but nearly six spreads from the centre, all of them
        ([7.0, 0.0], None),  # one of two, a little more than one width beyond
        ([30.0, 0.0], 1),  # one of two, seven widths beyond
        ([np.nan] * 10, None),
        ([np.nan] * 9 + [900.0], 1),
    ],
)
def test_what_is_far_outside(values: list[float], count: int | None) -> None:
    found = far_outside(np.array([values]), known(len(values)))
    assert (found and found.count) == count


def test_a_feature_with_one_training_value_says_nothing() -> None:
    assert far_outside(np.array([[1e9, 1e9]]), known(2, 1.0, 1.0)) is None
    assert other_scale(np.full((30, 2), 1e9), known(2, 1.0, 1.0)) is None


def test_the_farthest_is_named() -> None:
    found = far_outside(np.array([[0, 9, 9, -90], [9, 9, 9, 0.0]]), known(4))
    assert found is not None
    assert (found.feature, found.value, found.count, found.total) == (3, -90, 6, 8)


@given(st.integers(0, 1000), st.integers(20, 60))
def test_patients_like_those_of_training_are_not_remarked_on(seed: int, features: int) -> None:
    rng = np.random.default_rng(seed)
    train = rng.normal(size=(200, features)).astype(np.float32)
    low, high = train.min(axis=0), train.max(axis=0)
    seen = Range(low, high, np.median(train, axis=0), train.std(axis=0))
    new = rng.normal(size=(40, features))
    assert all(far_outside(row[None], seen) is None for row in new)
    assert other_scale(new, seen) is None
    assert other_scale(new * 3.32, seen) is not None
    assert other_scale(new / 3.32, seen) is not None
    assert other_scale(new + 2, seen) is not None
    assert all(far_outside(1000 * row[None], seen) is not None for row in new)


def test_a_store_has_the_origin_of_itself(made_up_store: Store) -> None:
    manifest = {"sources": source_facts(made_up_store)}
    lines = require_same_origin(manifest, made_up_store, "run")
    assert len(lines) == 1
    assert "source tiles: neither the model's files nor these state their encoder" in lines[0]
    assert "does not state how its features were made" in require_same_origin({}, made_up_store, "run")[0]


def test_other_names_and_makers_are_refused(made_up_store: Store) -> None:
    names = list(made_up_store.sources["genes"].feature_names or [])
    turned = [names[1], names[0], *names[2:]]
    with pytest.raises(
        InputError, match=rf"feature 1 is '{names[0]}', the model was fitted with '{names[1]}'"
    ):
        require_same_names({"genes": turned}, made_up_store, "run")
    with pytest.raises(InputError, match="has 12 features, the model 11"):
        require_same_names({"genes": names[:-1]}, made_up_store, "run")
    made_up_store.sources["tiles"].attributes["encoder"] = "a"
    try:
        with pytest.raises(
            InputError, match="'tiles' was made with encoder 'a' here, for the model with 'b'"
        ):
            require_same_makers({"tiles": {"encoder": "b"}}, made_up_store, "run")
    finally:
        del made_up_store.sources["tiles"].attributes["encoder"]

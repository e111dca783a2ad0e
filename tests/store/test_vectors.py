"""One vector a source and patient: means of the patient's rows, NaN where there are none."""

import numpy as np
import pandas as pd
import pytest

from prime.store.store import Store
from prime.store.vectors import PatientVectors, patient_vectors


@pytest.fixture(scope="module")
def vectors(made_up_store: Store) -> PatientVectors:
    return patient_vectors(made_up_store, np.array([4, 9, 2, 30, 31]), ("image", "rna"))


def test_means_by_hand(made_up_store: Store, vectors: PatientVectors) -> None:
    for source in ("tiles", "genes"):
        index, values = made_up_store.index(source), made_up_store.values(source)
        for row, patient in enumerate([4, 9, 2, 30, 31]):
            start, length = index[patient]
            if length == 0:
                assert np.isnan(vectors.sources[source][row]).all()
                continue
            rows = pd.DataFrame(values[start : start + length], dtype=np.float64)
            np.testing.assert_allclose(vectors.sources[source][row], rows.mean(), rtol=1e-12)


def test_everyone_at_once_is_everyone_alone(made_up_store: Store) -> None:
    together = patient_vectors(made_up_store, np.arange(60), ("image", "rna", "report"))
    assert np.array_equal(together.observed, made_up_store.observed())
    for i in (0, 17, 59):
        alone = patient_vectors(made_up_store, np.array([i]), ("image", "rna", "report"))
        for name, values in alone.sources.items():
            np.testing.assert_array_equal(values[0], together.sources[name][i])


def test_keep_take_and_join(vectors: PatientVectors) -> None:
    kept = np.array([[True, False]] * 5)
    hidden = vectors.keep(kept)
    assert np.array_equal(hidden.observed, vectors.observed & kept)
    assert np.isnan(hidden.sources["genes"]).all()
    assert not np.isnan(vectors.sources["genes"]).all()
    both = vectors.take(np.array([0, 1])).join(vectors.take(np.array([2, 3, 4])))
    for name, values in vectors.sources.items():
        np.testing.assert_array_equal(both.sources[name], values)


def test_nobody_with_a_source(made_up_store: Store) -> None:
    without = np.flatnonzero(~made_up_store.observed()[:, 0])[:3]
    found = patient_vectors(made_up_store, without, ("image",))
    assert len(found) == 3
    assert np.isnan(found.sources["tiles"]).all()
    assert not found.observed.any()

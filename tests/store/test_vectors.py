"""One vector a source and patient: means of the patient's rows, NaN where there are none."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from prime.cohort.config import CohortConfig
from prime.store.packing import pack
from prime.store.store import Store
from prime.store.vectors import PatientVectors, patient_vectors, source_vectors


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


@pytest.mark.parametrize("source", ["tiles", "genes", "words"])
def test_who_has_a_source_and_their_means(made_up_store: Store, source: str) -> None:
    who, values = source_vectors(made_up_store, source)
    everyone = patient_vectors(made_up_store, np.arange(60), ("image", "rna", "report"))
    np.testing.assert_array_equal(who, np.flatnonzero(everyone.has(source)))
    np.testing.assert_array_equal(values, everyone.sources[source][who])
    assert 0 < len(who) < 60


def test_distributions_by_hand(made_up_store: Store) -> None:
    who, values = source_vectors(made_up_store, "tiles", distribution=True)
    assert values.shape == (len(who), 24)
    single = 0
    for row, patient in enumerate(who):
        start, length = made_up_store.index("tiles")[patient]
        rows = np.asarray(made_up_store.values("tiles")[start : start + length], dtype=np.float64)
        for feature, column in enumerate(rows.T):
            mean, spread, low, high = values[row].reshape(4, 6)[:, feature]
            assert mean == pytest.approx(sum(column) / length)
            assert spread == pytest.approx(np.log(1 + np.sqrt(sum((column - mean) ** 2) / length)), abs=1e-9)
            np.testing.assert_allclose([low, high], pd.Series(column).quantile([0.1, 0.9]))
        single += length == 1
    assert single > 0  # one row has no spread


def test_nobody_has_no_vectors_of_the_same_width(made_up_store: Store) -> None:
    """A part of new patients in which nobody has the source."""
    width = source_vectors(made_up_store, "tiles", distribution=True)[1].shape[1]
    lacking = np.flatnonzero(made_up_store.index("tiles")[:, 1] == 0)
    assert len(lacking)
    for distribution, expected in ((True, width), (False, width // 4)):
        who, values = source_vectors(made_up_store, "tiles", distribution, lacking)
        assert not len(who)
        assert values.shape == (0, expected)


def test_a_number_that_no_row_has_is_missing_in_a_distribution(tmp_path: Path) -> None:
    rows = pd.DataFrame({"patient_id": list("aab"), "x": [1.0, np.nan, np.nan], "y": [2.0, 4.0, 5.0]})
    rows.to_csv(tmp_path / "x.csv", index=False)
    pd.DataFrame({"id": list("abc"), "t": 10, "e": 1}).to_csv(tmp_path / "clinical.csv", index=False)
    config = CohortConfig.model_validate(
        {
            "name": "few",
            "root": str(tmp_path),
            "clinical": {
                "format": "table", "path": "clinical.csv", "patient_id": "id",
                "endpoints": {"os": {"time": "t", "event": "e"}},
            },
            "modalities": {"rna": {"x": {"reader": "vector", "path": "x.csv", "instances": "tokens"}}},
        }
    )  # fmt: skip
    store = Store.open(pack(config, tmp_path / "store", progress=False))
    who, values = source_vectors(store, "x", distribution=True)
    assert who.tolist() == [0, 1]
    ln2 = np.log(2)
    np.testing.assert_allclose(values[0], [1, 3, 0, ln2, 1, 2.2, 1, 3.8])
    np.testing.assert_allclose(values[1], [np.nan, 5, np.nan, 0, np.nan, 5, np.nan, 5])

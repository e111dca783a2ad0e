"""Feature scaling: fitted on the given rows only, and finite whatever comes."""

from dataclasses import replace

import numpy as np
import pytest

from prime.store import loading as loading_module
from prime.store.loading import PatientLoader, fit_scalings
from prime.store.rows import draw_rows, gather_rows
from prime.store.scaling import LEAST_ROWS, fit_scaling
from prime.store.store import Store


def test_median_and_interquartile_range() -> None:
    values = np.random.default_rng(0).normal(3.0, 2.0, (4000, 2))
    scaled = fit_scaling(values, 5.0)(values)
    assert np.abs(np.median(scaled, axis=0)).max() < 1e-5
    assert scaled.std(axis=0) == pytest.approx([1.0, 1.0], abs=0.06)
    assert scaled.dtype == np.float32


def test_outliers_do_not_move_it_and_are_clipped() -> None:
    values = np.random.default_rng(0).normal(size=(1000, 1))
    values[:10] = 1e7
    scaling = fit_scaling(values, 5.0)
    assert float(scaling.scale[0]) == pytest.approx(1.0, abs=0.1)
    assert scaling(np.array([[1e7], [-1e7], [np.inf], [-np.inf], [3e38]]))[:, 0].tolist() == [5, -5, 5, -5, 5]


def test_missing_values_take_no_part_and_become_the_median() -> None:
    values = np.random.default_rng(0).normal(size=(500, 3))
    holed = values.copy()
    holed[::3, 1] = np.nan
    holed[:, 2] = np.nan
    scaling = fit_scaling(holed, 5.0)
    rest = fit_scaling(np.delete(values, slice(None, None, 3), axis=0), 5.0)
    assert scaling.centre[1] == pytest.approx(rest.centre[1])
    assert scaling.scale[1] == pytest.approx(rest.scale[1])
    scaled = scaling(holed)
    assert bool(np.isfinite(scaled).all())
    assert (scaled[np.isnan(holed)] == 0).all()


def test_a_constant_feature_becomes_zero_and_a_rare_one_keeps_its_deviation() -> None:
    values = np.zeros((100, 2))
    values[:, 0] = 7.0
    values[:5, 1] = 1.0
    scaling = fit_scaling(values, 50.0)
    assert (scaling(values)[:, 0] == 0).all()
    assert scaling.scale[0] == 1.0
    assert scaling.scale[1] == pytest.approx(values[:, 1].std())


def test_within_the_cancer_type_each_has_its_own_and_small_or_unknown_ones_that_of_everyone() -> None:
    rng = np.random.default_rng(0)
    types = np.repeat(["A", "B", "C", ""], [60, 40, 19, 30])
    values = rng.normal(size=(149, 3)) + 10.0 * (types == "B")[:, None]
    own = {name: fit_scaling(values[types == name], 5.0) for name in ("A", "B")}
    everyone = fit_scaling(values, 5.0)
    scaling = replace(everyone, own=own)
    scaled = scaling.rows(values, types)
    for name, alone in own.items():
        np.testing.assert_array_equal(scaled[types == name], alone(values[types == name]))
        assert np.abs(np.median(scaled[types == name], axis=0)).max() < 1e-5
    for name in ("C", ""):
        np.testing.assert_array_equal(scaled[types == name], everyone(values[types == name]))
    np.testing.assert_array_equal(scaling.rows(values[:5], np.full(5, "new")), everyone(values[:5]))
    np.testing.assert_array_equal(everyone.rows(values, types), everyone(values))


def test_batches_are_scaled_within_the_cancer_type(
    made_up_store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loading_module, "LEAST_ROWS", 5)
    everyone = np.arange(60)
    scaling = fit_scalings(made_up_store, everyone, 5.0, within="cancer_type")
    loader = PatientLoader(made_up_store, scaling)
    batch = loader.batch(everyone)
    cohorts = made_up_store.patients["cohort"].to_numpy(dtype=str)
    for name, source in batch.sources.items():
        assert scaling[name].own
        for patient in (0, 7, 31):
            rows = made_up_store.values(name)[gather_rows(made_up_store.index(name), np.array([patient]))]
            expected = scaling[name].own.get(cohorts[patient], scaling[name])(rows)
            stored = expected.astype(rows.dtype)
            np.testing.assert_array_equal(source.values[patient, : len(rows)].numpy(), stored)


def test_no_rows_at_all() -> None:
    scaling = fit_scaling(np.zeros((0, 3), dtype=np.float32), 5.0)
    assert scaling(np.ones((1, 3))).tolist() == [[1.0, 1.0, 1.0]]


def test_types_with_few_rows_have_no_scaling_of_their_own(made_up_store: Store) -> None:
    cohorts = made_up_store.patients["cohort"].to_numpy(dtype=str)
    scaling = fit_scalings(made_up_store, np.arange(60), 5.0, within="cancer_type")
    for name, found in scaling.items():
        length = made_up_store.index(name)[:, 1]
        assert set(found.own) == {c for c in set(cohorts) if c and length[cohorts == c].sum() >= LEAST_ROWS}
    alone = fit_scalings(made_up_store, np.flatnonzero(cohorts == "A"), 5.0)
    for name, found in scaling.items():
        if "A" in found.own:
            np.testing.assert_array_equal(found.own["A"].centre, alone[name].centre)


def test_large_sources_are_sampled_with_a_seed(made_up_store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loading_module, "MAX_ROWS", 40)
    first, second = (fit_scalings(made_up_store, np.arange(60), 5.0)["tiles"] for _ in range(2))
    np.testing.assert_array_equal(first.centre, second.centre)
    values, index = made_up_store.values("tiles"), made_up_store.index("tiles")
    drawn = draw_rows(index, np.arange(60), 40, seed=0)
    assert len(np.unique(drawn)) == 40
    np.testing.assert_array_equal(first.centre, fit_scaling(values[drawn], 5.0).centre)


def test_the_scaling_of_a_store_sees_only_the_given_patients(made_up_store: Store) -> None:
    patients = np.arange(0, 60, 2)
    scaling = fit_scalings(made_up_store, patients, 5.0)
    for name in made_up_store.sources:
        index = made_up_store.index(name)
        rows = np.concatenate([np.arange(index[p, 0], index[p, 0] + index[p, 1]) for p in patients])
        assert np.array_equal(gather_rows(index, patients), rows)
        expected = np.nanmedian(made_up_store.values(name)[rows].astype(np.float64), axis=0)
        assert scaling[name].centre == pytest.approx(expected, abs=1e-4)
        everyone = np.nanmedian(made_up_store.values(name).astype(np.float64), axis=0)
        assert not np.allclose(scaling[name].centre, everyone, atol=1e-4)

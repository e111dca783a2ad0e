"""Batches from a store: the right rows, padded and masked; hiding modalities."""

import numpy as np
import pytest
import torch

from prime.store.loading import PatientLoader, fit_scalings
from prime.store.store import Store


@pytest.fixture
def loader(made_up_store: Store) -> PatientLoader:
    return PatientLoader(made_up_store, fit_scalings(made_up_store, np.arange(60), 5.0))


def test_rows_are_the_patients_own_and_padding_is_masked(made_up_store: Store, loader: PatientLoader) -> None:
    order = [7, 3, 50, 21]
    batch = loader.batch(order)
    assert batch.patient_ids == tuple(made_up_store.patients["patient_id"].iloc[order])
    for name, source in batch.sources.items():
        index = made_up_store.index(name)
        stored = made_up_store.values(name)
        assert source.values.numpy().dtype == stored.dtype
        assert source.rows.dtype == torch.float32
        assert source.values.shape[1] == max(1, int(index[order, 1].max()))
        for row, patient in enumerate(order):
            start, length = index[patient]
            expected = loader.scaling[name](stored[start : start + length])  # float32
            assert int(source.token_mask[row].sum()) == length
            assert np.array_equal(source.values[row, :length].numpy(), expected.astype(stored.dtype))
            assert not bool(source.token_mask[row, length:].any())


def test_observed_agrees_with_the_store(made_up_store: Store, loader: PatientLoader) -> None:
    assert np.array_equal(loader.batch(np.arange(60)).observed.numpy(), made_up_store.observed())


def test_everything_is_finite_though_features_are_missing(
    made_up_store: Store, loader: PatientLoader
) -> None:
    assert bool(np.isnan(made_up_store.values("genes")).any())
    assert all(bool(s.values.isfinite().all()) for s in loader.batch(np.arange(60)).sources.values())


def test_cohort_codes_number_the_cancer_types(made_up_store: Store, loader: PatientLoader) -> None:
    names = loader.cohort_names[loader.batch(np.arange(60)).cohort_codes.numpy()]
    assert names.tolist() == made_up_store.patients["cohort"].tolist()


def test_keep_hides_modalities_and_leaves_the_batch_it_came_from(loader: PatientLoader) -> None:
    batch = loader.batch(np.arange(20))
    before = batch.observed.clone()
    kept = torch.rand((20, 3), generator=torch.Generator().manual_seed(0)) < 0.5
    assert torch.equal(batch.keep(kept).observed, before & kept)
    assert torch.equal(batch.observed, before)


def test_to_moves_everything(loader: PatientLoader) -> None:
    moved = loader.batch([0, 1]).to("meta")
    assert moved.cohort_codes.device.type == "meta"
    assert all(s.values.device.type == s.token_mask.device.type == "meta" for s in moved.sources.values())


def test_a_batch_of_nobody(loader: PatientLoader) -> None:
    batch = loader.batch([])
    assert batch.observed.shape == (0, 3)


def test_take_is_the_batch_of_those_patients(loader: PatientLoader) -> None:
    everyone = loader.batch(np.arange(60))
    for rows in ([5, 2, 40], [7], list(range(30))):
        taken, expected = everyone.take(torch.tensor(rows)), loader.batch(rows)
        assert taken.patient_ids == expected.patient_ids
        assert torch.equal(taken.cohort_codes, expected.cohort_codes)
        for name, source in expected.sources.items():
            assert torch.equal(taken.sources[name].values, source.values)
            assert torch.equal(taken.sources[name].token_mask, source.token_mask)


def test_select_and_a_loader_of_some_modalities_agree(made_up_store: Store, loader: PatientLoader) -> None:
    chosen = ["report", "image"]
    sources = [s for name in chosen for s in made_up_store.modalities[name]]
    scaling = fit_scalings(made_up_store, np.arange(60), 5.0, sources)
    assert list(scaling) == sources
    few = PatientLoader(made_up_store, scaling, chosen).batch(np.arange(20))
    selected = loader.batch(np.arange(20)).select(chosen)
    assert list(few.modalities) == list(selected.modalities) == chosen
    assert list(few.sources) == list(selected.sources) == sources
    assert torch.equal(few.observed, selected.observed)
    for name in sources:
        assert torch.equal(few.sources[name].values, selected.sources[name].values)

"""Principal components within cancer types, and the decoder that has to keep them."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from prime.pretraining.losses.interface import TrainingData
from prime.pretraining.losses.retention import RetentionTargets, fit_summaries
from prime.pretraining.principal import LinearSummary, fit_components, no_moments
from prime.store import rows as rows_module
from prime.store.batch import Batch, SourceBatch
from prime.store.inputs import InputSpec, SourceSpec
from prime.store.loading import fit_scalings, scaled_rows
from prime.store.store import Store


def fitted_on(x: NDArray[np.float64], types: NDArray[np.int64], count: int, type_count: int) -> LinearSummary:
    moments = no_moments(type_count, x.shape[1])
    moments.add(x, types)
    return fit_components(moments, count)


def test_components_are_white_within_types_and_blind_to_type_means() -> None:
    rng = np.random.default_rng(0)
    types = rng.integers(0, 3, 600)
    shift = np.zeros((3, 8))
    shift[:, 7] = [0.0, 50.0, -50.0]  # the types differ by far the most along one feature
    x = rng.normal(size=(600, 8)) * np.array([5, 3, 2, 1, 1, 1, 1, 0.1]) + shift[types]
    fitted = fitted_on(x, types, 3, 4)
    scores = (x - fitted.centre[types]) @ fitted.loadings
    assert np.allclose(scores.T @ scores / 600, np.eye(3), atol=1e-5), "a constant guess has an error of 1"
    for number in range(3):
        assert np.allclose(scores[types == number].mean(axis=0), 0.0, atol=1e-4)
    assert np.allclose(fitted.centre[3], x.mean(axis=0), atol=1e-5), "a type without a patient"
    assert np.abs(fitted.loadings[7]).max() < 0.05
    assert np.abs(fitted.loadings[0, 0]) > np.abs(fitted.loadings[1:, 0]).max()


def test_too_few_patients_have_no_components() -> None:
    assert fitted_on(np.ones((5, 4)), np.zeros(5, dtype=np.int64), 3, 1).loadings.shape == (4, 0)


def test_components_of_the_parts_are_those_of_the_whole() -> None:
    rng = np.random.default_rng(0)
    x, types = rng.normal(size=(90, 6)) @ rng.normal(size=(6, 6)), rng.integers(0, 3, 90)
    moments = no_moments(4, 6)
    for rows in np.array_split(np.arange(90), 7):
        moments.add(x[rows], types[rows])
    parts, whole = fit_components(moments, 4), fitted_on(x, types, 4, 4)
    np.testing.assert_allclose(parts.centre, whole.centre, atol=1e-6)
    np.testing.assert_allclose(
        parts.loadings @ parts.loadings.T, whole.loadings @ whole.loadings.T, atol=1e-4
    )


def test_the_summaries_of_a_store_do_not_depend_on_how_much_is_read_at_once(
    made_up_store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    patients = np.arange(0, 60, 2)
    data = TrainingData(made_up_store, fit_scalings(made_up_store, patients, 5.0), patients)
    whole = fit_summaries(data, 3)
    monkeypatch.setattr(rows_module, "CHUNK_VALUES", 20)
    for name, summary in fit_summaries(data, 3).items():
        np.testing.assert_allclose(summary.centre, whole[name].centre, atol=1e-6)
        index = made_up_store.index(name)
        scaled = [scaled_rows(made_up_store, data.scaling, name, patients[[i]]).mean(0) for i in range(30)
                  if index[patients[i], 1]]  # fmt: skip
        own = patients[index[patients, 1] > 0]
        types = np.unique(made_up_store.patients["cohort"].to_numpy(dtype=str), return_inverse=True)[1][own]
        expected = fitted_on(np.stack(scaled).astype(np.float64), types, 3, len(summary.centre))
        np.testing.assert_allclose(summary.centre, expected.centre, atol=1e-5)
        projector = summary.loadings @ summary.loadings.T
        np.testing.assert_allclose(projector, expected.loadings @ expected.loadings.T, rtol=1e-3, atol=1e-3)


def test_targets_read_only_real_rows_and_the_centre_of_the_type() -> None:
    inputs = InputSpec(
        modalities={"a": ("x", "y")},
        sources={"x": SourceSpec(kind="sequence", dim=3), "y": SourceSpec(kind="sequence", dim=2)},
    )
    rng = np.random.default_rng(0)
    types = np.repeat([0, 1], 25)
    summaries = {
        n: fitted_on(rng.normal(size=(50, d)) + 9.0 * types[:, None], types, 3, 2)
        for n, d in (("x", 3), ("y", 2))
    }
    targets_of = RetentionTargets(inputs, summaries)
    mask = torch.tensor([[True, True], [True, False], [False, False]])

    def batch(filler: float) -> Batch:
        sources = {
            n: SourceBatch(torch.full((3, 2, d), 0.5).masked_fill(~mask[..., None], filler), mask)
            for n, d in (("x", 3), ("y", 2))
        }
        return Batch(("p", "q", "r"), {"a": ("x", "y")}, sources, torch.tensor([0, 1, 0]))

    clean, spoiled = targets_of(batch(0.0)), targets_of(batch(float("nan")))
    assert all(torch.equal(a, b) for a, b in zip(clean, spoiled, strict=True))
    targets, present = clean
    assert targets.shape == (3, 2, 3)
    assert targets_of.components.tolist() == [3, 2]
    assert present.tolist() == [[True, True], [True, True], [False, False]]
    assert not targets[2].any()
    for row, number in ((0, 0), (1, 1)):
        expected = (0.5 - summaries["x"].centre[number]) @ summaries["x"].loadings
        assert np.allclose(targets[row, 0].numpy(), expected.clip(-5, 5), atol=1e-4)

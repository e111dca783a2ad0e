"""Principal components within cancer types, and the decoder that has to keep them."""

import numpy as np
import torch

from prime.pretraining.losses.retention import RetentionTargets
from prime.pretraining.principal import fit_components, patient_means
from prime.store.batch import Batch, SourceBatch
from prime.store.inputs import InputSpec, SourceSpec


def test_components_are_white_within_types_and_blind_to_type_means() -> None:
    rng = np.random.default_rng(0)
    types = rng.integers(0, 3, 600)
    shift = np.zeros((3, 8))
    shift[:, 7] = [0.0, 50.0, -50.0]  # the types differ by far the most along one feature
    x = rng.normal(size=(600, 8)) * np.array([5, 3, 2, 1, 1, 1, 1, 0.1]) + shift[types]
    fitted = fit_components(x, types, 3, 4)
    scores = (x - fitted.centre[types]) @ fitted.loadings
    assert np.allclose(scores.T @ scores / 600, np.eye(3), atol=1e-5), "a constant guess has an error of 1"
    for number in range(3):
        assert np.allclose(scores[types == number].mean(axis=0), 0.0, atol=1e-4)
    assert np.allclose(fitted.centre[3], x.mean(axis=0), atol=1e-5), "a type without a patient"
    assert np.abs(fitted.loadings[7]).max() < 0.05
    assert np.abs(fitted.loadings[0, 0]) > np.abs(fitted.loadings[1:, 0]).max()


def test_too_few_patients_have_no_components() -> None:
    assert fit_components(np.ones((5, 4)), np.zeros(5, dtype=np.int64), 3, 1).loadings.shape == (4, 0)


def test_patient_means_equal_a_loop() -> None:
    rng = np.random.default_rng(0)
    rows, owner = rng.normal(size=(9, 3)).astype(np.float32), np.array([0, 0, 1, 1, 1, 2, 2, 2, 2])
    expected = np.stack([rows[owner == p].mean(0) for p in range(3)])
    assert np.allclose(patient_means(rows, owner, 3), expected, atol=1e-6)


def test_targets_read_only_real_rows_and_the_centre_of_the_type() -> None:
    inputs = InputSpec(
        modalities={"a": ("x", "y")},
        sources={"x": SourceSpec(kind="sequence", dim=3), "y": SourceSpec(kind="sequence", dim=2)},
    )
    rng = np.random.default_rng(0)
    types = np.repeat([0, 1], 25)
    summaries = {
        n: fit_components(rng.normal(size=(50, d)) + 9.0 * types[:, None], types, 3, 2)
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

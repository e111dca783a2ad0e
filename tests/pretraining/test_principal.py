"""Principal components within cancer types, and the decoder that has to keep them."""

import numpy as np
import torch

from prime.pretraining.losses.retention import RetentionDecoder
from prime.pretraining.principal import fit_components, patient_means
from prime.store.batch import Batch, SourceBatch
from prime.store.inputs import InputSpec, SourceSpec


def test_components_are_white_within_types_and_blind_to_type_means() -> None:
    rng = np.random.default_rng(0)
    types = rng.integers(0, 3, 600)
    shift = np.zeros((3, 8))
    shift[:, 7] = [0.0, 50.0, -50.0]  # the types differ by far the most along one feature
    x = rng.normal(size=(600, 8)) * np.array([5, 3, 2, 1, 1, 1, 1, 0.1]) + shift[types]
    fitted = fit_components(x, types, 3)
    scores = (x - np.stack([x[types == t].mean(0) for t in range(3)])[types]) @ fitted.loadings
    assert np.allclose(scores.T @ scores / 600, np.eye(3), atol=1e-5)
    assert np.abs(fitted.loadings[7]).max() < 0.05
    assert np.abs(fitted.loadings[0, 0]) > np.abs(fitted.loadings[1:, 0]).max()


def test_too_few_patients_have_no_components() -> None:
    assert fit_components(np.ones((5, 4)), np.zeros(5, dtype=np.int64), 3).loadings.shape == (4, 0)


def test_patient_means_equal_a_loop() -> None:
    rng = np.random.default_rng(0)
    rows, owner = rng.normal(size=(9, 3)).astype(np.float32), np.array([0, 0, 1, 1, 1, 2, 2, 2, 2])
    expected = np.stack([rows[owner == p].mean(0) for p in range(3)])
    assert np.allclose(patient_means(rows, owner, 3), expected, atol=1e-6)


def test_the_decoder_reads_only_real_rows() -> None:
    torch.manual_seed(0)
    inputs = InputSpec(
        modalities={"a": ("x", "y")},
        sources={"x": SourceSpec(kind="sequence", dim=3), "y": SourceSpec(kind="sequence", dim=2)},
    )
    rng = np.random.default_rng(0)
    types = np.zeros(50, dtype=np.int64)
    summaries = {n: fit_components(rng.normal(size=(50, d)), types, 3) for n, d in (("x", 3), ("y", 2))}
    decoder = RetentionDecoder(inputs, summaries, 4)
    mask = torch.tensor([[True, True], [True, False], [False, False]])

    def batch(filler: float) -> Batch:
        sources = {
            n: SourceBatch(torch.full((3, 2, d), 0.5).masked_fill(~mask[..., None], filler), mask)
            for n, d in (("x", 3), ("y", 2))
        }
        return Batch(("p", "q", "r"), {"a": ("x", "y")}, sources, torch.zeros(3, dtype=torch.int64))

    own = torch.randn(3, 1, 2, 4)
    clean, spoiled = decoder(own, batch(0.0)), decoder(own, batch(float("nan")))
    assert all(torch.equal(a, b) for a, b in zip(clean, spoiled, strict=True))
    decoded, targets, present = clean
    assert decoded.shape == targets.shape == (3, 2, 3)
    assert present.tolist() == [[True, True], [True, True], [False, False]]
    assert not targets[2].any()

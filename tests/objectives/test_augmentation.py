"""Structured missingness: what is kept, and the Dirichlet mixtures that fill the rest."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from prime.objectives.augmentation import dirichlet_weights, fill_dropped, sample_kept, sparsify


def assignment(rows: int, prototypes: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return (2 * torch.randn((rows, prototypes), generator=generator)).softmax(-1)


@settings(max_examples=40)
@given(
    st.integers(1, 12),
    st.integers(1, 4),
    st.integers(1, 5),
    st.floats(0, 0.999),
    st.floats(0, 0.999),
    st.integers(0, 10_000),
)
def test_never_empty_and_only_observed(
    patients: int, modalities: int, queries: int, drop_modality: float, drop_token: float, seed: int
) -> None:
    generator = torch.Generator().manual_seed(seed)
    observed = torch.rand((patients, modalities), generator=generator) < 0.5
    torch.manual_seed(seed)
    kept = sample_kept(observed, queries, drop_modality, drop_token)
    assert kept.shape == (patients, modalities, queries)
    assert not bool((kept & ~observed[..., None]).any())
    assert torch.equal(kept.flatten(1).any(1), observed.any(1))


def test_drop_rates_are_what_they_say() -> None:
    torch.manual_seed(0)
    kept = sample_kept(torch.ones((4000, 3), dtype=torch.bool), 8, 0.3, 0.2)
    some = kept.any(-1)
    # 0.3 of the modalities, less the rescued: a patient loses all three with 0.027.
    assert float(some.float().mean()) == pytest.approx(0.7 + 0.027 / 3, abs=0.01)
    assert float(kept[some].float().mean()) == pytest.approx(0.8, abs=0.01)


def test_no_dropping_keeps_everything_observed() -> None:
    observed = torch.tensor([[True, False], [True, True]])
    assert torch.equal(sample_kept(observed, 3, 0.0, 0.0), observed[..., None].expand(-1, -1, 3))


def test_the_rescued_modality_and_token_are_drawn_at_random() -> None:
    torch.manual_seed(0)
    kept = sample_kept(torch.ones((3000, 3), dtype=torch.bool), 4, 0.9999, 0.9999)
    assert bool((kept.flatten(1).sum(1) == 1).all())
    places = kept.flatten(1).float().mean(0)
    assert float(places.min()) > 0.05  # 1/12 each


def test_sparsify_keeps_the_largest_and_renormalises() -> None:
    top, index = sparsify(torch.tensor([[0.1, 0.4, 0.2, 0.3]]), 2)
    assert index.tolist() == [[1, 3]]
    assert torch.allclose(top, torch.tensor([[4 / 7, 3 / 7]]))
    assert sparsify(torch.tensor([[0.5, 0.5]]), 9)[0].shape == (1, 2)


def test_weights_lie_on_a_sparse_simplex() -> None:
    torch.manual_seed(0)
    base = assignment(200, 12)
    weights = dirichlet_weights(base, 50.0, 4)
    assert bool((weights >= 0).all())
    assert torch.allclose(weights.sum(-1), torch.ones(200), atol=1e-5)
    assert int((weights > 0).sum(-1).max()) <= 4
    largest = torch.zeros_like(base, dtype=torch.bool).scatter(-1, base.topk(4).indices, True)
    assert bool((weights[~largest] == 0).all())


def test_the_mean_is_the_sparse_assignment_and_kappa_sets_the_spread() -> None:
    torch.manual_seed(0)
    base = assignment(1, 10)
    mean = dirichlet_weights(base, 1.0, 3, noise=False)[0]
    loose = dirichlet_weights(base.expand(20_000, -1), 10.0, 3)
    tight = dirichlet_weights(base.expand(20_000, -1), 200.0, 3)
    assert torch.allclose(loose.mean(0), mean, atol=0.01)
    assert torch.allclose(tight.mean(0), mean, atol=0.005)
    expected = (mean * (1 - mean) / 11).sqrt()  # standard deviation of a Dirichlet of concentration 10
    assert torch.allclose(loose.std(0), expected, atol=0.01)
    assert float(tight.std(0).max()) < 0.3 * float(loose.std(0).max())


def test_finite_where_the_assignment_has_zeros() -> None:
    torch.manual_seed(0)
    base = torch.zeros((50, 6))
    base[:, 2] = 1.0
    weights = dirichlet_weights(base, 50.0, 4)
    assert bool(weights.isfinite().all())
    assert float(weights[:, 2].mean()) > 0.99


def test_finite_float32_under_bfloat16_autocast() -> None:
    torch.manual_seed(0)
    base = assignment(20, 8).to(torch.bfloat16).requires_grad_()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        weights = dirichlet_weights(base, 50.0, 4)
    assert weights.dtype == torch.float32
    assert bool(weights.isfinite().all())
    weights[:, 0].sum().backward()
    assert base.grad is not None
    assert bool(base.grad.isfinite().all())


@pytest.mark.parametrize("noise", [True, False])
def test_gradients_reach_the_concentrations(noise: bool) -> None:
    torch.manual_seed(0)
    logits = torch.randn((16, 8)).requires_grad_()
    weights = dirichlet_weights(logits.softmax(-1), 50.0, 4, noise)
    (weights * torch.arange(8.0)).sum().backward()
    assert logits.grad is not None
    assert bool(logits.grad.isfinite().all())
    assert float(logits.grad.abs().sum()) > 1e-3


def test_fill_dropped_keeps_own_tokens_bit_for_bit() -> None:
    torch.manual_seed(0)
    tokens, filling = torch.randn((2, 3, 4, 5)), torch.randn((2, 3, 4, 5))
    kept = torch.rand((2, 3, 4)) < 0.5
    spoilt = tokens.masked_fill(~kept[..., None], float("nan"))
    view = fill_dropped(spoilt, filling, kept)
    assert torch.equal(view[kept], tokens[kept])
    assert torch.equal(view[~kept], filling[~kept])

"""The alignment loss against a plain loop, and what it must not see."""

import math
from itertools import combinations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn.functional import normalize

from prime.objectives.alignment import alignment_loss, info_nce


def embeddings(patients: int, modalities: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return normalize(torch.randn((patients, modalities, 6), generator=generator), dim=-1)


def looped_info_nce(a: Tensor, b: Tensor, temperature: float) -> float:
    """Scalars only, in Python floats."""
    total = 0.0
    for first, second in ((a, b), (b, a)):
        for i in range(len(first)):
            scores = [float(first[i].double() @ second[j].double()) / temperature for j in range(len(second))]
            total += math.log(sum(math.exp(s) for s in scores)) - scores[i]
    return total / (2 * len(a))


def looped_alignment(z: Tensor, observed: Tensor, temperature: float, weighting: str) -> float:
    terms: list[tuple[float, float]] = []
    for a, b in combinations(range(z.shape[1]), 2):
        rows = [i for i in range(len(z)) if observed[i, a] and observed[i, b]]
        if len(rows) >= 2:
            weight = float(len(rows)) if weighting == "patients" else 1.0
            terms.append((weight, looped_info_nce(z[rows, a], z[rows, b], temperature)))
    return sum(w * x for w, x in terms) / sum(w for w, _ in terms) if terms else 0.0


@settings(max_examples=30)
@given(st.integers(2, 9), st.integers(2, 4), st.integers(0, 10_000), st.sampled_from(["pairs", "patients"]))
def test_equals_a_loop(patients: int, modalities: int, seed: int, weighting: str) -> None:
    z = embeddings(patients, modalities, seed)
    observed = torch.rand((patients, modalities), generator=torch.Generator().manual_seed(seed)) < 0.7
    found = alignment_loss(z, observed, 0.2, weighting)  # type: ignore[arg-type]
    assert float(found) == pytest.approx(looped_alignment(z, observed, 0.2, weighting), abs=1e-5)


def test_info_nce_has_all_others_as_negatives() -> None:
    """Without any signal the loss is log(n): one match among n - 1 negatives, in each direction."""
    for n in (2, 5, 17):
        same = torch.ones((n, 4)) / 2
        assert float(info_nce(same, same, 0.1)) == pytest.approx(math.log(n), abs=1e-5)


def test_info_nce_is_small_where_pairs_match_and_large_where_they_are_swapped() -> None:
    z = torch.eye(6)
    assert float(info_nce(z, z, 0.1)) < 0.01
    assert float(info_nce(z, z.roll(1, 0), 0.1)) > 5


def test_the_weighting_matters_where_pairs_differ_in_size() -> None:
    z, observed = embeddings(8, 3), torch.ones((8, 3), dtype=torch.bool)
    observed[2:, 2] = False
    pairs, patients = alignment_loss(z, observed, 0.2), alignment_loss(z, observed, 0.2, "patients")
    assert abs(float(pairs - patients)) > 1e-3


@settings(max_examples=30)
@given(st.integers(0, 10_000), st.sampled_from([float("nan"), float("inf"), 1e30]))
def test_unobserved_rows_never_matter(seed: int, value: float) -> None:
    observed = torch.rand((7, 3), generator=torch.Generator().manual_seed(seed)) < 0.5
    clean = embeddings(7, 3, seed).requires_grad_()
    spoilt = clean.detach().masked_fill(~observed[..., None], value).requires_grad_()
    first, second = alignment_loss(clean, observed, 0.2), alignment_loss(spoilt, observed, 0.2)
    assert torch.equal(first, second)
    first.backward()
    second.backward()
    assert clean.grad is not None
    assert spoilt.grad is not None
    assert torch.equal(clean.grad, spoilt.grad)
    assert bool((spoilt.grad[~observed] == 0).all())


@pytest.mark.parametrize("value", [0.0, float("nan")])
def test_without_a_valid_pair_the_loss_is_an_exact_zero_in_the_graph(value: float) -> None:
    z = embeddings(4, 3)
    observed = torch.eye(4, 3, dtype=torch.bool)
    observed[3, :2] = True  # one patient has a pair: still no negative
    z = z.masked_fill(~observed[..., None], value).requires_grad_()
    loss = alignment_loss(z, observed, 0.2)
    assert loss.item() == 0.0
    loss.backward()
    assert z.grad is not None
    assert bool((z.grad == 0).all())


def test_one_modality_has_no_pair() -> None:
    z = embeddings(5, 1).requires_grad_()
    loss = alignment_loss(z, torch.ones((5, 1), dtype=torch.bool), 0.2)
    assert loss.item() == 0.0
    assert loss.requires_grad


def test_the_order_of_patients_does_not_matter() -> None:
    z = embeddings(9, 3)
    observed = torch.rand((9, 3), generator=torch.Generator().manual_seed(3)) < 0.7
    order = torch.randperm(9, generator=torch.Generator().manual_seed(4))
    assert float(alignment_loss(z, observed, 0.2)) == pytest.approx(
        float(alignment_loss(z[order], observed[order], 0.2)), abs=1e-6
    )


def test_gradients_are_those_of_finite_differences() -> None:
    z = embeddings(4, 3).double().requires_grad_()
    observed = torch.tensor([[1, 1, 1], [1, 1, 0], [0, 1, 1], [1, 0, 1]], dtype=torch.bool)
    assert torch.autograd.gradcheck(lambda x: alignment_loss(x, observed, 0.5), (z,))

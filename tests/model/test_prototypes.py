"""The prototype bank: assignment, consensus, imputation, and the ablation without prototypes."""

import math

import pytest
import torch
from torch import Tensor

from prime.model.prime import Prime, reliability_pool
from prime.model.prototypes import PrototypeBank, assign, consensus, impute, mix
from tests.made_up import inputs, make_batch, model_config, patterns_without_nothing


def looped_assign(tokens: Tensor, prototypes: Tensor, temperature: float, similarity: str) -> list[float]:
    """One patient's one modality (K, D) against N prototypes (N, K, D), in Python floats."""

    def pooled(x: Tensor) -> list[float]:
        return [sum(column) / len(x) for column in zip(*x.double().tolist(), strict=True)]

    def dot(a: list[float], b: list[float]) -> float:
        return sum(x * y for x, y in zip(a, b, strict=True))

    own, scores = pooled(tokens), []
    for prototype in prototypes:
        centre = pooled(prototype)
        score = dot(own, centre)
        if similarity == "cosine":
            score /= math.sqrt(dot(own, own) * dot(centre, centre))
        scores.append(score / temperature)
    exponents = [math.exp(s - max(scores)) for s in scores]
    return [e / sum(exponents) for e in exponents]


@pytest.mark.parametrize("similarity", ["cosine", "dot"])
def test_assignment_equals_a_loop(similarity: str) -> None:
    generator = torch.Generator().manual_seed(0)
    tokens = torch.randn((2, 3, 4, 5), generator=generator)
    prototypes = torch.randn((6, 4, 5), generator=generator)
    found = assign(tokens, prototypes, 0.3, similarity)
    for b in range(2):
        for m in range(3):
            expected = looped_assign(tokens[b, m], prototypes, 0.3, similarity)
            assert found[b, m].tolist() == pytest.approx(expected, abs=1e-5)


def test_consensus_is_the_mean_over_observed_modalities() -> None:
    assignments = torch.tensor([[[0.9, 0.1], [0.5, 0.5], [0.1, 0.9]]])
    observed = torch.tensor([[True, False, True]])
    spoilt = assignments.clone()
    spoilt[0, 1] = float("nan")
    assert torch.allclose(consensus(spoilt, observed), torch.tensor([[0.5, 0.5]]))


def test_consensus_of_nothing_is_an_error() -> None:
    with pytest.raises(ValueError, match="no consensus"):
        consensus(torch.ones((2, 2, 3)) / 3, torch.tensor([[True, False], [False, False]]))


def test_a_patient_without_anything_is_an_error_in_the_network() -> None:
    observed = torch.tensor([[True, True, True], [False, False, False]])
    with pytest.raises(ValueError, match="no consensus"):
        Prime(inputs(), model_config())(make_batch(observed))


def test_imputation_leaves_own_tokens_untouched() -> None:
    generator = torch.Generator().manual_seed(0)
    tokens, filling = torch.randn((2, 5, 3, 4, 6), generator=generator)
    observed = patterns_without_nothing(5, 3, 0)
    spoilt = tokens.masked_fill(~observed[..., None, None], float("nan"))
    found = impute(spoilt, observed, filling)
    assert torch.equal(found[observed], tokens[observed])
    assert torch.equal(found[~observed], filling[~observed])


def test_missing_tokens_are_the_mixture_of_prototypes_by_consensus() -> None:
    torch.manual_seed(0)
    model = Prime(inputs(), model_config()).eval()
    observed = patterns_without_nothing(6, 3, 1)
    with torch.no_grad():
        encoding = model(make_batch(observed))
        own = model.tokenize(make_batch(observed))
    assert torch.equal(encoding.tokens[observed], own[observed])
    for b, m in (~observed).nonzero().tolist():
        expected = sum(
            encoding.consensus[b, n] * model.bank.prototypes[n] for n in range(len(model.bank.prototypes))
        )
        assert isinstance(expected, Tensor)
        assert torch.allclose(encoding.tokens[b, m], expected, atol=1e-5)


def test_mix_of_one_hot_weights_is_the_prototype_itself() -> None:
    prototypes = torch.randn((4, 3, 5), generator=torch.Generator().manual_seed(0))
    assert torch.equal(mix(torch.eye(4), prototypes), prototypes)


def test_without_prototypes_missing_tokens_are_zero() -> None:
    torch.manual_seed(0)
    model = Prime(inputs(), model_config(imputation="zero")).eval()
    observed = patterns_without_nothing(6, 3, 2)
    with torch.no_grad():
        encoding = model(make_batch(observed))
    assert bool((encoding.tokens[~observed] == 0).all())
    assert bool((encoding.tokens[observed] != 0).any())


@pytest.mark.parametrize("detach", [True, False])
def test_detach_stops_gradients_of_the_assignment_only(detach: bool) -> None:
    torch.manual_seed(0)
    bank = PrototypeBank(model_config(detach_assignment=detach))
    tokens = torch.randn((2, 3, 3, 16)).requires_grad_()
    bank.mix(bank.assign(tokens)).square().sum().backward()
    assert (tokens.grad is None) == detach
    assert bank.prototypes.grad is not None
    assert float(bank.prototypes.grad.norm()) > 0


def test_prototypes_start_apart() -> None:
    """Pooled prototypes must not start alike, or every assignment is uniform."""
    torch.manual_seed(0)
    bank = PrototypeBank(model_config(dim=64, heads=4, queries=16, prototypes=32))
    centres = torch.nn.functional.normalize(bank.prototypes.detach().mean(1), dim=-1)
    assert float((centres @ centres.T).fill_diagonal_(0).abs().mean()) < 0.2
    assert float(bank.prototypes.detach().mean(1).std()) > 0.5


def test_reliability_pooling_equals_a_loop_and_ignores_the_rest() -> None:
    generator = torch.Generator().manual_seed(0)
    fused = torch.randn((4, 2, 3, 5), generator=generator)
    reliable = torch.rand((4, 2, 3), generator=generator) < 0.5
    reliable[3] = False
    found = reliability_pool(fused.masked_fill(~reliable[..., None], float("nan")), reliable)
    for b in range(4):
        rows = [fused[b, m, k] for m in range(2) for k in range(3) if reliable[b, m, k]]
        expected = torch.stack(rows).mean(0) if rows else torch.zeros(5)
        assert torch.allclose(found[b], expected, atol=1e-6)

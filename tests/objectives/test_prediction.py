"""The optional prediction loss against a plain loop."""

import math

import pytest
import torch
from torch import Tensor

from prime.objectives.prediction import prediction_loss


def looped(predicted: Tensor, target: Tensor, hidden: Tensor) -> float:
    terms: list[float] = []
    for place in hidden.nonzero().tolist():
        p, t = predicted[tuple(place)].double().tolist(), target[tuple(place)].double().tolist()
        mean = sum(t) / len(t)
        deviation = math.sqrt(sum((x - mean) ** 2 for x in t) / len(t) + 1e-5)
        for x, y in zip(p, t, strict=True):
            gap = abs(x - (y - mean) / deviation)
            terms.append(0.5 * gap * gap if gap < 1 else gap - 0.5)
    return sum(terms) / len(terms)


def tensors(seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    hidden = torch.rand((3, 2, 4), generator=generator) < 0.4
    hidden[0, 0, 0] = True
    shape = (3, 2, 4, 6)
    return torch.randn(shape, generator=generator), 3 * torch.randn(shape, generator=generator), hidden


@pytest.mark.parametrize("seed", range(5))
def test_equals_a_loop(seed: int) -> None:
    predicted, target, hidden = tensors(seed)
    assert float(prediction_loss(predicted, target, hidden)) == pytest.approx(
        looped(predicted, target, hidden), abs=1e-5
    )


def test_places_that_are_not_hidden_never_matter() -> None:
    predicted, target, hidden = tensors()
    nothing = ~hidden[..., None]
    spoilt = prediction_loss(
        predicted.masked_fill(nothing, float("nan")), target.masked_fill(nothing, float("nan")), hidden
    )
    assert torch.equal(spoilt, prediction_loss(predicted, target, hidden))


def test_the_target_has_no_gradient() -> None:
    predicted, target, hidden = tensors()
    predicted.requires_grad_()
    target.requires_grad_()
    prediction_loss(predicted, target, hidden).backward()
    assert target.grad is None
    assert predicted.grad is not None
    assert bool((predicted.grad[~hidden] == 0).all())


def test_nothing_hidden_gives_an_exact_zero_in_the_graph() -> None:
    predicted = torch.full((2, 1, 3, 4), float("nan"), requires_grad=True)
    loss = prediction_loss(predicted, predicted.detach(), torch.zeros((2, 1, 3), dtype=torch.bool))
    assert loss.item() == 0.0
    loss.backward()
    assert predicted.grad is not None
    assert bool((predicted.grad == 0).all())

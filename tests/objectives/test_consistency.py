"""The consistency loss against a plain loop, and its number of negatives."""

import math
from typing import Literal

import pytest
import torch
from torch import Tensor
from torch.nn.functional import normalize

from prime.objectives.consistency import consistency_loss

Negatives = Literal["other_view", "both_views"]


def views(patients: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    z = normalize(torch.randn((2, patients, 5), generator=generator), dim=-1)
    return z[0], z[1]


def looped(a: Tensor, b: Tensor, temperature: float, negatives: Negatives) -> float:
    """Each view of each patient in turn is the anchor; its other view is the positive."""
    n, total = len(a), 0.0
    for anchors, others in ((a, b), (b, a)):
        for i in range(n):

            def score(z: Tensor, i: int = i, anchors: Tensor = anchors) -> float:
                return math.exp(float(anchors[i].double() @ z.double()) / temperature)

            candidates = [score(others[j]) for j in range(n)]
            if negatives == "both_views":
                candidates += [score(anchors[j]) for j in range(n) if j != i]
            total -= math.log(score(others[i]) / sum(candidates))
    return total / (2 * n)


@pytest.mark.parametrize("negatives", ["other_view", "both_views"])
@pytest.mark.parametrize("patients", [2, 3, 8])
def test_equals_a_loop(patients: int, negatives: Negatives) -> None:
    a, b = views(patients, patients)
    assert float(consistency_loss(a, b, 0.3, negatives)) == pytest.approx(
        looped(a, b, 0.3, negatives), abs=1e-5
    )


@pytest.mark.parametrize(("negatives", "candidates"), [("other_view", 6), ("both_views", 11)])
def test_the_number_of_negatives(negatives: Negatives, candidates: int) -> None:
    """Without any signal the loss is the log of the candidates: B, or 2B - 1."""
    same = torch.ones((6, 4)) / 2
    assert float(consistency_loss(same, same, 0.1, negatives)) == pytest.approx(
        math.log(candidates), abs=1e-5
    )


@pytest.mark.parametrize("negatives", ["other_view", "both_views"])
def test_one_patient_gives_an_exact_zero_in_the_graph(negatives: Negatives) -> None:
    a, b = (z.requires_grad_() for z in views(1))
    loss = consistency_loss(a, b, 0.2, negatives)
    assert loss.item() == 0.0
    loss.backward()
    assert a.grad is not None
    assert bool((a.grad == 0).all())


@pytest.mark.parametrize("negatives", ["other_view", "both_views"])
def test_gradients_are_those_of_finite_differences(negatives: Negatives) -> None:
    a, b = (z.double().requires_grad_() for z in views(3))
    assert torch.autograd.gradcheck(lambda x, y: consistency_loss(x, y, 0.5, negatives), (a, b))


@pytest.mark.parametrize("negatives", ["other_view", "both_views"])
def test_swapping_the_views_changes_nothing(negatives: Negatives) -> None:
    a, b = views(5)
    assert float(consistency_loss(a, b, 0.2, negatives)) == pytest.approx(
        float(consistency_loss(b, a, 0.2, negatives)), abs=1e-6
    )

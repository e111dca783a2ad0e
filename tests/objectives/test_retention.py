"""The retention loss against a plain loop."""

import math

import torch

from prime.objectives.retention import retention_loss


def by_hand(
    predicted: torch.Tensor, target: torch.Tensor, present: torch.Tensor, components: list[int]
) -> float:
    """Mean over sources of the mean squared error over patients and components that count."""
    per_source: list[float] = []
    for s, count in enumerate(components):
        errors = [
            float((predicted.detach()[b, s, c] - target[b, s, c]) ** 2)
            for b in range(len(present))
            if present[b, s]
            for c in range(count)
        ]
        if errors:
            per_source.append(sum(errors) / len(errors))
    return sum(per_source) / len(per_source)


def test_equals_the_plain_loop_and_ignores_what_is_missing() -> None:
    torch.manual_seed(0)
    predicted, target = torch.randn(6, 3, 4, requires_grad=True), torch.randn(6, 3, 4)
    present = torch.tensor([[1, 0, 0], [1, 1, 0], [0, 1, 0], [1, 0, 0], [1, 1, 0], [0, 0, 0]]).bool()
    components = torch.tensor([4, 2, 3])
    loss = retention_loss(predicted, target, present, components)
    assert math.isclose(float(loss.detach()), by_hand(predicted, target, present, [4, 2, 3]), rel_tol=1e-6)
    spoiled = torch.where(present[..., None], target, torch.nan)
    assert torch.equal(retention_loss(predicted, spoiled, present, components), loss)
    loss.backward()
    assert predicted.grad is not None
    assert not predicted.grad[~present].any()


def test_a_constant_guess_of_unit_variance_targets_costs_one() -> None:
    torch.manual_seed(0)
    target = torch.randn(4000, 1, 5)
    loss = retention_loss(
        torch.zeros_like(target), target, torch.ones(4000, 1, dtype=torch.bool), torch.tensor([5])
    )
    assert math.isclose(float(loss), 1.0, abs_tol=0.03)


def test_without_any_source_it_is_zero_and_in_the_graph() -> None:
    predicted = torch.randn(3, 2, 4, requires_grad=True)
    loss = retention_loss(
        predicted, torch.zeros(3, 2, 4), torch.zeros(3, 2, dtype=torch.bool), torch.tensor([4, 0])
    )
    assert float(loss.detach()) == 0.0
    loss.backward()

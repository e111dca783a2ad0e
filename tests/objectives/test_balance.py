"""The balance loss: its values, that it has a gradient, and what counts."""

import pytest
import torch
from torch import Tensor

from prime.objectives.balance import balance_loss


def routed(logits: Tensor, k: int) -> tuple[Tensor, Tensor]:
    probabilities = logits.softmax(-1)
    return probabilities, probabilities.topk(k).indices


def looped(probabilities: Tensor, experts: Tensor) -> float:
    slots, count = experts.numel(), probabilities.shape[1]
    total = 0.0
    for e in range(count):
        share = sum(int(x) == e for x in experts.flatten()) / slots
        total += share * sum(float(p[e]) for p in probabilities) / len(probabilities)
    return count * total


@pytest.mark.parametrize(("experts", "k"), [(4, 1), (8, 2), (5, 5)])
def test_equals_a_loop(experts: int, k: int) -> None:
    generator = torch.Generator().manual_seed(experts)
    probabilities, chosen = routed(torch.randn((40, experts), generator=generator) * 2, k)
    assert float(balance_loss(probabilities, chosen)) == pytest.approx(
        looped(probabilities, chosen), abs=1e-5
    )


def test_one_under_even_routing() -> None:
    probabilities = torch.full((16, 8), 1 / 8)
    chosen = torch.stack([torch.arange(16) % 8, (torch.arange(16) + 1) % 8], 1)
    assert float(balance_loss(probabilities, chosen)) == pytest.approx(1.0, abs=1e-6)


def test_collapsed_routing_costs_more_and_reaches_the_number_of_experts() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn((400, 16), generator=generator)
    even = float(balance_loss(*routed(logits, 2)))
    collapsed = logits.clone()
    collapsed[:, 0] += 30
    assert even < 1.3
    assert float(balance_loss(*routed(collapsed, 2))) > 5 * even
    assert float(balance_loss(*routed(collapsed, 1))) == pytest.approx(16.0, abs=1e-3)


@pytest.mark.parametrize("k", [1, 2])
def test_the_router_has_a_gradient_that_spreads_the_tokens(k: int) -> None:
    """The zero-gradient defect of the sibling code: softmax after top-k makes the loss constant."""
    generator = torch.Generator().manual_seed(1)
    logits = torch.randn((100, 8), generator=generator)
    logits[:, 0] += 2
    logits.requires_grad_()
    balance_loss(*routed(logits, k)).backward()
    assert logits.grad is not None
    assert float(logits.grad.norm()) > 1e-3
    assert float(logits.grad[:, 0].sum()) > 0  # descent takes from the crowded expert
    lowered = (logits.detach() - 300 * logits.grad).requires_grad_(False)
    assert float(balance_loss(*routed(lowered, k))) < float(balance_loss(*routed(logits.detach(), k)))


def test_invalid_tokens_take_no_part() -> None:
    generator = torch.Generator().manual_seed(2)
    probabilities, chosen = routed(torch.randn((30, 4), generator=generator), 2)
    valid = torch.rand(30, generator=generator) < 0.5
    found = balance_loss(probabilities.masked_fill(~valid[:, None], float("nan")), chosen, valid)
    assert torch.equal(found, balance_loss(probabilities, chosen, valid))
    assert float(found) == pytest.approx(looped(probabilities[valid], chosen[valid]), abs=1e-5)
    assert abs(float(found - balance_loss(probabilities, chosen))) > 1e-4


def test_no_valid_token_gives_a_zero_in_the_graph() -> None:
    logits = torch.randn((4, 3)).requires_grad_()
    loss = balance_loss(*routed(logits, 1), torch.zeros(4, dtype=torch.bool))
    assert loss.item() == 0.0
    loss.backward()

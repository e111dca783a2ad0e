"""The mixture of experts against a dense loop over tokens and experts."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from prime.model.moe import MixtureOfExperts, route
from tests.made_up import model_config


def experts(modalities: int = 3, seed: int = 0, **changes: object) -> MixtureOfExperts:
    torch.manual_seed(seed)
    layer = MixtureOfExperts(modalities, model_config(**changes))
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return layer


def tokens(count: int = 40, seed: int = 1, modalities: int = 3) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    modality = torch.randint(modalities, (count,), generator=generator)
    return torch.randn((count, 16), generator=generator), modality


def dense(layer: MixtureOfExperts, x: Tensor, modality: Tensor, top_k: int) -> Tensor:
    """Every token through each of its experts, one by one."""
    rows: list[Tensor] = []
    for token, m in zip(x, modality.tolist(), strict=True):
        embedding = layer.modality[m]
        gate = torch.cat([token, embedding]) if layer.concatenate else token + embedding
        logits = layer.router.weight @ gate
        chosen = sorted(range(len(logits)), key=lambda e, scores=logits: -float(scores[e].detach()))[:top_k]
        weights = torch.stack([logits[e] for e in chosen]).softmax(0)
        total = torch.zeros_like(token)
        for weight, e in zip(weights, chosen, strict=True):
            hidden = F.gelu(layer.weight_in[e] @ token + layer.bias_in[e])
            total = total + weight * (layer.weight_out[e] @ hidden + layer.bias_out[e])
        rows.append(total)
    return torch.stack(rows)


@pytest.mark.parametrize("gate", ["add", "concat"])
@pytest.mark.parametrize("top_k", [1, 2, 4])
def test_equals_a_dense_loop_with_its_gradients(gate: str, top_k: int) -> None:
    layer = experts(gate=gate, top_k=top_k)
    x, modality = tokens()
    target = torch.randn((40, 16), generator=torch.Generator().manual_seed(5))
    results = []
    for forward in (lambda v: layer(v, modality)[0], lambda v: dense(layer, v, modality, top_k)):
        leaf = x.clone().requires_grad_()
        out = forward(leaf)
        gradients = torch.autograd.grad((out * target).sum(), [leaf, *layer.parameters()], allow_unused=True)
        results.append((out, gradients))
    (fast, fast_gradients), (slow, slow_gradients) = results
    assert torch.allclose(fast, slow, atol=1e-5)
    for a, b in zip(fast_gradients, slow_gradients, strict=True):
        if b is None:  # one expert at weight 1 leaves nothing to the router
            assert a is None or float(a.abs().max()) < 1e-5
        else:
            assert a is not None
            assert torch.allclose(a, b, atol=1e-4)


def test_weights_are_the_softmax_over_the_chosen_and_sum_to_one() -> None:
    logits = torch.randn((9, 5), generator=torch.Generator().manual_seed(0))
    weights, routing = route(logits, 2)
    assert torch.allclose(weights, logits.gather(1, routing.experts).softmax(-1), atol=1e-6)
    assert torch.allclose(routing.probabilities, logits.softmax(-1))
    assert torch.equal(routing.experts, logits.topk(2).indices)


def test_ties_are_broken_alike_every_time() -> None:
    first = route(torch.zeros((50, 6)), 2)[1].experts
    assert all(torch.equal(route(torch.zeros((50, 6)), 2)[1].experts, first) for _ in range(5))


def test_gradient_reaches_every_expert_used_and_no_other() -> None:
    layer = experts(top_k=2)
    with torch.no_grad():
        layer.router.weight[3] = 0.0
        layer.router.weight[3, 0] = -1e4  # expert 3 wins only where feature 0 is negative enough
    x, modality = tokens()
    x = x.abs() + 1
    out, routing = layer(x, modality)
    out.square().sum().backward()
    used = set(routing.experts.flatten().tolist())
    assert used == {0, 1, 2}
    assert layer.weight_in.grad is not None
    norms = layer.weight_in.grad.flatten(1).norm(dim=1)
    assert all(float(norms[e]) > 0 for e in used)
    assert float(norms[3]) == 0.0
    assert layer.router.weight.grad is not None
    assert float(layer.router.weight.grad.norm()) > 0
    assert layer.modality.grad is not None
    assert float(layer.modality.grad.norm()) > 0


@pytest.mark.parametrize("gate", ["add", "concat"])
def test_the_modality_changes_the_routing(gate: str) -> None:
    layer = experts(gate=gate)
    with torch.no_grad():
        layer.modality.copy_(torch.randn_like(layer.modality))
    x = tokens()[0]
    choices = [layer(x, torch.full((len(x),), m))[1].experts for m in range(3)]
    assert not torch.equal(choices[0], choices[1])
    assert not torch.equal(choices[1], choices[2])


def test_add_and_concat_differ_in_the_router_only() -> None:
    add, concat = experts(gate="add"), experts(gate="concat")
    assert add.router.weight.shape == (4, 16)
    assert concat.router.weight.shape == (4, 32)


def test_the_output_of_a_token_does_not_depend_on_the_others() -> None:
    layer = experts()
    x, modality = tokens()
    alone = torch.cat([layer(x[i : i + 1], modality[i : i + 1])[0] for i in range(len(x))])
    assert torch.allclose(layer(x, modality)[0], alone, atol=1e-6)


def test_the_router_runs_in_float32_under_autocast() -> None:
    layer = experts()
    x, modality = tokens()
    plain = layer(x, modality)[1]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        out, routing = layer(x, modality)
    assert routing.probabilities.dtype == out.dtype == torch.float32
    assert torch.equal(routing.probabilities, plain.probabilities)


def test_no_tokens_no_output() -> None:
    out, routing = experts()(torch.zeros((0, 16)), torch.zeros(0, dtype=torch.int64))
    assert out.shape == (0, 16)
    assert routing.experts.shape == (0, 2)

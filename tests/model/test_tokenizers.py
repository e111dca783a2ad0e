"""Attention, group projection and the query tokenizer against plain loops."""

import math

import pytest
import torch
from made_up import inputs, make_batch, model_config
from torch import Tensor

from prime.model.attention import MultiHeadAttention, attend
from prime.model.tokenizer import GroupProjection, ModalityTokenizer


@pytest.mark.parametrize("implementation", ["auto", "matmul", "sdpa"])
def test_attention_equals_a_loop(implementation: str) -> None:
    generator = torch.Generator().manual_seed(0)
    query = torch.randn((2, 2, 3, 4), generator=generator)
    key, value = torch.randn((2, 2, 2, 5, 4), generator=generator)
    mask = torch.tensor([[1, 1, 0, 1, 0], [0, 1, 0, 0, 0]], dtype=torch.bool)
    found = attend(query, key, value, mask, implementation)
    for b in range(2):
        for h in range(2):
            for q in range(3):
                rows = [i for i in range(5) if mask[b, i]]
                scores = [math.exp(float(query[b, h, q] @ key[b, h, i]) / 2) for i in rows]
                expected = sum(s / sum(scores) * value[b, h, i] for s, i in zip(scores, rows, strict=True))
                assert isinstance(expected, Tensor)
                assert torch.allclose(found[b, h, q], expected, atol=1e-5)


@pytest.mark.parametrize("masked", [True, False])
def test_the_implementations_agree(masked: bool) -> None:
    torch.manual_seed(0)
    x, memory = torch.randn((3, 4, 16)), torch.randn((3, 6, 16))
    mask = torch.rand((3, 6)) < 0.5
    mask[:, 0] = True
    results: list[Tensor] = []
    for name in ("matmul", "sdpa", "auto"):
        torch.manual_seed(1)
        layer = MultiHeadAttention(16, 2, name)  # type: ignore[arg-type]
        results.append(layer(x, memory, mask if masked else None))
    assert torch.allclose(results[0], results[1], atol=1e-5)
    assert torch.equal(results[0], results[2])


@pytest.mark.parametrize("groups", [(0, 0, 1, 1), (2, 0, 1, 0, 2, 2, 0), (5, 3), (0,)])
def test_group_projection_equals_a_loop_over_groups(groups: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    layer = GroupProjection(groups, 6)
    values, mask = torch.randn((3, 2, len(groups))), torch.tensor([[1, 0], [1, 1], [0, 1]], dtype=torch.bool)
    tokens, token_mask = layer(values, mask)
    names = sorted(set(groups))
    assert tokens.shape == (3, 2 * len(names), 6)
    for b in range(3):
        for row in range(2):
            for position, group in enumerate(names):
                members = [i for i, g in enumerate(groups) if g == group]
                expected = layer.bias[position] + sum(
                    values[b, row, i] * layer.weight[position, slot] for slot, i in enumerate(members)
                )
                found = tokens[b, row * len(names) + position]
                assert torch.allclose(found, expected, atol=1e-5)
                assert bool(token_mask[b, row * len(names) + position]) == bool(mask[b, row])


def test_group_tokens_differ_and_weights_of_short_groups_stay_idle() -> None:
    torch.manual_seed(0)
    layer = GroupProjection((0, 0, 0, 1), 6)
    tokens, _ = layer(torch.randn((2, 1, 4)), torch.ones((2, 1), dtype=torch.bool))
    tokens.square().sum().backward()
    assert layer.weight.grad is not None
    assert bool((layer.weight.grad[1, 1:] == 0).all())
    assert not torch.allclose(tokens[:, 0], tokens[:, 1])


def tokenizer(seed: int = 0) -> ModalityTokenizer:
    torch.manual_seed(seed)
    spec = inputs()
    return ModalityTokenizer({n: spec.sources[n] for n in ("tiles", "stats")}, model_config())


def test_an_absent_modality_is_zero_and_the_rest_is_as_if_alone() -> None:
    layer = tokenizer().eval()
    observed = torch.tensor([[True], [False], [True], [True]])
    batch = make_batch(observed, spec=inputs(1))
    out = layer(batch.sources)
    assert bool((out[1] == 0).all())
    for i in (0, 2, 3):
        one = {n: type(s)(s.values[i : i + 1], s.token_mask[i : i + 1]) for n, s in batch.sources.items()}
        assert torch.allclose(layer(one)[0], out[i], atol=1e-5)


def test_both_sources_matter_and_the_order_of_rows_does_not() -> None:
    layer = tokenizer().eval()
    batch = make_batch(torch.ones((2, 1), dtype=torch.bool), spec=inputs(1), seed=3)
    sources = {n: type(s)(s.values, torch.ones_like(s.token_mask)) for n, s in batch.sources.items()}
    out = layer(sources)
    for name, s in sources.items():
        other = {**sources, name: type(s)(s.values + torch.randn_like(s.values), s.token_mask)}
        assert not torch.allclose(layer(other), out, atol=1e-3)
    tiles = sources["tiles"]
    turned = {**sources, "tiles": type(tiles)(tiles.values.flip(1), tiles.token_mask)}
    assert torch.allclose(layer(turned), out, atol=1e-5)


def test_queries_give_different_tokens() -> None:
    out = tokenizer().eval()(make_batch(torch.ones((3, 1), dtype=torch.bool), spec=inputs(1)).sources)
    assert float((out[:, 0] - out[:, 1]).abs().max().detach()) > 0.1


def test_a_wholly_absent_modality_keeps_every_parameter_in_the_graph() -> None:
    layer = tokenizer()
    out = layer(make_batch(torch.zeros((3, 1), dtype=torch.bool), spec=inputs(1)).sources)
    assert bool((out == 0).all())
    out.sum().backward()
    for name, parameter in layer.named_parameters():
        assert parameter.grad is not None, name
        assert bool((parameter.grad == 0).all()), name

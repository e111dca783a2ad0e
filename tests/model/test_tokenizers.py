"""Attention, group projection and the query tokenizer against plain loops."""

import math

import pytest
import torch
from torch import Tensor

from prime.model.attention import MultiHeadAttention, attend
from prime.model.projections import GroupProjection, SequenceProjection, pad_tokens
from prime.model.tokenizer import ModalityTokenizer
from tests.made_up import inputs, make_batch, model_config


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
    rows = torch.randn((4, len(groups)))
    tokens = layer(rows)
    names = sorted(set(groups))
    assert tokens.shape == (4, len(names), 6)
    for row in range(4):
        for position, group in enumerate(names):
            members = [i for i, g in enumerate(groups) if g == group]
            expected = layer.bias[position] + sum(
                rows[row, i] * layer.weight[position, slot] for slot, i in enumerate(members)
            )
            assert torch.allclose(tokens[row, position], expected, atol=1e-5)


def test_rows_of_a_sequence_are_normalised_and_projected_with_the_gradients_of_the_plain_layers() -> None:
    torch.manual_seed(0)
    layer, rows = SequenceProjection(7, 5), torch.randn((6, 7)) * 3 + 1
    with torch.no_grad():  # as after some training
        layer.norm.weight.normal_()
        layer.norm.bias.normal_()
    found, plain = layer(rows), layer.linear(layer.norm(rows))
    assert found.shape == (6, 1, 5)
    torch.testing.assert_close(found[:, 0], plain)
    parameters = list(layer.parameters())
    mine = torch.autograd.grad(found.square().sum(), parameters)
    theirs = torch.autograd.grad(plain.square().sum(), parameters)
    for a, b in zip(mine, theirs, strict=True):
        torch.testing.assert_close(a, b)


def test_tokens_return_to_the_places_of_their_rows() -> None:
    mask = torch.tensor([[1, 0, 1], [0, 0, 0], [0, 1, 0]], dtype=torch.bool)
    tokens = torch.arange(12.0).view(3, 2, 2)  # three rows, two groups, D = 2
    padded, wide = pad_tokens(tokens, mask)
    assert wide.tolist() == [
        [True, True, False, False, True, True],
        [False] * 6,
        [False] * 2 + [True] * 2 + [False] * 2,
    ]
    assert padded[wide].tolist() == tokens.flatten(0, 1).tolist()
    assert bool((padded[~wide] == 0).all())


@pytest.mark.parametrize("queries", [1, 3])
def test_pooling_by_folded_queries_equals_attention_and_its_gradients(queries: int) -> None:
    torch.manual_seed(0)
    layer = MultiHeadAttention(16, 4, "matmul")
    with torch.no_grad():
        layer.key_value.bias.normal_()
    shared = torch.randn((queries, 16), requires_grad=True)
    memory = torch.randn((5, 7, 16), requires_grad=True)
    mask = torch.rand((5, 7)) < 0.5
    mask[:, 2] = True
    found = layer.pool(shared, memory, mask)
    plain = layer(shared.expand(5, -1, -1), memory, mask)
    torch.testing.assert_close(found, plain)
    wrt = [shared, memory, *layer.parameters()]
    mine = torch.autograd.grad(found.square().sum(), wrt)
    theirs = torch.autograd.grad(plain.square().sum(), wrt)
    for a, b in zip(mine, theirs, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-4)


def test_group_tokens_differ_and_weights_of_short_groups_stay_idle() -> None:
    torch.manual_seed(0)
    layer = GroupProjection((0, 0, 0, 1), 6)
    tokens = layer(torch.randn((2, 4)))
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

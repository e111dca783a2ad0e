"""Cross-attention fusion against a loop over patients and streams, and against a known defect of others."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from prime.catalogue.methods import METHODS
from prime.errors import InputError
from prime.methods.layers.tokens import CrossBlock
from prime.methods.networks.cross_attention import CrossLayer
from prime.store.batch import Batch, SourceBatch
from tests.made_up import inputs, make_batch, model_config, poison

BASELINE = torch.tensor([-2.0, -1.0])
OBSERVED = torch.tensor([[1, 1, 1], [1, 0, 0], [0, 1, 1], [0, 0, 1], [1, 1, 0], [1, 0, 1], [0, 1, 0]]).bool()
LAYERS = 3


def network(modalities: int = 3) -> nn.Module:
    torch.manual_seed(0)
    method = METHODS["cross_attention"]
    built = method.build(inputs(modalities), model_config(blocks=LAYERS), method.settings(), BASELINE)
    with torch.no_grad():
        for parameter in built.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return built.eval()


def without_attention(model: nn.Module) -> nn.Module:
    """The network with attention whose outputs are all zero."""
    with torch.no_grad():
        for block in blocks(model):
            block.attention.output.weight.zero_()
            block.attention.output.bias.zero_()
    return model


def blocks(model: nn.Module) -> list[CrossBlock]:
    return [m for m in model.modules() if isinstance(m, CrossBlock)]


def feed(block: CrossBlock, x: Tensor) -> Tensor:
    return x + block.feed_forward(block.norm(x))


def alone(model: nn.Module, tokens: Tensor, m: int) -> Tensor:
    """Tokens (K, D) of a modality through its own feed-forward networks of all layers."""
    for layer in model.layers:
        tokens = feed(layer.blocks[m], tokens)
    return tokens


def walk(model: nn.Module, own: dict[int, Tensor]) -> dict[int, Tensor]:
    """The streams (K, D) of one patient from the tokens of what he has, one stream at a time."""
    streams = own
    for layer in model.layers:
        fresh: dict[int, Tensor] = {}
        for m, x in streams.items():
            block, others = layer.blocks[m], [streams[j] for j in streams if j != m]
            if others:
                memory = block.memory_norm(torch.cat(others))[None]
                x = x + block.attention(block.query_norm(x)[None], memory)[0]
            fresh[m] = feed(block, x)
        streams = fresh
    return streams


@torch.no_grad()
def test_it_equals_a_loop_over_patients_and_streams() -> None:
    model, batch = network(), make_batch(OBSERVED)
    tokens, found = model.tokenizers(batch), model(poison(batch)).logits
    _, norm, linear = model.head
    for b, row in enumerate(OBSERVED.tolist()):
        streams = walk(model, {m: tokens[b, m] for m in range(3) if row[m]})
        means = [model.norms[m](streams[m]).mean(dim=0) if row[m] else torch.zeros(16) for m in range(3)]
        torch.testing.assert_close(found[b], linear(norm(torch.cat(means))), rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_without_attention_every_stream_stays_its_own_modality() -> None:
    """In others' code all streams derive from one modality after the first layer."""
    model, batch = without_attention(network()), make_batch(torch.ones((4, 3)).bool())
    tokens = model.tokenizers(batch)
    for m, stream in enumerate(model.streams(batch)):
        for b in range(4):
            torch.testing.assert_close(stream[b], alone(model, tokens[b, m], m), rtol=1e-4, atol=1e-5)


def changed_words(batch: Batch) -> Batch:
    words = batch.sources["words"]
    return replace(
        batch, sources={**batch.sources, "words": SourceBatch(words.values.flip(2), words.token_mask)}
    )


@torch.no_grad()
def test_other_modalities_reach_a_stream_through_attention_alone() -> None:
    batch = make_batch(torch.ones((4, 3)).bool())
    model = network()
    before, after = model.streams(batch), model.streams(changed_words(batch))
    assert all(not torch.allclose(a, b, atol=1e-3) for a, b in zip(before, after, strict=True))
    model = without_attention(model)
    before, after = model.streams(batch), model.streams(changed_words(batch))
    assert torch.equal(before[0], after[0])
    assert torch.equal(before[1], after[1])
    assert not torch.allclose(before[2], after[2], atol=1e-3)


@torch.no_grad()
def test_streams_of_a_layer_move_at_once() -> None:
    """The order of modalities in a layer must not matter: each reads the others as they came in."""
    torch.manual_seed(0)
    layer = CrossLayer(3, model_config()).eval()
    streams = [torch.randn(2, 3, 16) for _ in range(3)]
    observed = torch.tensor([[1, 1, 1], [1, 0, 1]]).bool()
    found = layer(streams, observed)
    turned = CrossLayer(3, model_config()).eval()
    turned.blocks = nn.ModuleList(reversed(list(layer.blocks)))
    for a, b in zip(found, reversed(turned(streams[::-1], observed.flip(1))), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-6)


@torch.no_grad()
def test_every_other_modality_is_attended_in_the_first_layer() -> None:
    torch.manual_seed(0)
    layer = CrossLayer(3, model_config()).eval()
    streams = [torch.randn(2, 3, 16) for _ in range(3)]
    observed = torch.tensor([[1, 1, 1], [1, 1, 0]]).bool()
    found = layer(streams, observed)
    for j in range(3):
        moved = [s + 1e-1 * torch.randn_like(s) if i == j else s for i, s in enumerate(streams)]
        other = layer(moved, observed)
        for m in range(3):
            assert not torch.allclose(found[m][0], other[m][0], atol=1e-4)
            reads = m == j or bool(observed[1, j])
            assert torch.allclose(found[m][1], other[m][1], atol=1e-6) != reads


def test_one_modality_is_refused() -> None:
    with pytest.raises(InputError, match=r"cross_attention.*two or more.*image"):
        network(modalities=1)

"""MulT against loops over patients, heads and tokens, and the traps of the original."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from prime.errors import InputError
from prime.methods.interface import NoSettings
from prime.methods.layers.tokens import CrossBlock
from prime.methods.networks.mult import MulT, Stream
from tests.made_up import inputs, make_batch, model_config
from tests.methods.naive_layers import Floats, array, cross, every_pattern, layer_norm, linear, vanilla


def network(modalities: int = 3, blocks: int = 2, seed: int = 0) -> MulT:
    torch.manual_seed(seed)
    config = model_config(dim=8, blocks=blocks)
    return MulT(inputs(modalities), config, NoSettings(), torch.linspace(-2, -1, 4)).eval()


def made_up_tokens(patients: int, modalities: int, seed: int = 0) -> Tensor:
    return torch.randn((patients, modalities, 3, 8), generator=torch.Generator().manual_seed(seed))


def naive_stream(stream: nn.Module, tokens: Floats, there: list[bool], target: int) -> Floats:
    """The pooled stream of one target for one patient; tokens (M, K, D)."""
    assert isinstance(stream, Stream)
    count, queries, dim = tokens.shape
    sources = [s for s in range(count) if s != target]
    results = [
        cross(block, list(tokens[target]), list(tokens[source]) if there[source] else [])
        for block, source in zip(stream.cross, sources, strict=True)
    ]
    x = [np.concatenate([result[k] for result in results]) for k in range(queries)]
    for block in stream.blocks:
        x = vanilla(block, x)
    out = [linear(stream.out[1], layer_norm(stream.out[0], token)) for token in x]
    return np.mean(out, axis=0) if there[target] else np.zeros(dim * (count - 1))


@pytest.mark.parametrize("modalities", [2, 3])
def test_it_is_the_equations_token_by_token(modalities: int) -> None:
    built, observed = network(modalities), every_pattern(modalities)
    tokens = made_up_tokens(len(observed), modalities)
    tokens[~observed] = 0.0
    found = built.fuse(tokens, observed)
    assert found.shape == (len(observed), modalities * (modalities - 1) * 8)
    for i, there in enumerate(observed.tolist()):
        streams = [
            naive_stream(stream, array(tokens[i]), there, target)
            for target, stream in enumerate(built.streams)
        ]
        np.testing.assert_allclose(array(found[i]), np.concatenate(streams), rtol=1e-4, atol=1e-5)


def test_attention_is_not_causal() -> None:
    """A trap of the original: its mask is on by default, between modalities too."""
    stream = network(blocks=1).streams[0]
    target, image, rna = made_up_tokens(1, 3).unbind(dim=1)
    there = torch.ones(1, 2, dtype=torch.bool)
    before = stream(target, torch.stack([image, rna], dim=1), there)
    later = rna.clone()
    later[:, -1] += torch.linspace(-1, 1, 8)
    after = stream(target, torch.stack([image, later], dim=1), there)
    assert (after - before)[0, 0].abs().max() > 1e-4  # the first token sees the last of another modality
    later = target.clone()
    later[:, -1] += torch.linspace(-1, 1, 8)
    after = stream(later, torch.stack([image, rna], dim=1), there)
    assert (after - before)[0, 0].abs().max() > 1e-4  # and the last of its own


@pytest.mark.parametrize("moved", [0, 1, 2])
def test_tokens_have_no_positions(moved: int) -> None:
    """A trap of the original: sinusoidal positions, which tokens without an order must not get."""
    built, observed = network(), torch.ones(4, 3, dtype=torch.bool)
    tokens = made_up_tokens(4, 3)
    turned = tokens.clone()
    turned[:, moved] = tokens[:, moved].roll(1, dims=1)
    torch.testing.assert_close(built.fuse(turned, observed), built.fuse(tokens, observed))


def test_the_mean_and_not_the_last_step_is_kept() -> None:
    """A trap of the original: the last step may be padding."""
    built, observed = network(), torch.ones(4, 3, dtype=torch.bool)
    tokens = made_up_tokens(4, 3)
    steps = built.streams[0](tokens[:, 0], tokens[:, [1, 2]], observed[:, [1, 2]])  # (4, 3, 16)
    found = built.fuse(tokens, observed)[:, :16]
    torch.testing.assert_close(found, (steps[:, 0] + steps[:, 1] + steps[:, 2]) / 3)
    assert not torch.allclose(found, steps[:, -1], atol=1e-2)


def test_what_a_missing_modalitys_tokens_hold_does_not_matter() -> None:
    built, observed = network(), every_pattern(3)
    tokens = made_up_tokens(7, 3)
    other = torch.where(observed[..., None, None], tokens, 7.0)
    torch.testing.assert_close(built.fuse(other, observed), built.fuse(tokens, observed))


@pytest.mark.parametrize("modalities", [2, 3, 4])
def test_one_cross_block_for_each_ordered_pair(modalities: int) -> None:
    """A defect of others: blocks from a modality to itself that nothing uses."""
    built = network(modalities)
    count = sum(isinstance(module, CrossBlock) for module in built.modules())
    assert count == modalities * (modalities - 1)
    logits = built(make_batch(every_pattern(modalities))).logits
    torch.testing.assert_close(logits, torch.linspace(-2, -1, 4).expand(len(logits), -1))


def test_it_needs_two_modalities() -> None:
    with pytest.raises(InputError, match="two or more"):
        network(1)

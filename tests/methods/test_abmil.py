"""Gated attention pooling and ABMIL against plain loops."""

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from prime.catalogue.methods import METHODS
from prime.methods.layers.attention_pooling import GatedAttentionPooling
from prime.model.projections import GroupProjection, SequenceProjection
from prime.store.batch import Batch, SourceBatch
from tests.made_up import inputs, make_batch, model_config, poison

IMAGE = inputs(1)  # tiles, rows of 5; stats, a vector with two feature groups
BASELINE = torch.tensor([-2.0, -1.0])


def pooling(dropout: float = 0.0) -> GatedAttentionPooling:
    torch.manual_seed(0)
    layer = GatedAttentionPooling(6, 4, dropout)
    with torch.no_grad():
        layer.score.weight.mul_(5.0)  # far from even weights
    return layer


def bags(count: int = 5, length: int = 7) -> tuple[Tensor, Tensor]:
    """Bags of 0, 1, ... instances: x (B, S, 6), mask (B, S)."""
    x = torch.randn((count, length, 6), generator=torch.Generator().manual_seed(1))
    return x, torch.arange(length) < torch.arange(count)[:, None]


def loop_pool(layer: GatedAttentionPooling, instances: list[Tensor]) -> Tensor:
    """One bag by the equation, one instance at a time."""
    scores: list[float] = []
    for h in instances:
        content = [math.tanh(float(v)) for v in layer.content.weight @ h + layer.content.bias]
        gate = [1 / (1 + math.exp(-float(v))) for v in layer.gate.weight @ h + layer.gate.bias]
        scores.append(
            sum(float(w) * c * g for w, c, g in zip(layer.score.weight[0], content, gate, strict=True))
        )
    total = sum(math.exp(s) for s in scores)
    pooled = torch.zeros(layer.content.in_features)
    for s, h in zip(scores, instances, strict=True):
        pooled = pooled + math.exp(s) / total * h
    return pooled


@torch.no_grad()
def test_pooling_equals_a_loop() -> None:
    layer = pooling()
    x, mask = bags()
    found = layer(x.masked_fill(~mask[..., None], float("nan")), mask)
    for b in range(1, len(x)):
        expected = loop_pool(layer, [x[b, i] for i in range(b)])
        torch.testing.assert_close(found[b], expected, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(found[1], x[1, 0])  # one instance is the bag


def test_an_empty_bag_pools_to_zero_and_gives_no_gradient() -> None:
    layer = pooling()
    x = torch.full((2, 3, 6), float("inf"), requires_grad=True)
    found = layer(x, torch.zeros((2, 3), dtype=torch.bool))
    assert torch.equal(found, torch.zeros((2, 6)))
    found.sum().backward()
    assert x.grad is not None
    assert not x.grad.any()
    assert all(p.grad is not None and not p.grad.any() for p in layer.parameters())


@torch.no_grad()
def test_weights_are_positive_and_sum_to_one() -> None:
    x, mask = bags()
    weights = pooling().weights(x, mask)
    assert torch.equal(weights > 0, mask)
    torch.testing.assert_close(weights.sum(1), torch.tensor([0.0, 1.0, 1.0, 1.0, 1.0]))
    assert float(weights[4].max() - weights[4].min()) > 0.05


def test_dropout_follows_each_branch() -> None:
    """With a share 0.5 kept in each branch, three quarters of the products are zero."""
    torch.manual_seed(0)
    layer = GatedAttentionPooling(6, 500, 0.5)
    seen: list[Tensor] = []
    layer.score.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    x, mask = bags()
    layer(x, mask)
    layer.eval()(x, mask)
    assert float((seen[0] == 0).float().mean()) == pytest.approx(0.75, abs=0.02)
    assert float((seen[1][mask] == 0).float().mean()) < 0.01


def test_weights_are_float32_under_autocast() -> None:
    x, mask = bags()
    layer = pooling()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = layer(x, mask)
        weights = layer.weights(x, mask)
    assert found.dtype == weights.dtype == torch.float32
    torch.testing.assert_close(weights.sum(1)[1:], torch.ones(4))


# The network ------------------------------------------------------------------------------------------------


def network(hidden: int = 8, dropout: float = 0.0) -> nn.Module:
    torch.manual_seed(0)
    settings = METHODS["abmil"].settings().model_copy(update={"hidden": hidden})
    built = METHODS["abmil"].build(IMAGE, model_config(dropout=dropout), settings, BASELINE)
    with torch.no_grad():
        built.head[2].weight.normal_()
    return built


def some_images() -> Batch:
    return make_batch(torch.ones((8, 1), dtype=torch.bool), seed=2)


@torch.no_grad()
def test_network_equals_a_loop_over_patients_sources_and_instances() -> None:
    model, batch = network().eval(), some_images()
    found = model(poison(batch)).logits
    tiles, stats = batch.sources["tiles"], batch.sources["stats"]
    assert not tiles.token_mask.any(1).all()  # some have the vector alone
    rows: SequenceProjection = model.instances.projections["tiles"]
    vector: GroupProjection = model.instances.projections["stats"]
    for b in range(8):
        bag: list[Tensor] = []
        for i in range(4):
            if tiles.token_mask[b, i]:
                t = tiles.values[b, i]
                t = (t - t.mean()) / (t.var(unbiased=False) + 1e-5).sqrt()
                bag.append((rows.linear.weight @ t + rows.linear.bias).clamp_min(0))
        if stats.token_mask[b, 0]:
            for group, members in enumerate(((0, 1), (2, 3))):
                h = vector.bias[group].clone()
                for position, feature in enumerate(members):
                    h = h + stats.values[b, 0, feature] * vector.weight[group, position]
                bag.append(h.clamp_min(0))
        z = loop_pool(model.pooling, bag)
        z = (z - z.mean()) / (z.var(unbiased=False) + 1e-5).sqrt()
        torch.testing.assert_close(found[b], model.head[2].weight @ z + BASELINE, rtol=1e-4, atol=1e-5)


def test_the_order_of_instances_does_not_matter() -> None:
    model, batch = network().eval(), some_images()
    tiles = batch.sources["tiles"]
    order = torch.tensor([2, 0, 3, 1])
    shuffled = SourceBatch(tiles.values[:, order], tiles.token_mask[:, order])
    other = replace(batch, sources={**batch.sources, "tiles": shuffled})
    torch.testing.assert_close(model(other).logits, model(batch).logits)
    wrong = replace(batch, sources={**batch.sources, "tiles": replace(shuffled, values=tiles.values)})
    assert not torch.allclose(model(wrong).logits, model(batch).logits, atol=1e-3)


def test_hidden_is_the_width_of_both_branches() -> None:
    model = network(hidden=11)
    assert model.pooling.content.weight.shape == model.pooling.gate.weight.shape == (11, 16)


def test_dropout_reaches_instances() -> None:
    model, batch = network(dropout=0.5).train(), some_images()
    model.pooling.eval()
    assert not torch.equal(model(batch).logits, model(batch).logits)

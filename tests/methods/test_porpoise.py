"""Porpoise: the gated bilinear fusion by hand, and the L1 penalty."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from prime.methods.networks.porpoise import (
    GatedBilinearFusion,
    Porpoise,
    PorpoiseSettings,
    product_with_ones,
)
from tests.made_up import inputs, make_batch, model_config, patterns_without_nothing

BASELINE = torch.linspace(-2, -1, 4)


def make(l1: float = 1e-5, dropout: float = 0.0) -> Porpoise:
    torch.manual_seed(0)
    network = Porpoise(inputs(2), model_config(dropout=dropout), PorpoiseSettings(l1=l1), BASELINE)
    nn.init.normal_(network.head[2].weight)
    return network


def linear(layer: nn.Module, x: NDArray[np.float64]) -> NDArray[np.float64]:
    weight, bias = (p.detach().double().numpy() for p in (layer.weight, layer.bias))
    return weight @ x + bias


def relu(x: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.maximum(x, 0)


def fused_by_hand(fusion: GatedBilinearFusion, vectors: Tensor, there: Tensor) -> NDArray[np.float64]:
    """One patient: vectors (2, D), there (2,)."""
    v = vectors.double().numpy()
    both = np.concatenate([v[0], v[1]])
    small: list[NDArray[np.float64]] = []
    for i, side in enumerate(fusion.sides):
        gate = 1 / (1 + np.exp(-linear(side.gate, both)))
        o = relu(linear(side.mix, gate * relu(linear(side.reduce, v[i]))))
        small.append(np.append(o if there[i] else np.zeros_like(o), 1.0))
    joint = relu(linear(fusion.joint[1], np.outer(small[0], small[1]).ravel()))
    return relu(linear(fusion.output[0], np.concatenate([joint, both])))


def test_the_product_is_numpys() -> None:
    a, b = torch.randn(3, 4), torch.randn(3, 2)
    found = product_with_ones(a, b)
    assert found.shape == (3, 15)
    for i in range(3):
        np.testing.assert_allclose(found[i], np.outer([*a[i], 1.0], [*b[i], 1.0]).ravel(), rtol=1e-6)


@pytest.mark.parametrize(("dim", "reduced"), [(16, 4), (48, 6)])
def test_the_fusion_by_hand(dim: int, reduced: int) -> None:
    torch.manual_seed(0)
    fusion = GatedBilinearFusion(dim, 0.25).eval()
    assert fusion.sides[0].reduce.out_features == reduced
    there = torch.tensor([[True, True], [True, False], [False, True], [True, True]])
    vectors = torch.randn(4, 2, dim) * there[..., None]
    found = fusion(vectors, there).detach()
    for i in range(4):
        np.testing.assert_allclose(
            found[i], fused_by_hand(fusion, vectors[i], there[i]), rtol=1e-4, atol=1e-6
        )


def test_a_missing_side_leaves_nothing_in_the_product() -> None:
    """The product then holds the other side's own terms and a one; all the rest of it is zero."""
    torch.manual_seed(0)
    fusion = GatedBilinearFusion(16, 0.0)
    seen: list[Tensor] = []
    fusion.joint[0].register_forward_hook(lambda _, given, __: seen.append(given[0]))
    vectors = torch.randn(2, 2, 16)
    there = torch.tensor([[True, False], [False, True]])
    fusion(vectors * there[..., None], there)
    product = seen[0].unflatten(1, (5, 5))
    assert not product[0, :, :4].any()
    assert not product[1, :4].any()
    assert product[0, :4, 4].any()
    assert product[1, 4, :4].any()
    assert product[:, 4, 4].tolist() == [1.0, 1.0]


def test_both_sides_enter_as_said() -> None:
    network = make().eval()
    observed = torch.tensor([[True, True], [True, False], [False, True]])
    batch = make_batch(observed, seed=2)
    x, mask = network.instances(batch)
    image = network.image_layer(network.pooling(x, mask)) * observed[:, :1]
    rna = network.rna_layers(batch.sources["genes"].values[:, 0]) * observed[:, 1:]
    expected = network.head(network.fusion(torch.stack([image, rna], dim=1), observed))
    torch.testing.assert_close(network(batch).logits, expected)
    assert (expected - BASELINE).abs().max() > 1e-2


def test_the_penalty_is_on_the_rna_branch_and_the_fusion() -> None:
    network = make(l1=0.01)
    batch = make_batch(patterns_without_nothing(6, 2, 0))
    losses = network(batch).losses
    assert list(losses) == ["l1"]
    parts = [p for n, p in network.named_parameters() if n.startswith(("rna_layers.", "fusion."))]
    expected = 0.01 * sum(float(p.detach().double().abs().sum()) for p in parts)
    assert losses["l1"].item() == pytest.approx(expected, rel=1e-5)
    losses["l1"].backward()
    for name, p in network.named_parameters():
        if name.startswith(("rna_layers.", "fusion.")):
            assert p.grad is not None
            torch.testing.assert_close(p.grad, 0.01 * p.detach().sign())
        else:
            assert p.grad is None, name


def test_without_a_penalty_the_prediction_alone_reaches_every_parameter() -> None:
    network = make(l1=0.0, dropout=0.1).train()
    found = network(make_batch(patterns_without_nothing(24, 2, 0)))
    assert found.losses == {}
    found.logits.square().sum().backward()
    assert [n for n, p in network.named_parameters() if p.grad is None or not p.grad.any()] == []

"""Source vectors, self-normalising blocks and SNN against their equations."""

import math

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor, nn

from prime.catalogue.methods import METHODS
from prime.errors import InputError
from prime.methods.layers.snn_blocks import SelfNormalisingBlock
from prime.methods.layers.source_vectors import SourceVectors
from prime.settings.methods import ComparisonConfig
from prime.store.inputs import InputSpec
from tests.made_up import MODALITIES, SOURCES, inputs, make_batch, model_config, poison

BASELINE = torch.tensor([-2.0, -1.0])
ALPHA, SCALE = 1.6732632423543772, 1.0507009873554805  # of SELU (Klambauer et al.)


def test_source_vectors_equal_a_loop() -> None:
    batch = make_batch(torch.tensor([[1, 1, 0], [0, 1, 1], [1, 0, 1], [1, 1, 1]]).bool(), seed=3)
    vectors = SourceVectors(inputs(3))
    found = vectors(poison(batch))
    assert vectors.width == 5 + 4 + 7 + 6
    assert found.shape == (4, 22)
    for b in range(4):
        expected: list[float] = []
        for name in ("tiles", "stats", "genes", "words"):
            source, total, count = batch.sources[name], torch.zeros(SOURCES[name].dim), 0
            for i in range(source.values.shape[1]):
                if source.token_mask[b, i]:
                    row = source.values[b, i]
                    if SOURCES[name].kind == "sequence":
                        row = (row - row.mean()) / (row.var(unbiased=False) + 1e-5).sqrt()
                    total, count = total + row, count + 1
            expected += (total / max(1, count)).tolist()
        torch.testing.assert_close(found[b], torch.tensor(expected), rtol=1e-5, atol=1e-6)


def test_a_vector_source_keeps_its_values() -> None:
    batch = make_batch(torch.ones((3, 3)).bool()).select(["rna"])
    rna = InputSpec(modalities={"rna": MODALITIES["rna"]}, sources={"genes": SOURCES["genes"]})
    assert torch.equal(SourceVectors(rna)(batch), batch.sources["genes"].values[:, 0])


def by_hand(activation: str, x: float) -> float:
    if activation == "elu":
        return x if x > 0 else math.exp(x) - 1
    return SCALE * (x if x > 0 else ALPHA * (math.exp(x) - 1))


@pytest.mark.parametrize("activation", ["elu", "selu"])
def test_a_block_equals_its_equation(activation: str) -> None:
    torch.manual_seed(0)
    block = SelfNormalisingBlock(3, 2, activation, 0.4).eval()  # pyright: ignore[reportArgumentType]
    linear = block[0]
    assert isinstance(linear, nn.Linear)
    with torch.no_grad():
        linear.bias.copy_(torch.tensor([0.3, -0.7]))
    x = torch.tensor([[0.5, -1.0, 2.0], [-2.0, 0.1, 0.4]])
    for row, found in zip(x.tolist(), block(x).tolist(), strict=True):
        for weight, bias, value in zip(linear.weight.tolist(), [0.3, -0.7], found, strict=True):
            before = bias + sum(w * v for w, v in zip(weight, row, strict=True))
            assert value == pytest.approx(by_hand(activation, before), abs=1e-5)


@pytest.mark.parametrize("width", [25, 400])
@torch.no_grad()
def test_weights_start_with_variance_one_over_fan_in(width: int) -> None:
    torch.manual_seed(0)
    linear = SelfNormalisingBlock(width, 2000, "elu", 0.1)[0]
    assert isinstance(linear, nn.Linear)
    assert float(linear.weight.var()) * width == pytest.approx(1.0, abs=0.03)
    assert float(linear.weight.mean()) == pytest.approx(0.0, abs=0.03 * width**-0.5)
    assert float(linear.weight.abs().max()) > 3 * width**-0.5  # normal, not uniform
    assert not linear.bias.any()


@pytest.mark.parametrize("dropout", [0.0, 0.1, 0.25])
def test_selu_and_alpha_dropout_keep_mean_and_variance_through_ten_blocks(dropout: float) -> None:
    torch.manual_seed(0)
    x = torch.randn(2000, 300)
    with torch.no_grad():
        for _ in range(10):
            x = SelfNormalisingBlock(300, 300, "selu", dropout).train()(x)
    assert float(x.mean()) == pytest.approx(0.0, abs=0.1)
    assert float(x.var()) == pytest.approx(1.0, abs=0.15)


def test_what_alpha_dropout_drops_takes_selus_lowest_value() -> None:
    """x' = a (x d + alpha' (1 - d)) + b, with a and b that keep mean and variance (Klambauer et al.)."""
    torch.manual_seed(0)
    keep, lowest = 0.75, -ALPHA * SCALE
    block = SelfNormalisingBlock(4, 50, "selu", 1 - keep).train()
    x = torch.randn(400, 4)
    a = (keep + lowest**2 * keep * (1 - keep)) ** -0.5
    b = -a * lowest * (1 - keep)
    plain, found = block[1](block[0](x)), block(x)
    dropped = torch.isclose(found, torch.tensor(a * lowest + b), atol=1e-4)
    kept = torch.isclose(found, a * plain + b, atol=1e-4)
    assert bool((dropped | kept).all())
    assert float(dropped.float().mean()) == pytest.approx(1 - keep, abs=0.03)


# The network ------------------------------------------------------------------------------------------------


def rna() -> InputSpec:
    """A modality of two sources, a sequence and a vector, that the network reads as RNA."""
    return inputs(1)


def network(**settings: object) -> nn.Module:
    torch.manual_seed(0)
    method = METHODS["snn"]
    chosen = ComparisonConfig(settings={"snn": settings}).method_settings("snn")
    built = method.build(rna(), model_config(dropout=0.2), chosen, BASELINE)
    with torch.no_grad():
        built.head[2].weight.normal_()
    return built


@pytest.mark.parametrize("activation", ["elu", "selu"])
def test_network_equals_its_equations(activation: str) -> None:
    model = network(activation=activation, widths=[7, 5]).eval()
    batch = make_batch(torch.ones((6, 1)).bool(), seed=2)
    assert not batch.sources["tiles"].token_mask.any(1).all()
    found = model(batch).logits
    h: Tensor = SourceVectors(rna())(batch).double()
    for block in model.blocks:
        h = h @ block[0].weight.double().T + block[0].bias.double()
        h = h.detach().apply_(lambda x: by_hand(activation, x))
    h = (h - h.mean(1, keepdim=True)) / (h.var(1, unbiased=False, keepdim=True) + 1e-5).sqrt()
    expected = h @ model.head[2].weight.double().T + BASELINE.double()
    torch.testing.assert_close(found.double(), expected, rtol=1e-4, atol=1e-5)


def test_settings_shape_the_network() -> None:
    model = network()
    shapes = [tuple(block[0].weight.shape) for block in model.blocks]
    assert shapes == [(256, 9), (256, 256), (256, 256), (256, 256)]
    assert all(isinstance(block[1], nn.ELU) and block[2].p == 0.2 for block in model.blocks)
    other = network(activation="selu", widths=[3])
    assert [tuple(block[0].weight.shape) for block in other.blocks] == [(3, 9)]
    assert isinstance(other.blocks[0][1], nn.SELU)


@pytest.mark.parametrize("wrong", [{"activation": "relu"}, {"widths": []}, {"widths": [4, 0]}])
def test_wrong_settings_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises((ValidationError, InputError)):
        network(**wrong)

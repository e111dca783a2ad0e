"""Tensor fusion against nested loops, and what is left of a product when a modality is missing."""

import itertools
import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from prime.errors import InputError
from prime.methods.networks.tensor_fusion import TensorFusion, TensorFusionSettings, outer_product
from tests.made_up import inputs, make_batch, model_config
from tests.methods.naive_layers import array, every_pattern, hazard_head, linear


def network(modalities: int = 3, width: int = 3, seed: int = 0) -> TensorFusion:
    torch.manual_seed(seed)
    settings = TensorFusionSettings(width=width)
    built = TensorFusion(inputs(modalities), model_config(), settings, torch.linspace(-2, -1, 4)).eval()
    nn.init.normal_(built.head[2].weight)  # pyright: ignore[reportArgumentType]
    return built


def random_vectors(patients: int, modalities: int, width: int) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randn((patients, modalities, width), generator=generator)


def test_products_by_hand() -> None:
    two = torch.tensor([[[2.0, 5.0], [3.0, 7.0]]])
    expected = torch.tensor([[1.0, 3, 7, 2, 6, 14, 5, 15, 35]])
    torch.testing.assert_close(outer_product(two), expected)


@pytest.mark.parametrize("modalities", [1, 2, 3, 4])
def test_products_are_those_of_nested_loops(modalities: int) -> None:
    vectors = random_vectors(5, modalities, 3)
    found = outer_product(vectors)
    assert found.shape == (5, 4**modalities)
    for i in range(5):
        padded = [[1.0, *vectors[i, m].tolist()] for m in range(modalities)]
        expected = [math.prod(entries) for entries in itertools.product(*padded)]
        np.testing.assert_allclose(array(found[i]), expected, rtol=1e-5)


def test_three_modalities_are_an_einsum() -> None:
    vectors = random_vectors(5, 3, 4)
    a, b, c = (np.concatenate([np.ones((5, 1)), array(vectors[:, m])], axis=1) for m in range(3))
    expected = np.einsum("ni,nj,nk->nijk", a, b, c).reshape(5, -1)
    np.testing.assert_allclose(array(outer_product(vectors)), expected, rtol=1e-5)


@pytest.mark.parametrize("missing", [0, 1, 2])
def test_the_others_products_are_left_where_one_is_missing(missing: int) -> None:
    vectors = random_vectors(2, 3, 3)
    vectors[:, missing] = 0.0
    cube = outer_product(vectors).unflatten(1, (4, 4, 4)).movedim(missing + 1, 1)  # (2, 4, 4, 4)
    rest = outer_product(vectors[:, [m for m in range(3) if m != missing]])
    torch.testing.assert_close(cube[:, 0].flatten(1), rest)
    assert not cube[:, 1:].any()


def test_it_is_the_equations_patient_by_patient() -> None:
    built, batch = network(), make_batch(every_pattern(3))
    tokens, found = array(built.tokenizers(batch)), built(batch).logits
    reduce = list(built.reduce.values())
    for i, there in enumerate(batch.observed.tolist()):
        vectors = [
            linear(reduce[m], tokens[i, m].mean(axis=0)) if there[m] else np.zeros(3) for m in range(3)
        ]
        product = [math.prod(e) for e in itertools.product(*([1.0, *v] for v in vectors))]
        hidden = np.maximum(linear(built.layers[1], np.array(product)), 0)
        hidden = np.maximum(linear(built.layers[3], hidden), 0)
        np.testing.assert_allclose(array(found[i]), hazard_head(built.head, hidden), rtol=1e-4, atol=1e-5)


def test_one_patient_alone_can_train() -> None:
    """A trap of the original: batch normalisation, which one patient breaks."""
    built = network().train()
    built(make_batch(torch.ones(1, 3, dtype=torch.bool))).logits.sum().backward()
    gradients = [p.grad for p in built.parameters() if p.grad is not None]
    assert any(bool(g.abs().sum() > 0) for g in gradients)
    assert all(bool(g.isfinite().all()) for g in gradients)


@pytest.mark.parametrize("modalities", [1, 2, 4])
def test_any_number_of_modalities(modalities: int) -> None:
    built = network(modalities)
    assert built(make_batch(every_pattern(modalities))).logits.isfinite().all()


def test_a_product_that_is_too_large_is_refused() -> None:
    with pytest.raises(InputError, match=r"width 66 with 3 modalities makes 300,763 products.*tensor_fusion"):
        network(width=66)
    with pytest.raises(InputError, match="1,185,921"):
        network(modalities=4, width=32)
    assert network(modalities=4, width=16).layers[1].in_features == 17**4

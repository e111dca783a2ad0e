"""MCAT: the co-attention against a loop over patients, and what happens without a side."""

import numpy as np
import pytest
import torch
from torch import nn

from prime.errors import InputError
from prime.methods.networks.mcat import GuidedAttention, Mcat, McatSettings, co_attention
from prime.settings.methods import ComparisonConfig
from prime.store.inputs import InputSpec
from tests.made_up import inputs, make_batch, model_config

BASELINE = torch.linspace(-2, -1, 4)


@pytest.fixture
def network() -> Mcat:
    torch.manual_seed(0)
    network = Mcat(inputs(2), model_config(), McatSettings(groups=3), BASELINE).eval()
    nn.init.normal_(network.head[2].weight)
    return network


def test_co_attention_is_a_loop_over_patients() -> None:
    generator = torch.Generator().manual_seed(0)
    query = torch.randn(4, 3, 8, generator=generator)
    key, value = torch.randn(2, 4, 6, 8, generator=generator)
    mask = torch.tensor([[1] * 6, [0, 1, 0, 1, 1, 0], [0, 0, 1, 0, 0, 0], [0] * 6]).bool()
    mixed, weights = co_attention(query, key, value, mask)
    assert mixed.shape == (4, 3, 8)
    assert weights.shape == (4, 3, 6)
    for i in range(4):
        keys, values = key[i][mask[i]].double().numpy(), value[i][mask[i]].double().numpy()
        for g in range(3):
            e = np.exp(keys @ query[i, g].double().numpy() / np.sqrt(8))
            a = e / e.sum()
            np.testing.assert_allclose(weights[i, g][mask[i]], a, rtol=1e-5, atol=1e-7)
            np.testing.assert_allclose(mixed[i, g], a @ values, rtol=1e-5, atol=1e-6)
    assert not weights[~mask[:, None].expand(-1, 3, -1)].any()


def test_genes_guide_the_attention_and_without_them_every_instance_weighs_the_same() -> None:
    torch.manual_seed(0)
    attention = GuidedAttention(8)
    genes, x = torch.randn(3, 2, 8), torch.randn(3, 5, 8)
    mask = torch.tensor([[1, 1, 1, 0, 1], [1, 0, 0, 1, 0], [0] * 5]).bool()
    asks = torch.tensor([True, False, True])
    mixed, weights = attention(genes, asks, x, mask)
    scores = (attention.query(genes[0]) @ attention.key(x[0]).T / 8**0.5)[:, mask[0]]
    torch.testing.assert_close(weights[0][:, mask[0]], scores.softmax(dim=1))
    assert (weights[0][0] - weights[0][1]).abs().max() > 1e-3
    assert weights[1].tolist() == [[0.5, 0, 0, 0.5, 0]] * 2
    alike = attention.output(attention.value(x[1][mask[1]]).mean(dim=0))
    torch.testing.assert_close(mixed[1], alike.expand(2, -1))
    assert not mixed[2].any()
    assert not weights[2].any()


def test_a_missing_side_is_a_zero_vector(network: Mcat) -> None:
    observed = torch.tensor([[True, True], [True, False], [False, True]])
    batch = make_batch(observed, seed=2)
    x, mask = network.instances(batch)
    genes = network.genes(batch)
    gathered, _ = network.attention(genes, observed[:, 1], x, mask)
    everyone = torch.ones(3, dtype=torch.bool)
    image, rna = network.image_side(gathered, everyone), network.rna_side(genes, everyone)
    image, rna = image * torch.tensor([[1.0], [1], [0]]), rna * torch.tensor([[1.0], [0], [1]])
    expected = network.head(network.fusion(torch.cat([image, rna], dim=1)))
    torch.testing.assert_close(network(batch).logits, expected)
    assert (expected - BASELINE).abs().max() > 1e-2


def test_the_rna_changes_what_is_read_of_the_image(network: Mcat) -> None:
    batch = make_batch(torch.ones((6, 2), dtype=torch.bool), seed=3)
    x, mask = network.instances(batch)
    asks = torch.ones(6, dtype=torch.bool)
    _, before = network.attention(network.genes(batch), asks, x, mask)
    batch.sources["genes"].values.mul_(-2)
    _, after = network.attention(network.genes(batch), asks, x, mask)
    several = mask.sum(dim=1) > 1
    assert several.any()
    assert ((after - before).abs().amax(dim=(1, 2)) > 1e-3)[several].all()


def test_as_many_genomic_tokens_as_groups() -> None:
    settings = ComparisonConfig(settings={"mcat": {"groups": 5}}).method_settings("mcat")
    network = Mcat(inputs(2), model_config(), settings, BASELINE)
    assert network.genes(make_batch(torch.ones((2, 2), dtype=torch.bool))).shape == (2, 5, 16)
    with pytest.raises(InputError, match="cannot be cut into 8 groups"):
        Mcat(inputs(2), model_config(), McatSettings(groups=8), BASELINE)


def test_the_order_of_modalities_is_that_of_the_roles() -> None:
    """The names are the cohort's own."""
    spec = inputs(2)
    renamed = InputSpec(
        modalities={"slides": spec.modalities["image"], "expression": spec.modalities["rna"]},
        sources=spec.sources,
    )
    torch.manual_seed(0)
    network = Mcat(renamed, model_config(), McatSettings(groups=3), BASELINE)
    assert network.instances.sources == ("tiles", "stats")
    assert network.genes.vectors == ["genes"]
    batch = make_batch(torch.ones((2, 2), dtype=torch.bool), spec=renamed)
    assert network(batch).logits.shape == (2, 4)

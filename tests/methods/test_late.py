"""Late fusion against loops over patients and modalities."""

import pytest
import torch
from torch import Tensor, nn

from prime.catalogue.methods import METHODS
from prime.methods.networks.late import Stream
from prime.store.batch import Batch
from tests.made_up import inputs, make_batch, model_config, poison

BASELINE = torch.tensor([-2.0, -1.0])
OBSERVED = torch.tensor([[1, 1, 1], [1, 0, 0], [0, 1, 1], [0, 0, 1], [1, 1, 0], [1, 0, 1], [0, 1, 0]]).bool()


def network(name: str) -> nn.Module:
    torch.manual_seed(0)
    built = METHODS[name].build(inputs(3), model_config(), METHODS[name].settings(), BASELINE)
    with torch.no_grad():
        for parameter in built.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return built.eval()


def normed(x: Tensor, norm: nn.LayerNorm) -> Tensor:
    """Layer normalisation of one vector, written out."""
    return (x - x.mean()) / (x.var(unbiased=False) + 1e-5).sqrt() * norm.weight + norm.bias


def decide(head: nn.Module, features: Tensor) -> Tensor:
    """A hazard head on one patient, written out."""
    _, norm, linear = head.children()
    assert isinstance(norm, nn.LayerNorm)
    assert isinstance(linear, nn.Linear)
    return linear.weight @ normed(features, norm) + linear.bias


def feature(model: nn.Module, batch: Batch, patient: int, m: int) -> Tensor:
    """The feature (D,) of one modality of one patient from its own tokens alone."""
    stream = model.streams.each[m]
    assert isinstance(stream, Stream)
    x = model.streams.tokenizers(batch)[patient, m][None]  # (1, K, D)
    for block in stream.blocks:
        h = block.attention_norm(x)
        x = x + block.attention(h, h)
        x = x + block.feed_forward(block.norm(x))
    return sum((normed(x[0, k], stream.norm) for k in range(3)), torch.zeros(16)) / 3


@torch.no_grad()
def test_late_joins_the_features_of_modalities_and_zeros() -> None:
    model, batch = network("late"), make_batch(OBSERVED)
    found = model(poison(batch)).logits
    for b, row in enumerate(OBSERVED.tolist()):
        parts = [feature(model, batch, b, m) if there else torch.zeros(16) for m, there in enumerate(row)]
        torch.testing.assert_close(found[b], decide(model.head, torch.cat(parts)), rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_decisions_are_averaged_over_the_modalities_that_are_there() -> None:
    model, batch = network("late_decision"), make_batch(OBSERVED)
    found = model(poison(batch)).logits
    for b, row in enumerate(OBSERVED.tolist()):
        votes = [decide(model.heads[m], feature(model, batch, b, m)) for m, there in enumerate(row) if there]
        expected = sum(votes, torch.zeros(2)) / len(votes)
        torch.testing.assert_close(found[b], expected, rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_a_decision_alone_is_that_of_its_modality() -> None:
    """Taking modalities away leaves each other one's vote as it was: two votes average to that of both."""
    model, batch = network("late_decision"), make_batch(torch.ones((5, 3)).bool())
    image, rna, both = (
        model(batch.keep(torch.tensor(keep).bool().expand(5, -1))).logits
        for keep in ([1, 0, 0], [0, 1, 0], [1, 1, 0])
    )
    torch.testing.assert_close(both, (image + rna) / 2)
    assert not torch.allclose(image, rna, atol=1e-2)


@pytest.mark.parametrize("name", ["late", "late_decision"])
def test_no_stream_sees_another(name: str) -> None:
    model, batch = network(name), make_batch(torch.ones((5, 3)).bool())
    other = make_batch(torch.ones((5, 3)).bool(), seed=9)
    mixed = Batch(
        batch.patient_ids, batch.modalities, {**batch.sources, "words": other.sources["words"]},
        batch.cohort_codes,
    )  # fmt: skip
    before, after = model.streams(batch), model.streams(mixed)
    assert torch.equal(before[:, :2], after[:, :2])
    assert not torch.allclose(before[:, 2], after[:, 2], atol=1e-2)


def test_streams_share_no_weights() -> None:
    model = network("late_decision")
    groups = [set(map(id, s.parameters())) for s in (*model.streams.each, *model.heads)]
    assert sum(map(len, groups)) == len(set().union(*groups))
    assert len(model.streams.each) == len(model.heads) == 3

"""PathOmics: groups of instances, the loss of its pretraining, and what pretraining changes."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from prime.downstream.supervised import FoldBatches, Schedule, SupervisedTraining
from prime.methods.networks.pathomics import (
    Pathomics,
    PathomicsSettings,
    agreement_loss,
    into_groups,
    variance_loss,
)
from prime.settings.evaluation import TaskConfig
from prime.settings.model import ModelConfig
from prime.splits.folds import Fold
from prime.splits.outcomes import read_outcome
from prime.store.inputs import InputSpec, input_spec
from prime.store.loading import PatientLoader, fit_scalings
from tests.made_up import inputs, make_batch, model_config
from tests.methods.signal_cohort import SMALL, write_signal_store

BASELINE = torch.linspace(-2, -1, 4)
MIXED = torch.tensor([[True, True], [True, False], [False, True], [True, True], [True, True]])


def make(groups: int = 3, variance_weight: float = 0.0) -> Pathomics:
    torch.manual_seed(0)
    settings = PathomicsSettings(groups=groups, variance_weight=variance_weight)
    network = Pathomics(inputs(2), model_config(), settings, BASELINE)
    nn.init.normal_(network.head[2].weight)
    return network


# Groups -----------------------------------------------------------------------------------------------------


def test_groups_by_hand() -> None:
    x = torch.tensor([[10.0, 99, 11, 12, 13, 99, 14], [20.0, 21, 99, 99, 99, 99, 99]])[..., None]
    mask = torch.tensor([[1, 0, 1, 1, 1, 0, 1], [1, 1, 0, 0, 0, 0, 0]]).bool()
    dealt, there = into_groups(x, mask, 3, shuffle=False)
    assert dealt.shape == (2, 3, 3, 1)
    found = [[dealt[i, g, there[i, g], 0].tolist() for g in range(3)] for i in range(2)]
    assert found == [[[10, 13], [11, 14], [12]], [[20], [21], []]]


def contents(dealt: Tensor, there: Tensor) -> list[list[set[float]]]:
    """Patient to group to the values (one a row) in it."""
    return [
        [set(dealt[i, g, there[i, g], 0].tolist()) for g in range(dealt.shape[1])] for i in range(len(dealt))
    ]


def test_in_training_groups_are_a_new_partition_each_time() -> None:
    x = torch.arange(60.0).view(3, 20, 1)
    mask = torch.arange(20) < torch.tensor([20, 11, 3])[:, None]
    torch.manual_seed(0)
    first, second = (contents(*into_groups(x, mask, 4, shuffle=True)) for _ in range(2))
    torch.manual_seed(0)
    assert contents(*into_groups(x, mask, 4, shuffle=True)) == first
    assert first[0] != second[0]
    assert first[0] != contents(*into_groups(x, mask, 4, shuffle=False))[0]
    for i, count in enumerate((20, 11, 3)):
        sizes = [len(group) for group in first[i]]
        assert sum(sizes) == count
        assert set().union(*first[i]) == set(x[i, :count, 0].tolist())
        assert max(sizes) - min(sizes) <= 1


def test_groups_are_fixed_in_eval_and_shuffled_in_training() -> None:
    network = make()
    batch = make_batch(torch.ones((4, 2), dtype=torch.bool), length=9)
    network.eval()
    assert torch.equal(network(batch).logits, network(batch).logits)
    network.train()
    torch.manual_seed(1)
    first, second = network(batch).logits, network(batch).logits
    assert not torch.allclose(first, second, atol=1e-4)  # no dropout here: the order alone
    torch.manual_seed(1)
    assert torch.equal(network(batch).logits, first)


def test_the_prediction_is_a_loop_over_patients_and_groups() -> None:
    network = make().eval()
    batch = make_batch(MIXED, length=6)
    x, mask = network.instances(batch)
    genes = network.genes(batch)
    empty: set[int] = set()
    for i in range(len(MIXED)):
        image, rna = torch.zeros(1, 16), torch.zeros(1, 16)
        bag = x[i][mask[i]]
        groups = [bag[g::3] for g in range(3) if len(bag[g::3])]
        empty.add(3 - len(groups))
        if groups:
            tokens = [network.group_pooling(g[None], torch.ones((1, len(g))).bool()) for g in groups]
            image = network.image_encoder(torch.stack(tokens, dim=1), torch.ones((1, len(groups))).bool())
        if MIXED[i, 1]:
            rna = network.rna_encoder(genes[i : i + 1], torch.ones((1, 3)).bool())
        expected = network.head(network.fusion(torch.cat([image, rna], dim=1)))
        torch.testing.assert_close(network(batch).logits[i], expected[0], rtol=1e-4, atol=1e-5)
    assert {0, 3} < empty  # full, partly empty and wholly empty


def test_every_parameter_learns_where_groups_hold_several_instances() -> None:
    network = make(groups=3).train()
    batch = make_batch(MIXED, length=12)
    (network(batch).logits.square().sum() + network.pretraining_loss(batch)).backward()
    assert [n for n, p in network.named_parameters() if p.grad is None or not p.grad.any()] == []


# Pretraining ------------------------------------------------------------------------------------------------


def test_agreement_by_hand() -> None:
    a = torch.tensor([[1.0, 2], [3, 4], [5, 6]])
    b = torch.tensor([[1.0, 4], [9, 9], [6, 8]])
    both = torch.tensor([True, False, True])
    assert float(agreement_loss(a, b, both)) == pytest.approx((4 / 2 + 5 / 2) / 2)


def test_the_variance_term_is_numpys_and_sees_a_collapse() -> None:
    x = torch.randn(6, 5, generator=torch.Generator().manual_seed(0)) * torch.tensor([0.1, 0.5, 1, 2, 3])
    rows = torch.tensor([True, True, False, True, True, True])
    spread = np.sqrt(x[rows].double().numpy().var(axis=0, ddof=1) + 1e-4)
    assert float(variance_loss(x, rows)) == pytest.approx(np.maximum(0, 1 - spread).mean(), rel=1e-5)
    constant, everyone = torch.full((6, 5), 0.7), torch.ones(6, dtype=torch.bool)
    assert float(agreement_loss(constant, constant, everyone)) == 0.0
    assert float(variance_loss(constant, everyone)) == pytest.approx(0.99)
    for few in (0, 1):
        assert float(variance_loss(x, torch.arange(6) < few)) == 0.0


@pytest.mark.parametrize("weight", [0.0, 0.5])
def test_the_pretraining_loss_is_a_loop_over_patients_who_have_both(weight: float) -> None:
    network = make(variance_weight=weight).eval()
    batch = make_batch(MIXED, length=6)
    x, mask = network.instances(batch)
    genes = network.genes(batch)
    pairs: list[tuple[Tensor, Tensor]] = []
    for i in (0, 3, 4):
        bag = x[i][mask[i]]
        groups = [bag[g::3] for g in range(3) if len(bag[g::3])]
        tokens = [network.group_pooling(g[None], torch.ones((1, len(g))).bool()) for g in groups]
        image = network.image_encoder(torch.stack(tokens, dim=1), torch.ones((1, len(groups))).bool())
        rna = network.rna_encoder(genes[i : i + 1], torch.ones((1, 3)).bool())
        pairs.append((network.image_projection(image)[0], network.rna_projection(rna)[0]))
    expected = sum(((a - b) ** 2).mean().item() for a, b in pairs) / 3
    for side in range(2):
        values = torch.stack([pair[side] for pair in pairs]).detach().double().numpy()
        expected += weight * np.maximum(0, 1 - np.sqrt(values.var(axis=0, ddof=1) + 1e-4)).mean()
    assert network.pretraining_loss(batch).item() == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("weight", [0.0, 0.5])
@pytest.mark.parametrize("kept", [[True, False], [False, True]])
def test_where_nobody_has_both_there_is_nothing_to_learn(kept: list[bool], weight: float) -> None:
    network = make(variance_weight=weight).train()
    loss = network.pretraining_loss(make_batch(torch.tensor([kept] * 4)))
    assert loss.item() == 0.0
    loss.backward()
    grads = [p.grad for p in network.parameters() if p.grad is not None]
    assert grads
    assert not any(bool(g.any()) or not bool(g.isfinite().all()) for g in grads)


def test_pretraining_brings_the_sides_together_and_leaves_the_head_alone(tmp_path: Path) -> None:
    store = write_signal_store(tmp_path, 60)
    spec = input_spec(store)
    own = {name: spec.modalities[name] for name in ("image", "rna")}
    sources = {s: spec.sources[s] for names in own.values() for s in names}
    everyone = np.arange(60)
    fold = Fold("A", 0, everyone[:40], everyone[40:50], everyone[50:])
    loader = PatientLoader(store, fit_scalings(store, fold.train, 5.0, list(sources)), tuple(own))
    able = loader.batch(everyone).observed.any(dim=1).numpy()
    fold = Fold("A", 0, *(part[able[part]] for part in (fold.train, fold.validation, fold.test)))
    torch.manual_seed(0)
    network = Pathomics(
        InputSpec(modalities=own, sources=sources),
        ModelConfig.model_validate({**SMALL, "dropout": 0.1}),
        PathomicsSettings(),
        BASELINE,
    )
    outcome = read_outcome(store, TaskConfig(name="os", endpoint="os"))
    batches = FoldBatches(loader, np.concatenate([fold.train, fold.validation]))
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3, weight_decay=0.0)
    training = SupervisedTraining(
        network, optimizer, batches, outcome, fold, outcome.edges(fold.train, 4),
        np.ones((60, 2), dtype=bool), Schedule(1, 16, 1, "32-true"), np.random.default_rng(0),
    )  # fmt: skip
    seen = batches(fold.train)
    before = {name: p.detach().clone() for name, p in network.named_parameters()}
    first = network.eval().pretraining_loss(seen).item()
    training.pretrain(network.pretraining_loss, optimizer, 15)
    assert network.eval().pretraining_loss(seen).item() < 0.5 * first
    moved = {name for name, p in network.named_parameters() if not torch.equal(p, before[name])}
    untaught = {name for name in before if name.startswith(("head.", "fusion.", "group_pooling."))}
    assert moved >= set(before) - untaught
    assert not any(name.startswith(("head.", "fusion.")) for name in moved)

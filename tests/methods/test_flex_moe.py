"""Flex-MoE against loops over patients and tokens, and the defects of others."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from prime.errors import InputError
from prime.methods.networks.flex_moe import (
    FlexMoE,
    FlexMoESettings,
    MissingBank,
    combination,
    router_losses,
    specialisation_loss,
)
from prime.model.backbone import FusionBlock
from prime.model.moe import MixtureOfExperts, Routing
from prime.store.batch import Batch
from tests.made_up import inputs, make_batch, model_config, patterns_without_nothing
from tests.methods.naive_layers import (
    Floats,
    array,
    attention,
    every_pattern,
    feed_forward,
    gelu,
    hazard_head,
    layer_norm,
    softmax,
)

COMPLETE = [True, True, True]


def network(modalities: int = 3, seed: int = 0, **settings: float) -> FlexMoE:
    torch.manual_seed(seed)
    built = FlexMoE(
        inputs(modalities),
        model_config(dim=8),
        FlexMoESettings.model_validate(settings),
        torch.linspace(-2, -1, 4),
    ).eval()
    nn.init.normal_(built.head[2].weight)  # pyright: ignore[reportArgumentType]
    nn.init.normal_(built.bank.own)
    for module in built.modules():
        if isinstance(module, MixtureOfExperts):
            nn.init.normal_(module.bias_in)
            nn.init.normal_(module.bias_out)
    return built


def random_routing(tokens: int, experts: int = 7, seed: int = 0) -> Routing:
    generator = torch.Generator().manual_seed(seed)
    probabilities = torch.randn((tokens, experts), generator=generator).softmax(dim=-1)
    return Routing(probabilities, probabilities.topk(2, dim=-1).indices)


# The equations ----------------------------------------------------------------------------------------------


def naive_experts(experts: MixtureOfExperts, x: Floats, modality: int) -> tuple[Floats, Floats]:
    """One token through its two best experts, and the router's softmax."""
    gate = array(experts.router.weight) @ (x + array(experts.modality)[modality])
    probabilities = softmax(gate)
    best = sorted(range(len(gate)), key=lambda e: -probabilities[e])[:2]
    out = np.zeros_like(x)
    for e in best:
        hidden = gelu(array(experts.weight_in)[e] @ x + array(experts.bias_in)[e])
        share = probabilities[e] / sum(probabilities[b] for b in best)
        out += share * (array(experts.weight_out)[e] @ hidden + array(experts.bias_out)[e])
    return out, probabilities


def naive_block(block: nn.Module, tokens: list[Floats]) -> tuple[list[Floats], list[Floats]]:
    assert isinstance(block, FusionBlock)
    normed = [layer_norm(block.attention_norm, t) for t in tokens]
    x = [t + attention(block.attention, n, normed) for t, n in zip(tokens, normed, strict=True)]
    out: list[Floats] = []
    routed: list[Floats] = []
    for s, token in enumerate(x):
        h = layer_norm(block.norm, token)
        if block.experts is not None:
            added, probabilities = naive_experts(block.experts, h, s // 3)
            routed.append(probabilities)
        else:
            assert block.dense is not None
            added = feed_forward(block.dense, h)
        out.append(token + added)
    return out, routed


def naive_forward(
    built: FlexMoE, tokens: Floats, there: list[bool], number: int
) -> tuple[Floats, list[Floats]]:
    """Logits of one patient, and the router's softmax of each token; `number` of the patient's entries."""
    sequence: list[Floats] = []
    for m in range(3):
        if not there[m]:
            row = int(built.bank.rows[number, m])
            tokens[m] = array(built.bank.shared)[m] + array(built.bank.own)[row]
        sequence += list(tokens[m])
    routed: list[Floats] = []
    for block in built.blocks:
        sequence, found = naive_block(block, sequence)
        routed += found
    mean = np.mean([layer_norm(built.norm, t) for t in sequence], axis=0)
    return hazard_head(built.head, mean), routed


def test_it_is_the_equations_token_by_token() -> None:
    built, batch = network(), make_batch(every_pattern().repeat(2, 1))
    tokens, found = array(built.tokenizers(batch)), built(batch)
    special: list[float] = []
    complete: list[Floats] = []
    for i, there in enumerate(batch.observed.tolist()):
        number = 4 * there[2] + 2 * there[1] + there[0] - 1
        logits, routed = naive_forward(built, tokens[i], there, number)
        np.testing.assert_allclose(array(found.logits[i]), logits, rtol=1e-4, atol=1e-4)
        if there == COMPLETE:
            complete += routed
        else:
            special += [-math.log(p[number]) for p in routed]
    assert len(special) == 12 * 9  # one sparse block of two
    assert found.losses["specialisation"].item() == pytest.approx(0.01 * np.mean(special), rel=1e-4)
    use = np.zeros(7)
    for p in complete:
        use[np.argsort(-p)[:2]] += 1 / (2 * len(complete))
    expected = 0.01 * 7 * sum(use * np.mean(complete, axis=0))
    assert found.losses["balance"].item() == pytest.approx(expected, rel=1e-4)


def test_sparse_blocks_come_first_and_take_turns() -> None:
    torch.manual_seed(0)
    built = FlexMoE(inputs(3), model_config(blocks=3), FlexMoESettings(), torch.zeros(2))
    assert [isinstance(b, FusionBlock) and b.experts is not None for b in built.blocks] == [True, False, True]


# The bank ---------------------------------------------------------------------------------------------------


def test_combinations_are_numbered() -> None:
    observed = torch.tensor([[1, 0, 0], [0, 1, 0], [1, 1, 0], [0, 0, 1], [0, 1, 1], [1, 1, 1]]).bool()
    assert combination(observed).tolist() == [0, 1, 2, 3, 5, 6]


@pytest.mark.parametrize(("modalities", "pairs"), [(2, 2), (3, 9), (4, 28)])
def test_each_pair_of_combination_and_missing_modality_has_an_entry(modalities: int, pairs: int) -> None:
    bank = MissingBank(modalities, model_config())
    observed = every_pattern(modalities)
    assert bank.own.shape[0] == pairs == int((~observed).sum())
    with torch.no_grad():
        bank.own.copy_(torch.arange(1.0, pairs + 1)[:, None, None].expand_as(bank.own))
        bank.shared.zero_()
    tokens = torch.full((len(observed), modalities, 3, 16), -1.0)
    found = bank(tokens, observed)
    assert bool((found[observed] == -1).all())
    entries = found[~observed]  # (pairs, K, D)
    assert sorted(entries[:, 0, 0].tolist()) == [*range(1, pairs + 1)]
    assert torch.equal(entries, entries[:, :1, :1].expand_as(entries))


def test_a_combination_without_training_falls_back_to_what_others_trained() -> None:
    torch.manual_seed(0)
    bank = MissingBank(3, model_config())
    start = bank.shared[2].detach().clone()
    image, image_rna = torch.tensor([[True, False, False]]), torch.tensor([[True, True, False]])
    tokens = torch.zeros(1, 3, 3, 16)
    optimiser = torch.optim.SGD(bank.parameters(), lr=0.1)
    for _ in range(50):
        optimiser.zero_grad()
        (bank(tokens, image)[:, 2] - 5.0).square().sum().backward()
        optimiser.step()
    trained, unseen = bank(tokens, image)[0, 2], bank(tokens, image_rna)[0, 2]
    torch.testing.assert_close(trained, torch.full((3, 16), 5.0), atol=1e-3, rtol=0)
    assert torch.equal(unseen, bank.shared[2])
    assert (unseen - 5.0).abs().mean() < 0.6 * (start - 5.0).abs().mean()


def test_a_patient_trains_the_entries_of_their_combination_alone() -> None:
    built = network()
    built(make_batch(torch.tensor([[False, True, False]] * 3))).logits.sum().backward()
    assert built.bank.own.grad is not None
    touched = built.bank.own.grad.abs().sum(dim=(1, 2)) > 0
    rows = {int(built.bank.rows[1, 0]), int(built.bank.rows[1, 2])}
    assert set(touched.nonzero().squeeze(1).tolist()) == rows


# The router -------------------------------------------------------------------------------------------------


def test_specialisation_by_hand() -> None:
    probabilities = torch.tensor([[0.5, 0.25, 0.25], [0.1, 0.8, 0.1]])
    found = specialisation_loss(probabilities, torch.tensor([2, 1]))
    assert found.item() == pytest.approx((math.log(4) + math.log(1.25)) / 2)
    assert float(specialisation_loss(probabilities[:0], torch.zeros(0, dtype=torch.int64))) == 0.0


def test_complete_patients_are_balanced_and_the_others_specialised() -> None:
    observed = torch.tensor([COMPLETE, [True, False, False], [False, True, True], COMPLETE])
    routings = [random_routing(16, seed=s) for s in range(2)]  # four tokens a patient, two blocks
    balance, special = router_losses(routings, observed, 4)
    expected = {"balance": 0.0, "special": 0.0}
    for routing in routings:
        complete = [0, 1, 2, 3, 12, 13, 14, 15]
        for e in range(7):
            use = sum(e in routing.experts[s].tolist() for s in complete) / 16
            mean = sum(float(routing.probabilities[s, e]) for s in complete) / 8
            expected["balance"] += 7 * use * mean / 2
        for s, target in [(s, 0) for s in range(4, 8)] + [(s, 5) for s in range(8, 12)]:
            expected["special"] -= math.log(float(routing.probabilities[s, target])) / 8 / 2
    assert balance.item() == pytest.approx(expected["balance"], rel=1e-5)
    assert special.item() == pytest.approx(expected["special"], rel=1e-5)


def test_training_brings_every_combination_to_its_expert() -> None:
    """From the router's own term alone."""
    built, batch = network(router_weight=1.0), make_batch(every_pattern())
    optimiser = torch.optim.Adam(built.parameters(), lr=1e-2)
    for _ in range(150):
        optimiser.zero_grad()
        built(batch).losses["specialisation"].backward()
        optimiser.step()
    block = built.blocks[0]
    _, routing = block(built.bank(built.tokenizers(batch), batch.observed).flatten(1, 2), built.modality)
    first = routing.probabilities.argmax(dim=-1).view(7, 9)  # (B, M * K)
    assert bool((first[:6] == torch.arange(6)[:, None]).float().mean() > 0.9)


@pytest.mark.parametrize("term", ["balance", "specialisation"])
def test_both_terms_reach_the_router(term: str) -> None:
    built = network()
    built(make_batch(every_pattern())).losses[term].backward()
    block = built.blocks[0]
    assert isinstance(block, FusionBlock)
    assert block.experts is not None
    gradient = block.experts.router.weight.grad
    assert gradient is not None
    assert gradient.abs().sum().item() > 1e-6


@pytest.mark.parametrize("there", [COMPLETE, [True, False, True]])
def test_a_term_without_patients_is_zero(there: list[bool]) -> None:
    losses = network()(make_batch(torch.tensor([there] * 3))).losses
    empty, other = ("specialisation", "balance") if there == COMPLETE else ("balance", "specialisation")
    assert losses[empty].item() == 0.0
    assert losses[other].item() > 0.0


def test_the_weight_weighs_both_terms() -> None:
    batch = make_batch(every_pattern())
    light, heavy = network()(batch).losses, network(router_weight=0.5)(batch).losses
    for name in ("balance", "specialisation"):
        assert heavy[name].item() == pytest.approx(50 * light[name].item(), rel=1e-5)


# Defects of others ------------------------------------------------------------------------------------------


def gradients(built: FlexMoE, batch: Batch) -> list[Tensor]:
    built.train().zero_grad()
    sum(built(batch).losses.values(), torch.zeros(())).backward()  # pyright: ignore[reportUnknownMemberType]
    return [p.grad.clone() for p in built.parameters() if p.grad is not None]


def test_no_term_of_another_batch_leaks_into_a_step() -> None:
    """A defect of others: terms gathered on the gate in evaluation were added to the next training step."""
    built, batch = network(), make_batch(every_pattern())
    before = built(batch).losses
    expected = gradients(built, batch)
    with torch.no_grad():
        built.eval()(make_batch(patterns_without_nothing(9, 3, 2), seed=5))
    built.train()(make_batch(patterns_without_nothing(9, 3, 3), seed=6))
    after = built(batch).losses
    assert {k: v.item() for k, v in after.items()} == {k: v.item() for k, v in before.items()}
    for a, b in zip(gradients(built, batch), expected, strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize("number", [0, 1])
def test_the_residual_is_kept(number: int) -> None:
    """A defect of others: attention was added to itself, so that the tokens themselves were lost."""
    block = network().blocks[number]
    assert isinstance(block, FusionBlock)
    layer = block.dense[3] if block.dense is not None else None
    silent = [block.attention.output.weight, block.attention.output.bias]
    silent += [layer.weight, layer.bias] if isinstance(layer, nn.Linear) else []
    if block.experts is not None:
        silent += [block.experts.weight_out, block.experts.bias_out]
    for parameter in silent:
        nn.init.zeros_(parameter)
    x = torch.randn(4, 9, 8)
    found, _ = block(x, network().modality)
    assert torch.equal(found, x)
    nn.init.ones_(block.attention.output.bias)  # attention adds 1 to every number, once
    torch.testing.assert_close(block(x, network().modality)[0], x + 1)


# Users' mistakes --------------------------------------------------------------------------------------------


def test_one_modality_is_refused() -> None:
    with pytest.raises(InputError, match="two or more"):
        network(1)


def test_more_experts_a_token_than_there_are_is_refused() -> None:
    with pytest.raises(InputError, match="top_k 4 exceeds the 3 experts"):
        network(2, top_k=4)
    assert network(2, top_k=3)(make_batch(every_pattern(2))).logits.isfinite().all()

"""The multimodal adaptation gate against loops over patients and tokens, and the defects of others."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from prime.catalogue.methods import METHODS
from prime.errors import InputError
from prime.methods.networks.mag import MAG, AdaptationGate, GatedProjection, MAGSettings, shift_weight
from prime.model.heads import HazardHead
from prime.store.inputs import InputSpec
from tests.made_up import inputs, make_batch, model_config, patterns_without_nothing, select
from tests.methods.naive_layers import Floats, array, every_pattern, hazard_head, layer_norm, linear, sigmoid

SCALAR = MAGSettings(gates="scalar", beta=0.5)
VECTOR = MAGSettings(gates="vector", beta=1.0)


def network(settings: MAGSettings, modalities: int = 3, spec: InputSpec | None = None, seed: int = 0) -> MAG:
    torch.manual_seed(seed)
    built = MAG(spec or inputs(modalities), model_config(), settings, torch.linspace(-2, -1, 4)).eval()
    nn.init.normal_(built.head[2].weight)  # pyright: ignore[reportArgumentType]
    for part in built.gate.gates:
        assert isinstance(part, GatedProjection)
        nn.init.normal_(part.project.bias)  # they start at zero
        nn.init.normal_(part.gate.bias)
    return built


def naive_token(
    gate: AdaptationGate, settings: MAGSettings, x: Floats, others: list[Floats | None]
) -> Floats:
    """One token of the anchor, shifted by the others; None where one is missing."""
    h = np.zeros_like(x)
    for part, v in zip(gate.gates, others, strict=True):
        assert isinstance(part, GatedProjection)
        if v is None:
            continue
        both = linear(part.gate, np.concatenate([v, x]))
        if settings.gates == "scalar":
            h += linear(part.project, sigmoid(both)[0] * v)
        else:
            h += np.maximum(both, 0) * linear(part.project, v)
    beta = settings.beta if gate.raw_beta is None else math.log1p(math.exp(gate.raw_beta.item()))
    long, by = math.sqrt(sum(x**2)), math.sqrt(sum(h**2))
    alpha = min(beta * long / (by + 1e-6), 1.0) if long > 0 else 1.0
    return layer_norm(gate.norm, x + alpha * h)


@pytest.mark.parametrize("settings", [SCALAR, VECTOR])
@pytest.mark.parametrize("anchor", [None, "report"])
def test_it_is_the_equations_token_by_token(settings: MAGSettings, anchor: str | None) -> None:
    """Without blocks, so that gate, mean and head stand alone."""
    built = network(settings.model_copy(update={"anchor": anchor}))
    built.blocks = nn.ModuleList()
    if built.gate.raw_beta is not None:
        nn.init.constant_(built.gate.raw_beta, -1.0)
    batch = make_batch(every_pattern())
    tokens, first = array(built.tokenizers(batch)), 0 if anchor is None else 2
    rest = [m for m in range(3) if m != first]
    found = built(batch).logits
    assert isinstance(built.head, HazardHead)
    for i, there in enumerate(batch.observed.tolist()):
        shifted = [
            naive_token(
                built.gate,
                settings,
                tokens[i, first, k],
                [tokens[i, m, k] if there[m] else None for m in rest],
            )
            for k in range(tokens.shape[2])
        ]
        mean = np.mean([layer_norm(built.norm, t) for t in shifted], axis=0)
        np.testing.assert_allclose(array(found[i]), hazard_head(built.head, mean), rtol=1e-4, atol=1e-5)


def test_the_shifts_weight_by_hand() -> None:
    anchor = torch.tensor([[[3.0, 4.0]] * 3])  # length 5
    shift = torch.tensor([[[0.0, 10.0], [0.0, 1.0], [-20.0, 0.0]]])
    torch.testing.assert_close(shift_weight(anchor, shift, 1.0), torch.tensor([[[0.5], [1.0], [0.25]]]))
    torch.testing.assert_close(shift_weight(anchor, shift, 0.1), torch.tensor([[[0.05], [0.5], [0.025]]]))


def test_lengths_are_of_each_token_and_not_of_the_batch() -> None:
    """A defect of others: the length of the whole batch, so that everyone's gate depended on everyone."""
    generator = torch.Generator().manual_seed(0)
    anchor, shift = torch.randn((2, 4, 3, 8), generator=generator)
    alone = shift_weight(anchor, 2 * shift, 1.0)
    assert ((alone > 0) & (alone < 1)).sum() >= 6
    anchor[2] *= 1000  # another patient
    shift[1, 1] *= 1000  # another token of the same patient
    together = shift_weight(anchor, 2 * shift, 1.0)
    unchanged = torch.ones(4, 3, dtype=torch.bool)
    unchanged[2] = unchanged[1, 1] = False
    assert torch.equal(together[unchanged], alone[unchanged])
    assert not torch.equal(together, alone)


def test_a_patients_output_does_not_depend_on_the_batch_in_training_mode() -> None:
    built = network(SCALAR).train()  # dropout is 0 here
    batch = make_batch(patterns_without_nothing(6, 3, 1))
    together = built(batch).logits
    for i in range(6):
        torch.testing.assert_close(built(select(batch, torch.tensor([i]))).logits[0], together[i])


def test_gradients_are_finite_where_lengths_are_zero() -> None:
    anchor = torch.tensor([[[0.0, 0.0], [3.0, 4.0], [0.0, 0.0]]], requires_grad=True)
    shift = torch.tensor([[[1.0, 2.0], [0.0, 0.0], [0.0, 0.0]]], requires_grad=True)
    weight = shift_weight(anchor, shift, 0.5)
    (anchor + weight * shift).square().sum().backward()  # pyright: ignore[reportUnknownMemberType]
    for gradient in (anchor.grad, shift.grad):
        assert gradient is not None
        assert bool(gradient.isfinite().all())


def test_beta_is_learned_and_stays_above_zero() -> None:
    """A defect of others: a free number could turn the shift around."""
    built = network(SCALAR)
    raw = built.gate.raw_beta
    assert raw is not None
    assert torch.nn.functional.softplus(raw).item() == pytest.approx(0.5)
    anchor, other = torch.randn(2, 1, 5, 3, 16).unbind()
    there = torch.ones(5, 2, dtype=torch.bool)
    others = torch.stack([other[0], other[0].flip(0)], dim=1)  # (5, 2, 3, 16)
    nn.init.constant_(raw, -60.0)
    unshifted = built.gate(anchor[0], others, there[:, 0], there)
    torch.testing.assert_close(unshifted, built.gate.norm(anchor[0]))
    nn.init.constant_(raw, -2.0)
    built.gate(anchor[0], others, there[:, 0], there)[..., 0].sum().backward()
    assert raw.grad is not None
    assert raw.grad.abs().item() > 0
    assert network(VECTOR).gate.raw_beta is None


@pytest.mark.parametrize("settings", [SCALAR, VECTOR])
def test_with_the_anchor_missing_the_others_get_through(settings: MAGSettings) -> None:
    built = network(settings)
    batch = make_batch(torch.tensor([[False, True, True]] * 4))
    assert built(batch).logits.std(dim=0).min() > 1e-4


def test_any_modality_can_be_the_anchor() -> None:
    """Naming an anchor is the same as putting it first."""
    spec = inputs(3)
    order = ("rna", "image", "report")
    first = InputSpec(modalities={m: spec.modalities[m] for m in order}, sources=spec.sources)
    named = network(SCALAR.model_copy(update={"anchor": "rna"}), seed=1)
    moved = network(SCALAR, spec=first, seed=2)
    moved.load_state_dict(named.state_dict())
    batch = make_batch(every_pattern())
    torch.testing.assert_close(moved(batch.select(order)).logits, named(batch).logits)
    assert not torch.allclose(network(SCALAR, seed=1)(batch).logits, named(batch).logits)
    with pytest.raises(InputError, match=r"'blood'.*image, rna, report"):
        network(SCALAR.model_copy(update={"anchor": "blood"}))


@pytest.mark.parametrize("settings", [SCALAR, VECTOR])
@pytest.mark.parametrize("modalities", [1, 2, 4])
def test_any_number_of_modalities(settings: MAGSettings, modalities: int) -> None:
    built = network(settings, modalities)
    assert len(built.gate.gates) == modalities - 1
    assert built(make_batch(every_pattern(modalities))).logits.isfinite().all()


def test_both_variants_are_registered() -> None:
    assert METHODS["mag"].settings() == SCALAR
    assert METHODS["mag_rahman"].settings() == VECTOR
    assert METHODS["mag_rahman"].beyond_paper
    names = list(METHODS)
    assert names.index("mag_rahman") == names.index("mag") + 1

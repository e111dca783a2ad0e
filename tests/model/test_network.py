"""PRIME as a whole: invariance to what is not there, independence of batch-mates, settings, modalities."""

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from torch import Tensor

from prime.model.backbone import Backbone
from prime.model.prime import Encoding, Prime
from prime.pretraining.network import OpaqueBatch
from prime.settings.model import ModelConfig
from prime.store.batch import Batch
from prime.store.inputs import InputSpec
from tests.made_up import (
    MODALITIES,
    inputs,
    lengthen,
    losses_of,
    make_batch,
    model_config,
    patterns_without_nothing,
    poison,
    pretraining_model,
    select,
)

SPOIL = st.sampled_from([float("nan"), float("inf"), -1e30])


def network(modalities: int = 3, seed: int = 0, **changes: Any) -> Prime:
    torch.manual_seed(seed)
    return Prime(inputs(modalities), model_config(**changes)).eval()


def encode(model: Prime, batch: Batch) -> Encoding:
    with torch.no_grad():
        return model(batch)


def parts(encoding: Encoding) -> dict[str, Tensor]:
    return {n: getattr(encoding, n) for n in ("observed", "tokens", "refined", "fused", "consensus")}


@settings(max_examples=25)
@given(st.integers(1, 6), st.integers(1, 4), st.integers(0, 10_000), SPOIL)
def test_what_stands_in_masked_places_leaves_outputs_bit_identical(
    patients: int, modalities: int, seed: int, value: float
) -> None:
    model = network(modalities)
    batch = make_batch(patterns_without_nothing(patients, modalities, seed), seed)
    clean, spoilt = encode(model, batch), encode(model, poison(batch, value))
    for name, tensor in parts(clean).items():
        assert torch.equal(tensor, parts(spoilt)[name]), name
        assert bool(tensor.isfinite().all()), name


@settings(max_examples=20)
@given(st.integers(2, 6), st.integers(1, 4), st.integers(0, 10_000), SPOIL)
def test_what_stands_in_masked_places_leaves_losses_and_gradients_bit_identical(
    patients: int, modalities: int, seed: int, value: float
) -> None:
    balance = {"balance": {"weight": 0.01, "imputed": bool(seed % 2)}, "prediction": {"weight": 0.5}}
    model = pretraining_model(modalities, losses=balance)
    batch = make_batch(patterns_without_nothing(patients, modalities, seed), seed)
    results: list[tuple[dict[str, Tensor], list[Tensor | None]]] = []
    for given_batch in (batch, poison(batch, value)):
        model.zero_grad()
        torch.manual_seed(seed)
        losses = losses_of(model, given_batch)
        losses["total"].backward()
        results.append((losses, [p.grad for p in model.parameters()]))
    (clean, clean_gradients), (spoilt, spoilt_gradients) = results
    assert set(clean) == {"alignment", "consistency", "balance", "prediction", "total"}
    for name in clean:
        assert torch.equal(clean[name], spoilt[name]), name
    for a, b in zip(clean_gradients, spoilt_gradients, strict=True):
        assert a is None or torch.equal(a, b) if b is not None else a is None
        assert a is None or bool(a.isfinite().all())


@settings(max_examples=15)
@given(st.integers(1, 5), st.integers(1, 5), st.integers(0, 10_000))
def test_longer_padding_changes_nothing(patients: int, extra: int, seed: int) -> None:
    model = network()
    batch = make_batch(patterns_without_nothing(patients, 3, seed), seed)
    longer = encode(model, lengthen(batch, extra, float("nan")))
    assert torch.allclose(encode(model, batch).fused, longer.fused, atol=1e-5)


@settings(max_examples=15)
@given(st.integers(2, 7), st.integers(0, 10_000))
def test_batch_mates_do_not_change_a_patient(patients: int, seed: int) -> None:
    model = network()
    batch = make_batch(patterns_without_nothing(patients, 3, seed), seed)
    together = encode(model, batch).fused
    order = torch.randperm(patients, generator=torch.Generator().manual_seed(seed))
    assert torch.allclose(encode(model, select(batch, order)).fused, together[order], atol=1e-5)
    for i in range(patients):
        alone = encode(model, select(batch, torch.tensor([i]))).fused
        assert torch.allclose(alone[0], together[i], atol=1e-5)


def test_the_same_batch_gives_the_same_bits() -> None:
    model, batch = network(), make_batch(patterns_without_nothing(6, 3, 0))
    assert torch.equal(encode(model, batch).fused, encode(model, batch).fused)
    assert torch.equal(encode(network(), batch).fused, encode(network(), batch).fused)
    assert not torch.equal(encode(network(seed=1), batch).fused, encode(network(), batch).fused)


def test_dropout_acts_in_training_only() -> None:
    model, batch = network(dropout=0.5), make_batch(patterns_without_nothing(4, 3, 0))
    assert torch.equal(encode(model, batch).fused, encode(model, batch).fused)
    model.train()
    assert not torch.equal(encode(model, batch).fused, encode(model, batch).fused)


def renamed(spec: InputSpec, batch: Batch, names: dict[str, str]) -> tuple[InputSpec, Batch]:
    """The same inputs under other modality and source names, in the same order."""
    modalities = {names[m]: tuple(names[s] for s in sources) for m, sources in spec.modalities.items()}
    sources = {names[s]: batch.sources[s] for s in batch.sources}
    new = InputSpec(modalities=modalities, sources={names[s]: spec.sources[s] for s in spec.sources})
    return new, Batch(batch.patient_ids, modalities, sources, batch.cohort_codes)


# The second list holds names of methods and attributes of torch's containers.
@pytest.mark.parametrize(
    "new_names",
    [
        ["ct", "dna", "notes", "scans", "summary", "panel", "letters"],
        ["values", "keys", "forward", "type", "items", "half", "train"],
    ],
)
def test_modality_and_source_names_do_not_matter(new_names: list[str]) -> None:
    spec, batch = inputs(), make_batch(patterns_without_nothing(5, 3, 0))
    old = [*spec.modalities, *spec.sources]
    names = dict(zip(old, new_names, strict=True))
    new_spec, new_batch = renamed(spec, batch, names)
    torch.manual_seed(0)
    model = Prime(new_spec, model_config()).eval()
    assert torch.equal(encode(model, new_batch).fused, encode(network(), batch).fused)


@pytest.mark.parametrize("modalities", [1, 2, 4])
def test_any_number_of_modalities_works(modalities: int) -> None:
    batch = make_batch(patterns_without_nothing(5, modalities, 0))
    assert encode(network(modalities), batch).fused.shape == (5, modalities, 3, 16)
    model = pretraining_model(modalities)
    losses = losses_of(model, batch)
    losses["total"].backward()
    assert losses["total"].isfinite()
    assert (losses["alignment"].item() == 0.0) == (modalities == 1)


@pytest.mark.parametrize(
    "change",
    [
        {"similarity": "dot"},
        {"temperature": 0.5},
        {"imputation": "zero"},
        {"refine_observed": False},
        {"modality_embedding": False},
        {"position_embedding": True},
        {"gate": "concat"},
        {"top_k": 1},
        {"blocks": 3},
        {"experts": 5},
        {"prototypes": 6},
    ],
    ids=str,
)
def test_every_setting_changes_the_output(change: dict[str, Any]) -> None:
    batch = make_batch(patterns_without_nothing(6, 3, 0))
    plain, changed = network(), network(**change)
    state = plain.state_dict()  # the same weights wherever both have them
    shapes = {name: tensor.shape for name, tensor in changed.state_dict().items()}
    changed.load_state_dict({n: t for n, t in state.items() if shapes.get(n) == t.shape}, strict=False)
    if change == {"gate": "concat"}:
        with torch.no_grad():  # the same first half; the second half reads the modality
            for block, other in zip(plain.backbone.blocks, changed.backbone.blocks, strict=True):
                if block.experts is not None:  # type: ignore[union-attr]
                    other.experts.router.weight[:, :16] = block.experts.router.weight  # type: ignore[union-attr,index]
    assert not torch.allclose(encode(plain, batch).fused, encode(changed, batch).fused, atol=1e-4)


def test_detached_assignments_change_gradients_and_not_outputs() -> None:
    batch = make_batch(patterns_without_nothing(6, 3, 0))
    plain, detached = network(), network(detach_assignment=True)
    assert torch.equal(encode(plain, batch).fused, encode(detached, batch).fused)
    for model in (plain, detached):
        model(batch).fused.square().sum().backward()
    first, second = plain.bank.prototypes.grad, detached.bank.prototypes.grad
    assert first is not None
    assert second is not None
    assert not torch.allclose(first, second)


def test_unrefined_own_tokens_enter_the_backbone_as_they_are() -> None:
    batch = make_batch(patterns_without_nothing(6, 3, 0))
    encoding = encode(network(refine_observed=False), batch)
    observed = encoding.observed
    assert torch.equal(encoding.refined[observed], encoding.tokens[observed])
    assert not torch.equal(encoding.refined[~observed], encoding.tokens[~observed])


def test_blocks_alternate_one_by_one() -> None:
    """Not the sibling's integer division, which made the first two of eight sparse and the rest not."""
    backbone = Backbone(3, model_config(blocks=8))
    assert [block.experts is not None for block in backbone.blocks] == [False, True] * 4
    assert [block.dense is None for block in backbone.blocks] == [False, True] * 4
    tokens = torch.randn((2, 3, 3, 16), generator=torch.Generator().manual_seed(0))
    assert len(backbone(tokens)[1]) == 4


def test_modalities_exchange_information_in_the_backbone() -> None:
    model, batch = network(), make_batch(torch.ones((3, 3), dtype=torch.bool))
    before = encode(model, batch).fused
    batch.sources["genes"].values[0] += 1
    after = encode(model, batch).fused
    assert not torch.allclose(before[0, 0], after[0, 0], atol=1e-4)
    assert torch.allclose(before[1:], after[1:], atol=1e-6)


@pytest.mark.parametrize("absent", [0, 1, 2])
@pytest.mark.parametrize("prediction", [1.0, 0.0])
def test_a_modality_absent_from_the_whole_batch_keeps_all_parameters_in_the_graph(
    absent: int, prediction: float
) -> None:
    observed = torch.ones((6, 3), dtype=torch.bool)
    observed[:, absent] = False
    model = pretraining_model(weights={"prediction": prediction})
    losses_of(model, make_batch(observed))["total"].backward()
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            assert parameter.grad is not None, name
            assert bool(parameter.grad.isfinite().all()), name


def test_with_everything_observed_every_parameter_but_those_of_idle_experts_learns() -> None:
    model = pretraining_model(drop_modality=0.5)
    torch.manual_seed(0)
    batch = make_batch(torch.ones((32, 3), dtype=torch.bool))
    losses_of(model, batch)["total"].backward()
    idle = [n for n, p in model.named_parameters() if p.requires_grad and not bool(p.grad.abs().max() > 0)]  # type: ignore[union-attr]
    assert idle == []


@pytest.mark.parametrize("assigned", ["own", "consensus"])
def test_views_fill_what_is_dropped_by_the_chosen_assignment(assigned: str) -> None:
    """Without noise the filling can be told exactly."""
    model = pretraining_model(
        dropped_assignment=assigned, dirichlet_noise=False, top_k=8, drop_token=0.5
    ).eval()
    observed = patterns_without_nothing(6, 3, 4)
    with torch.no_grad():
        own = model.prime.tokenize(make_batch(observed))
        assignments = model.prime.bank.assign(own)
        agreed = (assignments * observed[..., None]).sum(1) / observed.sum(1, keepdim=True)
        tokens, kept = model.view(own, observed, assignments, agreed)
    assert torch.equal(tokens[kept], own[kept])
    for b, m, k in (~kept).nonzero().tolist():
        base = assignments[b, m] if assigned == "own" and observed[b, m] else agreed[b]
        expected = torch.einsum("n,nd->d", base, model.prime.bank.prototypes[:, k].detach())
        assert torch.allclose(tokens[b, m, k], expected, atol=1e-5)


def test_noise_on_missing_modalities_can_be_switched_off() -> None:
    observed = torch.tensor([[True, False, False]]).expand(4, 3)
    for noisy in (True, False):
        model = pretraining_model(dirichlet_missing=noisy, drop_token=0.0).eval()
        with torch.no_grad():
            own = model.prime.tokenize(make_batch(observed))
            assignments = model.prime.bank.assign(own)
            agreed = assignments[:, 0]
            first, second = (model.view(own, observed, assignments, agreed)[0] for _ in range(2))
        assert torch.equal(first[:, 1:], second[:, 1:]) == (not noisy)


def test_the_two_views_differ() -> None:
    model = pretraining_model()
    torch.manual_seed(0)
    with torch.no_grad():
        rows = model(OpaqueBatch(make_batch(torch.ones((5, 3), dtype=torch.bool)))).rows
    views, kept = rows["consistency"]["views"], rows["balance"]["kept"]
    assert not torch.equal(views[:, 0], views[:, 1])
    assert not torch.equal(kept[:, 0], kept[:, 1])


@pytest.mark.parametrize(("start", "end", "slope"), [(0.49, 0.5, -1.0), (0.0101, 0.01, 1.0)])
def test_a_learned_temperature_comes_back_from_the_ends_of_its_range(
    start: float, end: float, slope: float
) -> None:
    """A clamp in the forward pass would leave it without gradient beyond its range, for ever."""
    model = pretraining_model()
    model.log_temperature.requires_grad_(True)
    optimizer = torch.optim.SGD([model.log_temperature], lr=1.0)
    with torch.no_grad():
        model.log_temperature.fill_(start).log_()

    def step(sign: float) -> float:
        optimizer.zero_grad()
        (sign * model.temperature().log()).backward()
        optimizer.step()
        model.hold_temperature()
        return model.temperature().item()

    assert step(slope) == pytest.approx(end)
    back = step(-slope)
    assert 0.01 < back < 0.5 or back == pytest.approx(0.51 - end)


def test_a_fixed_temperature_may_be_anything() -> None:
    model = pretraining_model()
    with torch.no_grad():
        model.log_temperature.fill_(2.0)
    model.hold_temperature()
    assert model.log_temperature.item() == 2.0


def test_finite_losses_under_bfloat16_autocast() -> None:
    model = pretraining_model(weights={"prediction": 1.0})
    batch = make_batch(patterns_without_nothing(8, 3, 0))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rows = model(OpaqueBatch(batch)).rows
    losses = model.weigh(rows)
    losses["total"].backward()
    assert all(loss.isfinite() and loss.dtype == torch.float32 for loss in losses.values())
    assert all(p.grad.isfinite().all() for p in model.parameters() if p.grad is not None)


@pytest.mark.parametrize("change", [{"dim": 18, "heads": 4}, {"top_k": 9}, {"unknown": 1}])
def test_inconsistent_settings_are_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        ModelConfig.model_validate(change)


def test_the_code_knows_no_modality_by_name() -> None:
    """The made-up names above are the paper's own; a network of one other name must build too."""
    name, sources = "blood", MODALITIES["blood"]
    spec = InputSpec(modalities={name: sources}, sources={s: inputs(4).sources[s] for s in sources})
    model = Prime(spec, model_config()).eval()
    assert encode(model, make_batch(torch.ones((2, 1), dtype=torch.bool), spec=spec)).fused.shape[1] == 1

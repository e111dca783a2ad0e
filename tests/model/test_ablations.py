"""The network without a part of it: other imputations, no refiner, no mixture of experts."""

from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from safetensors.torch import load_file, save_file
from torch import Tensor

from prime.model.attention import FeedForward
from prime.model.constants import MeanTokens
from prime.model.prime import Encoding, Prime
from prime.pretraining.devices import Devices
from prime.pretraining.loop import Pretraining
from prime.pretraining.network import OpaqueBatch, PretrainingModel
from prime.settings.model import ModelConfig
from prime.store.store import Store
from tests.made_up import (
    experiment,
    inputs,
    losses_of,
    make_batch,
    model_config,
    patterns_without_nothing,
    poison,
    pretraining_model,
    select,
)

ABLATIONS: list[dict[str, Any]] = [
    {"imputation": "zero"},
    {"imputation": "mean"},
    {"imputation": "mask"},
    {"refiner": False},
    {"mixture": False},
    {"imputation": "mean", "refiner": False, "mixture": False},
    {"imputation": "zero", "refiner": False, "refine_observed": False},
]
ablation = pytest.mark.parametrize("change", ABLATIONS, ids=str)


def pretrained(change: dict[str, Any], **augmentation: Any) -> PretrainingModel:
    """A model after one forward pass in training, which gives the running mean a value."""
    model = pretraining_model(model=change, **augmentation)
    with torch.no_grad():
        model(OpaqueBatch(make_batch(patterns_without_nothing(9, 3, 5), seed=5)))
    return model


def encode(model: Prime, observed: Tensor) -> Encoding:
    with torch.no_grad():
        return model.eval()(make_batch(observed))


def parts(encoding: Encoding) -> dict[str, Tensor]:
    return {n: getattr(encoding, n) for n in ("observed", "tokens", "refined", "fused", "consensus")}


@ablation
def test_shapes(change: dict[str, Any]) -> None:
    model = pretrained(change)
    encoding = encode(model.prime, patterns_without_nothing(6, 3, 0))
    for name in ("tokens", "refined", "fused"):
        assert parts(encoding)[name].shape == (6, 3, 3, 16), name
    entries = 1 if "imputation" in change else 8
    assert encoding.consensus.shape == (6, entries)
    assert torch.allclose(encoding.consensus.sum(dim=1), torch.ones(6))
    assert len(encoding.routings) == (1 if model.prime.config.mixture else 0)


@ablation
def test_every_parameter_learns(change: dict[str, Any]) -> None:
    model = pretrained(change, drop_modality=0.5)
    torch.manual_seed(0)
    losses_of(model, make_batch(torch.ones((32, 3), dtype=torch.bool)))["total"].backward()
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            assert parameter.grad is not None, name
            assert float(parameter.grad.abs().max()) > 0, name


@ablation
@pytest.mark.parametrize("absent", [0, 1, 2])
def test_an_absent_modality_keeps_all_parameters_in_the_graph(change: dict[str, Any], absent: int) -> None:
    model = pretrained(change)
    observed = torch.ones((6, 3), dtype=torch.bool)
    observed[:, absent] = False
    losses_of(model, make_batch(observed))["total"].backward()
    gradients = {n: p.grad for n, p in model.named_parameters() if p.requires_grad}
    assert [n for n, g in gradients.items() if g is None or not bool(g.isfinite().all())] == []


@ablation
@pytest.mark.parametrize("value", [float("nan"), float("inf"), -1e30])
def test_what_stands_in_masked_places_changes_no_bit(change: dict[str, Any], value: float) -> None:
    model, batch = pretrained(change), make_batch(patterns_without_nothing(7, 3, 3))
    results: list[tuple[dict[str, Tensor], list[Tensor], dict[str, Tensor]]] = []
    start = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    for given in (batch, poison(batch, value)):
        model.load_state_dict(start)
        model.train().zero_grad()
        torch.manual_seed(0)
        losses = losses_of(model, given)
        losses["total"].backward()
        gradients = [p.grad.clone() for p in model.parameters() if p.grad is not None]
        buffers = {name: tensor.clone() for name, tensor in model.named_buffers()}
        with torch.no_grad():
            encoding = model.eval().prime(given)
        results.append((losses | parts(encoding), gradients, buffers))
    (clean, clean_gradients, clean_buffers), (spoilt, spoilt_gradients, spoilt_buffers) = results
    assert [n for n in clean if not torch.equal(clean[n], spoilt[n])] == []
    assert [n for n in clean_buffers if not torch.equal(clean_buffers[n], spoilt_buffers[n])] == []
    assert all(torch.equal(a, b) for a, b in zip(clean_gradients, spoilt_gradients, strict=True))
    assert all(bool(tensor.isfinite().all()) for tensor in spoilt.values())


@ablation
def test_batch_mates_do_not_change_a_patient(change: dict[str, Any]) -> None:
    model = pretrained(change).eval().prime
    batch = make_batch(patterns_without_nothing(6, 3, 2))
    with torch.no_grad():
        together = model(batch).fused
        for i in range(6):
            alone = model(select(batch, torch.tensor([i]))).fused
            assert torch.allclose(alone[0], together[i], atol=1e-5)
        again = model(batch).fused
    assert torch.equal(together, again)


@ablation
def test_weights_come_back_from_disk(change: dict[str, Any], tmp_path: Path) -> None:
    model, observed = pretrained(change).prime, patterns_without_nothing(6, 3, 1)
    save_file(model.state_dict(), tmp_path / "model.safetensors")
    torch.manual_seed(99)
    other = Prime(inputs(), model_config(**change))
    assert not torch.equal(encode(other, observed).fused, encode(model, observed).fused)
    other.load_state_dict(load_file(tmp_path / "model.safetensors"))
    for name, tensor in parts(encode(model, observed)).items():
        assert torch.equal(tensor, parts(encode(other, observed))[name]), name


@ablation
def test_a_run_of_pretraining_works_with_its_diagnostics(
    made_up_store: Store, tmp_path: Path, change: dict[str, Any]
) -> None:
    training = Pretraining(made_up_store, experiment(change), tmp_path, frozenset(), Devices())
    training.train_epoch(0, 2, 0, lambda *_: None)
    row = training.validate()
    assert torch.tensor(row["validation/total"]).isfinite()
    if not change.get("mixture", True):
        assert (row["validation/balance"], row["expert_use"], row["experts_dead"]) == (0.0, [], 0)
    if "imputation" in change:
        assert (row["prototype_perplexity"], row["prototypes_dead"]) == (pytest.approx(1.0), 0)


@pytest.mark.parametrize("imputation", ["zero", "mean", "mask"])
def test_a_patient_without_anything_is_refused(imputation: str) -> None:
    observed = torch.tensor([[True, True, True], [False, False, False]])
    with pytest.raises(ValueError, match="no consensus"):
        encode(Prime(inputs(), model_config(imputation=imputation)), observed)


@pytest.mark.parametrize("imputation", ["zero", "mean", "mask"])
def test_without_prototypes_all_missing_and_dropped_tokens_are_the_constant(imputation: str) -> None:
    """The same places that prototypes would fill, and no other."""
    model = pretrained({"imputation": imputation}, drop_token=0.5).eval()
    observed = patterns_without_nothing(8, 3, 4)
    constant = model.prime.bank.tokens
    assert isinstance(constant, Tensor)
    assert bool((constant == 0).all()) == (imputation == "zero")
    constant = constant.detach().expand(8, 3, 3, 16)
    with torch.no_grad():
        own = model.prime.tokenize(make_batch(observed))
        assignments = model.prime.bank.assign(own)
        tokens, kept = model.view(own, observed, assignments, assignments[:, 0])
    assert bool((observed[..., None] & ~kept).any())
    assert torch.equal(tokens[kept], own[kept])
    assert torch.equal(tokens[~kept], constant[~kept])
    encoded = encode(model.prime, observed).tokens
    assert torch.equal(encoded[observed], own[observed])
    assert torch.equal(encoded[~observed], constant[~observed])


def test_parameters_that_a_setting_leaves_unused_do_not_exist() -> None:
    def names(**change: Any) -> set[str]:
        return set(Prime(inputs(), model_config(**change)).state_dict())

    full = names()
    assert {n for n in full if n.startswith("bank.")} == {"bank.prototypes"}
    rest = full - {"bank.prototypes"}
    assert names(imputation="zero") == rest
    assert names(imputation="mask") == rest | {"bank.tokens"}
    assert names(imputation="mean") == rest | {"bank.tokens", "bank.weight"}
    assert names(refiner=False) == {n for n in full if not n.startswith("refiners.")} != full
    assert not any("experts" in n for n in names(mixture=False))
    learned = dict(Prime(inputs(), model_config(imputation="mean")).named_parameters())
    assert not any(n.startswith("bank.") for n in learned)
    mask = dict(Prime(inputs(), model_config(imputation="mask")).named_parameters())["bank.tokens"]
    assert 0.0 < float(mask.detach().std()) < 0.1


def test_without_refiner_tokens_enter_the_backbone_as_they_are() -> None:
    encoding = encode(Prime(inputs(), model_config(refiner=False)), patterns_without_nothing(6, 3, 0))
    assert torch.equal(encoding.refined, encoding.tokens)


def test_without_mixture_all_blocks_are_vanilla_of_the_same_width() -> None:
    model = pretraining_model(model={"mixture": False, "blocks": 4}, weights={"balance": 7.0})
    for block in model.prime.backbone.blocks:
        assert isinstance(block.dense, FeedForward)
        assert [tuple(p.shape) for p in block.dense.parameters()] == [(32, 16), (32,), (16, 32), (16,)]
        assert block.experts is None
    losses = losses_of(model, make_batch(patterns_without_nothing(5, 3, 0)))
    assert losses["balance"].item() == 0.0
    expected = 0.5 * (losses["alignment"] + losses["consistency"])
    assert torch.allclose(losses["total"], expected)


@pytest.mark.parametrize("observed", [True, False])
def test_ablations_change_the_output(observed: bool) -> None:
    """Other imputations change nothing for complete patients; the other two parts always matter."""
    rows = torch.ones((6, 3), dtype=torch.bool) if observed else patterns_without_nothing(6, 3, 0)
    full = Prime(inputs(), model_config())
    for change in ABLATIONS[:5]:
        model = pretrained(change).prime
        shared = {n: t for n, t in full.state_dict().items() if not n.startswith("bank.")}
        known = set(model.state_dict())
        model.load_state_dict({n: t for n, t in shared.items() if n in known}, strict=False)
        same = torch.equal(encode(model, rows).fused, encode(full, rows).fused)
        assert same == (observed and "imputation" in change), change


@pytest.mark.parametrize(
    "change",
    [{"imputation": "median"}, {"mixture": "sometimes"}, {"refiner": None}, {"mean_decay": 1.5}],
    ids=str,
)
def test_unknown_values_are_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        ModelConfig.model_validate(change)


def test_only_the_mean_keeps_a_running_state() -> None:
    kinds = {i: type(Prime(inputs(), model_config(imputation=i)).bank) for i in ("zero", "mean", "mask")}
    assert [i for i, kind in kinds.items() if issubclass(kind, MeanTokens)] == ["mean"]

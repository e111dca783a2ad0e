"""Every registered method through the same checks. A new method needs no test of its own here."""

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from prime.catalogue.methods import METHODS
from prime.downstream.grid import Evaluation
from prime.evaluation.missingness import patterns
from prime.methods.interface import ClassicalModel, FusionNetwork
from prime.methods.statistics.examples import Examples, Target
from prime.model.heads import HazardHead
from prime.settings.experiment import load_overrides
from prime.settings.methods import ComparisonConfig
from prime.settings.model import ModelConfig
from prime.store.batch import Batch
from prime.store.inputs import InputSpec, input_spec
from prime.store.store import Store
from prime.store.vectors import patient_vectors
from tests.made_up import lengthen, make_batch, poison, select
from tests.methods.signal_cohort import SMALL, comparison, write_signal_store

NEURAL = [name for name, method in METHODS.items() if method.kind == "neural"]
CLASSICAL = [name for name, method in METHODS.items() if method.kind == "classical"]
BINS = 4
PATTERNS = patterns(["image", "rna", "report"])


@pytest.fixture(scope="session")
def signal_store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """240 patients whose every modality tells of the outcome; read-only by agreement."""
    return write_signal_store(tmp_path_factory.mktemp("signal"))


def own_inputs(name: str, store: Store) -> InputSpec:
    """What a method reads of the signal cohort."""
    spec = input_spec(store)
    chosen = METHODS[name].modalities(spec.modalities, {})
    modalities = {m: spec.modalities[m] for m in chosen}
    return InputSpec(
        modalities=modalities, sources={s: spec.sources[s] for names in modalities.values() for s in names}
    )


def build(name: str, store: Store, bins: int = BINS, dropout: float = 0.0, seed: int = 0) -> FusionNetwork:
    torch.manual_seed(seed)
    config = ModelConfig.model_validate({**SMALL, "blocks": 2, "dropout": dropout})
    settings = ComparisonConfig().method_settings(name)
    return METHODS[name].build(own_inputs(name, store), config, settings, torch.linspace(-2, -1, bins))


def shaken(network: FusionNetwork, seed: int = 1) -> FusionNetwork:
    """The network with heads that read what they are given: they start at zero."""
    generator = torch.Generator().manual_seed(seed)
    for module in network.modules():
        if isinstance(module, HazardHead):
            linear = module[2]
            assert isinstance(linear, nn.Linear)
            with torch.no_grad():
                linear.weight.copy_(torch.randn(linear.weight.shape, generator=generator))
    return network


def mixed(name: str, store: Store, patients: int = 12, seed: int = 0) -> Batch:
    """A batch of the method's modalities in which every combination of them occurs."""
    spec = own_inputs(name, store)
    count = len(spec.modalities)
    codes = 1 + torch.arange(patients) % (2**count - 1)
    observed = (codes[:, None] >> torch.arange(count)) % 2 == 1
    return make_batch(observed, seed=seed, length=12, spec=spec)


def total(network: FusionNetwork, batch: Batch) -> Tensor:
    """Everything that training would go down on."""
    found = network(batch)
    loss = found.logits.square().sum() + sum(found.losses.values())
    name = next(n for n, m in METHODS.items() if m.build is type(network))
    return loss + network.pretraining_loss(batch) if METHODS[name].pretrains else loss


@pytest.mark.parametrize("name", METHODS)
def test_facts_are_told(name: str) -> None:
    facts = METHODS[name]
    assert facts.name == name
    for text in (facts.title, facts.reference, facts.missing, facts.departs):
        assert len(text) >= 3


@pytest.mark.parametrize("bins", [1, BINS])
@pytest.mark.parametrize("name", NEURAL)
def test_logits_have_their_shape_and_start_at_the_baseline(name: str, bins: int, signal_store: Store) -> None:
    batch = mixed(name, signal_store)
    network = build(name, signal_store, bins).eval()
    found = network(batch)
    assert found.logits.shape == (12, bins)
    assert found.logits.dtype == torch.float32
    torch.testing.assert_close(found.logits, torch.linspace(-2, -1, bins).expand(12, -1))
    assert shaken(network)(batch).logits.std(dim=0).min() > 1e-4


@pytest.mark.parametrize("name", NEURAL)
def test_backward_touches_every_parameter(name: str, signal_store: Store) -> None:
    network = shaken(build(name, signal_store, dropout=0.1)).train()
    total(network, mixed(name, signal_store, 28)).backward()  # pyright: ignore[reportUnknownMemberType]
    untouched = [
        key for key, p in network.named_parameters() if p.grad is None or not bool(p.grad.abs().sum() > 0)
    ]
    assert not untouched
    assert all(bool(p.grad.isfinite().all()) for p in network.parameters() if p.grad is not None)


@pytest.mark.parametrize("name", NEURAL)
def test_every_pattern_trains(name: str, signal_store: Store) -> None:
    spec = own_inputs(name, signal_store)
    for keep in patterns(list(spec.modalities)).values():
        network = shaken(build(name, signal_store, dropout=0.1)).train()
        loss = total(network, make_batch(torch.tensor(keep).expand(3, -1), length=5, spec=spec))
        loss.backward()  # pyright: ignore[reportUnknownMemberType]
        assert bool(loss.isfinite())
        assert all(bool(p.grad.isfinite().all()) for p in network.parameters() if p.grad is not None)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1e30])
@pytest.mark.parametrize("name", NEURAL)
def test_what_stands_in_masked_places_does_not_matter(name: str, value: float, signal_store: Store) -> None:
    network = shaken(build(name, signal_store)).eval()
    batch = mixed(name, signal_store)
    assert torch.equal(network(batch).logits, network(poison(batch, value)).logits)
    network.train()
    gradients: list[list[Tensor | None]] = []
    for one in (batch, poison(batch, value)):
        network.zero_grad(set_to_none=True)
        torch.manual_seed(3)
        total(network, one).backward()  # pyright: ignore[reportUnknownMemberType]
        gradients.append([p.grad for p in network.parameters()])
    for a, b in zip(*gradients, strict=True):
        assert (a is None and b is None) or (a is not None and b is not None and torch.equal(a, b))


@pytest.mark.parametrize("name", NEURAL)
def test_padding_does_not_matter(name: str, signal_store: Store) -> None:
    network = shaken(build(name, signal_store)).eval()
    batch = mixed(name, signal_store)
    longer = lengthen(batch, 3, float("nan"))
    torch.testing.assert_close(network(longer).logits, network(batch).logits, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", NEURAL)
def test_batch_mates_do_not_matter(name: str, signal_store: Store) -> None:
    network = shaken(build(name, signal_store)).eval()
    batch = mixed(name, signal_store)
    together = network(batch).logits
    for i in range(len(batch.patient_ids)):
        alone = network(select(batch, torch.tensor([i]))).logits
        torch.testing.assert_close(alone[0], together[i], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", NEURAL)
def test_saved_and_loaded_it_is_the_same(name: str, signal_store: Store, tmp_path: Path) -> None:
    network = shaken(build(name, signal_store)).eval()
    batch = mixed(name, signal_store)
    save_file(network.state_dict(), tmp_path / "weights.safetensors")
    other = shaken(build(name, signal_store, seed=5), seed=6).eval()
    assert not torch.equal(other(batch).logits, network(batch).logits)
    other.load_state_dict(load_file(tmp_path / "weights.safetensors"))
    assert torch.equal(other(batch).logits, network(batch).logits)


@pytest.mark.parametrize("name", NEURAL)
def test_nothing_is_kept_of_a_batch(name: str, signal_store: Store) -> None:
    """Losses are returned, so that no step can see those of another (a defect of others)."""
    network = shaken(build(name, signal_store, dropout=0.1)).train()
    before = {id(module): set(vars(module)) for module in network.modules()}
    buffers = {key: value.clone() for key, value in network.named_buffers()}
    network(mixed(name, signal_store))
    assert {id(module): set(vars(module)) for module in network.modules()} == before
    for key, value in network.named_buffers():
        assert torch.equal(value, buffers[key]), key


# Statistical models -----------------------------------------------------------------------------------------


def examples(name: str, store: Store, patients: slice, binary: bool = False) -> Examples:
    who = np.arange(len(store.patients))[patients]
    method = METHODS[name]
    chosen = method.modalities({m: tuple(s) for m, s in store.modalities.items()}, {})
    vectors = patient_vectors(store, who, chosen)
    if chosen:
        who = who[vectors.observed.any(axis=1)]
        vectors = patient_vectors(store, who, chosen)
    time = store.patients["os_time_days"].to_numpy(np.float64)[who]
    event = store.patients["os_event"].to_numpy(np.float64)[who] == 1
    edges = np.array([-np.inf, 200.0, 500.0, 900.0, np.inf])
    if binary:
        event, edges = event & (time <= 500), np.array([-np.inf, np.inf])
    return Examples(vectors, Target(time, event, edges, binary))


def fitted(name: str, store: Store, binary: bool, seed: int = 0) -> ClassicalModel:
    model = METHODS[name].build(ComparisonConfig().method_settings(name), seed)
    model.fit(examples(name, store, slice(0, 140), binary), examples(name, store, slice(140, 170), binary))
    return model


@pytest.mark.parametrize("binary", [False, True])
@pytest.mark.parametrize("name", CLASSICAL)
def test_a_statistical_model_gives_survival_for_every_pattern(
    name: str, binary: bool, signal_store: Store
) -> None:
    model = fitted(name, signal_store, binary)
    test = examples(name, signal_store, slice(170, 240), binary).vectors
    assert model.parameters > 0
    for keep in patterns(list(test.modalities)).values() if test.modalities else [()]:
        left = test.keep(np.tile(np.array(keep, dtype=bool), (len(test), 1)))
        if test.modalities:
            left = left.take(np.flatnonzero(left.observed.any(axis=1)))
        found = model.survival(left)
        assert found.shape == (len(left), 1 if binary else 4)
        assert np.isfinite(found).all()
        assert (found >= 0).all()
        assert (found <= 1).all()
        assert (np.diff(found, axis=1) <= 1e-12).all()
        one = left.take(np.array([0]))
        np.testing.assert_allclose(model.survival(one)[0], found[0], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", CLASSICAL)
def test_a_statistical_model_is_the_same_twice(name: str, signal_store: Store) -> None:
    test = examples(name, signal_store, slice(170, 240)).vectors
    first, second = (fitted(name, signal_store, False, seed=3).survival(test) for _ in range(2))
    np.testing.assert_array_equal(first, second)


# All of them ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", METHODS)
def test_it_beats_chance_and_repeats_itself(name: str, signal_store: Store, tmp_path: Path) -> None:
    scores = Evaluation(signal_store, comparison(name), None, tmp_path / "a").run(progress=False)
    primary = scores[scores["metric"].isin(["c_index", "auroc"]) & (scores["test_on"] == "everyone")]
    assert set(primary["pattern"]) == set(PATTERNS)
    assert primary["value"].notna().all()
    everything = primary[primary["pattern"] == "all"].groupby("task")["value"].mean()
    assert everything["os"] > 0.62, everything
    assert everything["early"] > 0.65, everything
    one_fold = load_overrides(comparison(name), (("evaluate.only_folds", [1]),))
    again = Evaluation(signal_store, one_fold, None, tmp_path / "b").run(progress=False)
    assert len(again)
    assert scores[scores["fold"] == 1].reset_index(drop=True).equals(again)

"""Linear probes: many heads at once equal a plain loop, and only training patients shape a head."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from prime.downstream.embeddings import EmbeddingCache, embed, read_out
from prime.downstream.probe import (
    FittedHead,
    HeadExamples,
    calibrated,
    fit_heads,
    fit_projection,
    head_nll,
    probe_folds,
    take_examples,
    with_slope,
)
from prime.errors import InputError
from prime.evaluation.missingness import patterns
from prime.model.prime import Prime
from prime.objectives.survival import assign_bins, bin_edges, nll
from prime.settings.evaluation import ProbeConfig, TaskConfig
from prime.splits.folds import Fold
from prime.splits.outcomes import Outcome, read_outcome
from prime.store.inputs import input_spec
from prime.store.loading import PatientLoader, fit_scalings
from prime.store.store import Store
from tests.made_up import model_config

Indices = NDArray[np.int64]
PATIENTS, BINS = 60, 4


def make_folds(sizes: tuple[tuple[int, int], ...] = ((40, 8), (36, 12), (30, 10))) -> list[Fold]:
    """Folds of unequal sizes (train, validation) over all sixty patients."""
    folds: list[Fold] = []
    for number, (train, held) in enumerate(sizes):
        order = np.random.default_rng(number).permutation(PATIENTS)
        parts = np.split(order, [train, train + held])
        folds.append(Fold("A", number, *(np.sort(part) for part in parts)))
    return folds


def probe_config(**changes: Any) -> ProbeConfig:
    return ProbeConfig.model_validate({"components": 4, "ridge": (0.1,), "calibrate": False, **changes})


class World:
    """A frozen network with random weights, its loader, outcomes and cached embeddings."""

    def __init__(self, store: Store) -> None:
        self.loader = PatientLoader(store, fit_scalings(store, np.arange(PATIENTS), 5.0))
        torch.manual_seed(0)
        self.network = Prime(input_spec(store), model_config()).eval()
        self.outcome = read_outcome(store, TaskConfig(name="os", endpoint="os"))
        self.observed = store.observed()
        self.patterns = patterns(list(store.modalities))
        self.cache = self.embedded(probe_config())

    def embedded(self, config: ProbeConfig) -> EmbeddingCache:
        everyone = np.arange(PATIENTS)
        return embed(self.network, self.loader, self.observed, everyone, self.patterns, config.readout)

    def heads(self, config: ProbeConfig, folds: list[Fold], **changes: Any) -> dict[str, list[FittedHead]]:
        cache, outcome = changes.get("cache", self.cache), changes.get("outcome", self.outcome)
        missing = changes.get("missing", False)
        return probe_folds(cache, outcome, folds, config, BINS, list(self.patterns), missing)

    @torch.inference_mode()
    def in_the_loop(self, config: ProbeConfig, patients: Indices, pattern: str) -> NDArray[np.float32]:
        """Each patient through the network alone."""
        keep = torch.tensor(self.patterns[pattern])[None]
        one_by_one = [
            read_out(self.network(self.loader.batch([p]).keep(keep)), config.readout) for p in patients
        ]
        return torch.cat(one_by_one).numpy()

    def left(self, patients: Indices, pattern: str) -> Indices:
        return patients[(self.observed[patients] & np.array(self.patterns[pattern])).any(axis=1)]


@pytest.fixture(scope="module")
def world(made_up_store: Store) -> World:
    return World(made_up_store)


def minimise(
    x: Tensor, label: Tensor, event: Tensor, weight: Tensor, ridge: float, bins: int, proportional: bool
) -> tuple[Tensor, Tensor]:
    """The ridge hazard model by L-BFGS on the likelihood itself: weight (p, T) and bias (T,)."""
    w = torch.zeros(x.shape[1], 1 if proportional else bins, dtype=torch.float64, requires_grad=True)
    b = torch.zeros(bins, dtype=torch.float64, requires_grad=True)
    search = torch.optim.LBFGS(
        [w, b], max_iter=500, tolerance_grad=1e-10, tolerance_change=1e-15, line_search_fn="strong_wolfe"
    )

    def closure() -> Tensor:
        search.zero_grad()
        each = nll(x @ w + b, label, event, reduction="none")
        loss = (weight * each).sum() / weight.sum() + 0.5 * ridge * w.square().sum()
        loss.backward()
        return loss

    search.step(closure)
    return w.detach().expand(-1, bins), b.detach()


def plain_head(
    world: World, config: ProbeConfig, fold: Fold, names: list[str], ridge: float
) -> tuple[Tensor, Tensor]:
    """One fold alone: network in the loop on its training patients, head fitted by itself."""
    who = np.concatenate([world.left(fold.train, name) for name in names])
    blocks = np.concatenate([world.in_the_loop(config, world.left(fold.train, name), name) for name in names])
    counts = np.bincount(who, minlength=PATIENTS)
    time_days, event = world.outcome.time_days[who], world.outcome.event[who]
    once = np.unique(who)  # a patient counts once, however many patterns leave something
    edges = bin_edges(world.outcome.time_days[once], world.outcome.event[once], BINS)
    projection = fit_projection(blocks, config.components, config.spectrum_power)
    weight, bias = minimise(
        projection(blocks),
        torch.from_numpy(assign_bins(time_days, edges)),
        torch.from_numpy(event),
        torch.from_numpy(1.0 / counts[who]),
        ridge,
        len(edges) - 1,
        config.hazard == "proportional",
    )
    return projection.matrix @ weight, bias + projection.offset @ weight


CASES: dict[str, tuple[bool, dict[str, Any]]] = {
    "default": (False, {}),
    "as they come, whatever the heads": (False, {"missing_heads": "shared"}),
    "free hazards": (False, {"hazard": "free"}),
    "a head for each pattern": (True, {"missing_heads": "per_pattern"}),
    "trained on all patterns": (True, {"missing_heads": "shared"}),
    "fused tokens": (False, {"readout": {"stages": ("fused",)}, "components": 2}),
}


@pytest.mark.parametrize(
    ("missing", "changes"), CASES.values(), ids=[name.replace(" ", "-") for name in CASES]
)
def test_stacked_heads_equal_a_plain_loop(world: World, missing: bool, changes: dict[str, Any]) -> None:
    config, folds = probe_config(**changes), make_folds()
    cache = world.embedded(config)
    heads = world.heads(config, folds, cache=cache, missing=missing)
    assert list(heads) == list(world.patterns)
    for number, fold in enumerate(folds):
        done: dict[tuple[str, ...], tuple[Tensor, Tensor]] = {}
        for pattern in world.patterns:
            names = ["all"]
            if missing and config.missing_heads == "per_pattern":
                present = world.left(fold.train, pattern)
                enough = len(present) >= 20 and world.outcome.event[present].sum() >= 4
                names = [pattern] if enough else ["all"]
            elif missing:
                names = list(world.patterns)
            if tuple(names) not in done:
                done[tuple(names)] = plain_head(world, config, fold, names, 0.1)
            weight, bias = done[tuple(names)]
            head = heads[pattern][number]
            torch.testing.assert_close(head.weight, weight, rtol=0, atol=1e-5)
            # A bin in which everyone at risk has the event has its best bias at infinity.
            torch.testing.assert_close(head.bias.clamp(max=15), bias.clamp(max=15), rtol=0, atol=1e-5)
            tested = world.left(fold.test, pattern)
            x = torch.from_numpy(world.in_the_loop(config, tested, pattern)).double().flatten(1)
            expected = torch.cumprod(1 - torch.sigmoid(x @ weight + bias), dim=1).sum(1).numpy()
            found = head.survival(cache.take(pattern, tested)).sum(axis=1)
            np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)


def test_a_fold_does_not_depend_on_its_neighbours(world: World) -> None:
    """One fold too small for a head of its own pattern takes none away from the others."""
    config = probe_config(missing_heads="per_pattern")
    folds = make_folds(((40, 8), (21, 8)))
    together = world.heads(config, folds, missing=True)
    for number, fold in enumerate(folds):
        alone = world.heads(config, [fold], missing=True)
        for pattern in world.patterns:
            torch.testing.assert_close(
                together[pattern][number].weight, alone[pattern][0].weight, atol=1e-9, rtol=0
            )
    small, large = ([head[i].weight for head in (together["rna"], together["all"])] for i in (1, 0))
    torch.testing.assert_close(*small)
    assert not torch.allclose(*large)


def test_shared_heads_are_one_object(world: World) -> None:
    """One head as patients come, or one for all patterns; the two are not the same."""
    plain = world.heads(probe_config(), make_folds())
    shared = world.heads(probe_config(missing_heads="shared"), make_folds(), missing=True)
    for heads in (plain, shared):
        assert all(heads[pattern] is heads["all"] for pattern in world.patterns)
    assert not torch.allclose(plain["all"][0].weight, shared["all"][0].weight, atol=1e-3)


def test_heads_per_pattern_differ(world: World) -> None:
    heads = world.heads(probe_config(missing_heads="per_pattern"), make_folds(((44, 6),)), missing=True)
    assert not torch.allclose(heads["rna"][0].weight, heads["image"][0].weight, atol=1e-3)


def test_free_and_proportional_hazards(world: World) -> None:
    folds = make_folds()
    proportional = world.heads(probe_config(), folds)["all"][0].weight
    free = world.heads(probe_config(hazard="free"), folds)["all"][0].weight
    assert torch.equal(proportional, proportional[:, :1].expand_as(proportional))
    assert not torch.allclose(free, free[:, :1].expand_as(free), atol=1e-3)


def test_each_patient_weighs_one_under_all_patterns(world: World) -> None:
    names = list(world.patterns)
    patients = make_folds()[0].train
    patients = patients[np.unique(world.outcome.time_days[patients], return_index=True)[1]]
    examples = take_examples(world.cache, world.outcome, patients, names, BINS)
    for patient in patients:  # whose time tells the rows that are theirs
        left = sum((world.observed[patient] & np.array(k)).any() for k in world.patterns.values())
        mine = examples.weight[examples.time_days == world.outcome.time_days[patient]]
        np.testing.assert_allclose(mine, np.full(left, 1 / left))
    assert len(set(examples.weight)) > 1


def test_ridge_with_the_lowest_validation_loss(world: World) -> None:
    ridges, folds = (1e-4, 0.1, 100.0), make_folds()
    heads = world.heads(probe_config(ridge=ridges), folds)["all"]
    for head, fold in zip(heads, folds, strict=True):
        train = take_examples(world.cache, world.outcome, fold.train, ["all"], BINS)
        held = take_examples(world.cache, world.outcome, fold.validation, ["all"], BINS)
        (alone,) = fit_heads([train], list(ridges), probe_config())
        losses = [head_nll(candidate, held) for candidate in alone]
        assert head.ridge == ridges[int(np.argmin(losses))]
        torch.testing.assert_close(head.weight, alone[int(np.argmin(losses))].weight, atol=1e-6, rtol=0)


def test_validation_patients_decide_the_ridge(world: World) -> None:
    """With times that risk foretells in validation a weak ridge wins, with reversed ones a strong ridge."""
    fold, ridges = make_folds(((36, 16),))[0], (1e-3, 1e3)
    (plain,) = world.heads(probe_config(ridge=(1e-3,)), [fold])["all"]
    order = np.argsort(plain.survival(world.cache.take("all", fold.validation)).sum(axis=1))
    chosen: list[float] = []
    for ranked in (order, order[::-1]):
        time_days, event = world.outcome.time_days.copy(), world.outcome.event.copy()
        inner = plain.edges[1:-1]
        time_days[fold.validation[ranked]] = np.linspace(inner[0] / 2, inner[-1] * 2, len(ranked))
        event[fold.validation] = True
        changed = replace(world.outcome, time_days=time_days, event=event)
        chosen.append(world.heads(probe_config(ridge=ridges), [fold], outcome=changed)["all"][0].ridge)
    assert chosen == [1e-3, 1e3]


@pytest.mark.parametrize("ridge", [(0.1,), (0.01, 1.0)])
def test_refit_uses_training_and_validation_patients(world: World, ridge: tuple[float, ...]) -> None:
    folds = make_folds()
    first = world.heads(probe_config(ridge=ridge), folds)["all"]
    again = world.heads(probe_config(ridge=ridge, refit=True), folds)["all"]
    for fold, before, after in zip(folds, first, again, strict=True):
        assert after.ridge == before.ridge
        both = take_examples(world.cache, world.outcome, np.r_[fold.train, fold.validation], ["all"], BINS)
        ((expected,),) = fit_heads([both], [after.ridge], probe_config())
        torch.testing.assert_close(after.weight, expected.weight, atol=1e-8, rtol=0)
        np.testing.assert_array_equal(after.edges, expected.edges)
        assert not torch.allclose(after.weight, before.weight, atol=1e-4)


def test_whitened_components_have_unit_deviation() -> None:
    rng = np.random.default_rng(0)
    blocks = (rng.normal(size=(50, 2, 3)) @ rng.normal(size=(3, 7)) * 20 + 5).astype(np.float32)
    whitened = fit_projection(blocks, 3, 0.0)(blocks)
    assert whitened.shape == (50, 6)
    torch.testing.assert_close(whitened.mean(0), torch.zeros(6).double(), atol=1e-6, rtol=0)
    torch.testing.assert_close(whitened.std(0, correction=0), torch.ones(6).double(), atol=1e-6, rtol=0)
    for part in (whitened[:, :3], whitened[:, 3:]):
        torch.testing.assert_close(part.T @ part / 50, torch.eye(3).double(), atol=1e-6, rtol=0)


def test_the_spectrum_is_kept_at_power_one() -> None:
    rng = np.random.default_rng(1)
    blocks = (rng.normal(size=(80, 1, 4)) @ rng.normal(size=(4, 6))).astype(np.float32)
    z = torch.from_numpy(blocks[:, 0]).double()
    s = torch.linalg.svdvals((z - z.mean(0)) / z.std(0))
    found = fit_projection(blocks, 4, 1.0)(blocks).std(0, correction=0)
    torch.testing.assert_close(found, s[:4] / s[0], atol=1e-6, rtol=0)


def test_constant_features_and_a_constant_block_give_nothing() -> None:
    blocks = np.random.default_rng(2).normal(size=(30, 2, 4)).astype(np.float32)
    blocks[:, 0, 1], blocks[:, 1] = 7.0, 3.0
    projection = fit_projection(blocks, 4, 0.5)
    assert projection.matrix.isfinite().all()
    assert not projection.matrix[[1, 4, 5, 6, 7]].any()
    assert projection.matrix.shape[1] == 3


def test_test_patients_shape_no_head(world: World) -> None:
    """Neither the outcomes of test patients nor their features change a weight, a ridge or an edge."""
    config, fold = probe_config(ridge=(0.01, 0.1, 1.0), missing_heads="per_pattern"), make_folds()[0]
    before = world.heads(config, [fold], missing=True)
    time_days, event = world.outcome.time_days.copy(), world.outcome.event.copy()
    time_days[fold.test], event[fold.test] = time_days[fold.test][::-1] * 3, ~event[fold.test]
    values = world.cache.values.copy()
    for rows in world.cache.row.values():
        values[rows[fold.test][rows[fold.test] >= 0]] = np.nan
    outcome = replace(world.outcome, time_days=time_days, event=event)
    cache = replace(world.cache, values=values)
    after = world.heads(config, [fold], cache=cache, outcome=outcome, missing=True)
    for pattern in world.patterns:
        (one,), (other,) = before[pattern], after[pattern]
        assert torch.equal(one.weight, other.weight)
        assert torch.equal(one.bias, other.bias)
        assert one.ridge == other.ridge
        np.testing.assert_array_equal(one.edges, other.edges)


def test_validation_patients_shape_no_projection(world: World) -> None:
    """With one ridge and no refit, validation patients change nothing: scaling and bins are of training."""
    fold = make_folds()[0]
    values = world.cache.values.copy()
    for rows in world.cache.row.values():
        values[rows[fold.validation][rows[fold.validation] >= 0]] *= 100
    (before,) = world.heads(probe_config(), [fold])["all"]
    (after,) = world.heads(probe_config(), [fold], cache=replace(world.cache, values=values))["all"]
    assert torch.equal(before.weight, after.weight)


def test_likelihood_of_no_examples_is_undefined(world: World) -> None:
    (head,) = world.heads(probe_config(), make_folds()[:1])["all"]
    shape = world.cache.values.shape[1:]
    none = HeadExamples(
        np.zeros((0, *shape), np.float32),
        np.zeros(0, np.int64),
        np.zeros(0),
        np.zeros(0, bool),
        np.zeros(0),
        head.edges,
    )
    assert np.isnan(head_nll(head, none))


@pytest.mark.parametrize("ridge", [0.01, 30.0])
def test_calibration_keeps_the_order_and_mends_the_slope(ridge: float) -> None:
    """A strong ridge shrinks the risks, a weak one overfits; fresh patients ask for a slope of one."""
    rng = np.random.default_rng(0)
    truth = rng.normal(size=12)

    def drawn(count: int, first: int) -> HeadExamples:
        x = rng.normal(size=(count, 1, 12)).astype(np.float32)
        time = rng.exponential(size=count) * np.exp(-x[:, 0] @ truth / 3) * 500
        censored = rng.uniform(200, 2000, count)
        edges = np.array([-np.inf, 150.0, 350.0, 700.0, np.inf])
        who = np.arange(first, first + count)
        return HeadExamples(x, who, np.minimum(time, censored), time <= censored, np.ones(count), edges)

    train, fresh = drawn(400, 0), drawn(4000, 1000)
    config = ProbeConfig(components=12, ridge=(ridge,))
    ((plain,),) = fit_heads([train], [ridge], config)
    (mended,) = calibrated([plain], [train], config)
    before, after = (head.survival(fresh.blocks).sum(axis=1) for head in (plain, mended))
    np.testing.assert_array_equal(np.argsort(before), np.argsort(after))

    def slope(head: FittedHead) -> float:
        logit = torch.from_numpy(fresh.blocks).double().flatten(1) @ head.weight[:, 0]
        return float(with_slope(head, logit, fresh).weight.norm() / head.weight.norm())

    assert abs(np.log(slope(mended))) < 0.3
    assert abs(np.log(slope(mended))) < abs(np.log(slope(plain))) or ridge < 1
    assert head_nll(mended, fresh) < head_nll(plain, fresh) + 0.01


def test_a_free_hazard_stays_as_it_is(world: World) -> None:
    folds = make_folds()
    plain = world.heads(probe_config(hazard="free"), folds)["all"]
    asked = world.heads(probe_config(hazard="free", calibrate=True), folds)["all"]
    assert all(torch.equal(a.weight, b.weight) for a, b in zip(plain, asked, strict=True))


def test_no_event_in_training_is_refused(world: World) -> None:
    fold = make_folds()[0]
    event = world.outcome.event.copy()
    event[fold.train] = False
    outcome: Outcome = replace(world.outcome, event=event)
    with pytest.raises(InputError, match="cohort A, fold 0: no event"):
        world.heads(probe_config(), [fold], outcome=outcome)

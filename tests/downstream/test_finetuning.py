"""Fine-tuning: what it learns, what it keeps, and what must not change its predictions."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from prime.downstream import supervised as supervised_module
from prime.downstream.finetuning import Finetuning
from prime.downstream.supervised import FoldBatches, drop_modalities
from prime.errors import InputError
from prime.evaluation.missingness import patterns
from prime.model.prime import Prime, random_prime
from prime.settings.evaluation import EvaluateConfig, TaskConfig
from prime.splits.folds import Fold
from prime.splits.outcomes import Outcome, read_outcome
from prime.store.batch import Batch
from prime.store.inputs import input_spec
from prime.store.loading import PatientLoader, fit_scalings
from prime.store.store import Store
from tests.made_up import experiment

OS = TaskConfig(name="os", endpoint="os")
FOLD = Fold("A", 0, np.arange(0, 60, 2), np.arange(1, 30, 4), np.arange(31, 60, 4))
Make = Callable[..., Finetuning]


def settings(**changes: Any) -> EvaluateConfig:
    tuning = {
        "epochs": 2,
        "batch_size": 15,
        "learning_rate": 1e-3,
        "head_learning_rate": 1e-2,
        "precision": "32-true",
        **changes,
    }
    return EvaluateConfig.model_validate({"finetune": tuning})


@pytest.fixture(scope="module")
def network(made_up_store: Store) -> Prime:
    config = experiment()
    return random_prime(input_spec(made_up_store), config.model, config.seed).eval()


@pytest.fixture(scope="module")
def loader(made_up_store: Store) -> PatientLoader:
    return PatientLoader(made_up_store, fit_scalings(made_up_store, FOLD.train, 5.0))


@pytest.fixture
def make(made_up_store: Store, network: Prime, loader: PatientLoader) -> Make:
    outcome = read_outcome(made_up_store, OS)

    def made(outcome: Outcome = outcome, seed: int = 0, missing: bool = False, **changes: Any) -> Finetuning:
        return Finetuning(network, loader, outcome, FOLD, settings(**changes), seed, missing)

    return made


@pytest.fixture(scope="module")
def tuned(made_up_store: Store, network: Prime, loader: PatientLoader) -> Finetuning:
    """One fitted model that the tests only read."""
    fitted = Finetuning(network, loader, read_outcome(made_up_store, OS), FOLD, settings(), 0, False)
    fitted.fit()
    return fitted


def state_of(model: torch.nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in model.state_dict().items()}


def same_state(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def left(tuned: Finetuning, keep: tuple[bool, ...]) -> np.ndarray:
    return FOLD.test[(tuned.observed[FOLD.test] & np.array(keep)).any(axis=1)]


def test_the_head_starts_at_the_hazards_of_the_training_patients(make: Make, made_up_store: Store) -> None:
    fresh, outcome = make(), read_outcome(made_up_store, OS)
    survival = fresh.predict(FOLD.train, (True, True, True))
    left, expected = 1.0, []
    for low, high in zip(fresh.edges[:-1], fresh.edges[1:], strict=True):
        time, event = outcome.time_days[FOLD.train], outcome.event[FOLD.train]
        deaths = int((event & (time >= low) & (time < high)).sum())
        left *= 1 - (deaths + 0.5) / (int((time >= low).sum()) + 1)
        expected.append(left)
    np.testing.assert_allclose(survival, np.tile(expected, (len(FOLD.train), 1)), atol=1e-6)


def test_validation_and_prediction_change_nothing(tuned: Finetuning) -> None:
    before = state_of(tuned.model)
    losses = [tuned.validation_loss(), tuned.validation_loss()]
    curves = [tuned.predict(FOLD.test, (True, True, True)) for _ in range(2)]
    assert losses[0] == losses[1]
    np.testing.assert_array_equal(curves[0], curves[1])
    assert not tuned.model.training
    assert same_state(before, state_of(tuned.model))


def test_the_same_seed_gives_the_same_predictions(make: Make) -> None:
    results: list[np.ndarray] = []
    for seed in (0, 0, 1):
        tuned = make(seed=seed, missing=True, drop_modality=0.3)
        tuned.fit()
        results.append(tuned.predict(FOLD.test, (True, True, True)))
    np.testing.assert_array_equal(results[0], results[1])
    assert np.abs(results[0] - results[2]).max() > 1e-4


def test_the_source_model_is_left_alone(make: Make, network: Prime) -> None:
    before = state_of(network)
    tuned = make()
    start = state_of(tuned.model.prime)
    assert same_state(before, start)
    tuned.fit()
    assert same_state(before, state_of(network))
    assert not network.training
    assert not same_state(start, state_of(tuned.model.prime))


def test_every_part_of_the_path_is_trained(make: Make) -> None:
    """Tokenizers, prototypes, refiners, backbone and head all move; a frozen network would be a probe."""
    tuned = make(epochs=3, weight_decay=0.0, patience=5)
    before = state_of(tuned.model)
    tuned.model.train()
    optimizer = tuned.optimizer
    for _ in range(2):  # the head starts at zero, so the network has a gradient from the second step on
        optimizer.zero_grad()
        tuned._loss(FOLD.train, None, 0.0).backward()
        optimizer.step()
    after = state_of(tuned.model)
    for part in ("prime.tokenizers", "prime.bank", "prime.refiners", "prime.backbone", "head"):
        assert any(not torch.equal(before[n], after[n]) for n in before if n.startswith(part)), part


def test_norms_and_biases_do_not_decay(make: Make) -> None:
    """As in pretraining and in the networks of the comparison; network and head keep a rate each."""
    tuned = make(learning_rate=1e-3, head_learning_rate=1e-2, weight_decay=0.7)
    setting = {
        id(parameter): (group["lr"], group["weight_decay"])
        for group in tuned.optimizer.param_groups
        for parameter in group["params"]
    }
    assert len(setting) == len(list(tuned.model.parameters()))
    for name, parameter in tuned.model.named_parameters():
        assert setting[id(parameter)][0] == (1e-2 if name.startswith("head.") else 1e-3), name
        assert not ("bias" in name and setting[id(parameter)][1]), name
    modules = list(tuned.model.modules())
    assert {setting[id(m.weight)][1] for m in modules if isinstance(m, torch.nn.LayerNorm)} == {0.0}
    assert {setting[id(m.weight)][1] for m in modules if isinstance(m, torch.nn.Linear)} == {0.7}
    assert setting[id(tuned.model.prime.bank.prototypes)][1] == 0.0


def learnable(store: Store) -> Outcome:
    """Times that the genes (or words) foretell, all with an event."""
    outcome = read_outcome(store, OS)
    score = np.zeros(60)
    for source in ("genes", "words"):
        index, values = store.index(source), store.values(source)
        has = index[:, 1] > 0
        score[has] = np.nan_to_num(np.asarray(values[index[has, 0], 0], dtype=np.float64))
    return replace(outcome, time_days=1000 * np.exp(-score), event=np.ones(60, dtype=bool))


def test_the_training_loss_falls(make: Make, made_up_store: Store) -> None:
    tuned = make(learnable(made_up_store), epochs=12, patience=50)

    def training_loss() -> float:
        tuned.model.eval()
        with torch.inference_mode():
            return float(tuned._loss(FOLD.train, None, 0.0))

    start = training_loss()
    tuned.validation_loss = training_loss
    tuned.fit()
    assert training_loss() < start - 0.3


def test_the_best_epoch_is_kept(make: Make) -> None:
    tuned = make(epochs=9, patience=2)
    promised = iter([5.0, 3.0, 4.0, 3.5, 0.0])
    states: list[dict[str, Tensor]] = []

    def losses() -> float:
        states.append(state_of(tuned.model))
        return next(promised)

    tuned.validation_loss = losses
    assert tuned.fit() == 1
    assert len(states) == 4  # two epochs of patience after the best one
    assert same_state(state_of(tuned.model), states[1])
    assert not same_state(states[1], states[3])


def test_a_validation_loss_that_is_no_number_ends_training_and_is_never_chosen(make: Make) -> None:
    tuned = make(epochs=9, patience=9)
    promised = iter([5.0, float("nan"), 1.0])
    states: list[dict[str, Tensor]] = []

    def losses() -> float:
        states.append(state_of(tuned.model))
        return next(promised)

    tuned.validation_loss = losses
    assert tuned.fit() == 0
    assert len(states) == 2
    assert same_state(state_of(tuned.model), states[0])


def test_training_that_diverges_from_the_start_is_one_clear_error(make: Make) -> None:
    tuned = make(learning_rate=1e37, head_learning_rate=1e37)
    with pytest.raises(InputError, match=r"A, fold 0: training diverged.* lower the learning rate"):
        tuned.fit()


def test_validation_loss_is_that_of_the_kept_epoch(make: Make) -> None:
    tuned = make(epochs=4, patience=4)
    measure, seen = tuned.validation_loss, []

    def losses() -> float:
        seen.append(measure())
        return seen[-1]

    tuned.validation_loss = losses
    best = tuned.fit()
    assert best == int(np.argmin(seen))
    assert measure() == pytest.approx(min(seen), abs=1e-7)


def test_outcomes_of_test_patients_change_no_prediction(make: Make, made_up_store: Store) -> None:
    outcome = read_outcome(made_up_store, OS)
    time_days, event = outcome.time_days.copy(), outcome.event.copy()
    time_days[FOLD.test], event[FOLD.test] = time_days[FOLD.test][::-1] * 2, ~event[FOLD.test]
    results: list[tuple[np.ndarray, np.ndarray]] = []
    for given in (outcome, replace(outcome, time_days=time_days, event=event)):
        tuned = make(given)
        tuned.fit()
        results.append((tuned.edges, tuned.predict(FOLD.test, (True, True, True))))
    np.testing.assert_array_equal(results[0][0], results[1][0])
    np.testing.assert_array_equal(results[0][1], results[1][1])


class Poisoned(PatientLoader):
    """A loader whose named modality holds NaN wherever it has real rows, and in padding too."""

    hidden = ""

    def batch(self, patients: Any) -> Batch:
        batch = super().batch(patients)
        sources = dict(batch.sources)
        for name in self.modalities.get(self.hidden, ()):
            sources[name] = replace(sources[name], values=torch.full_like(sources[name].values, torch.nan))
        return replace(batch, sources=sources)


@pytest.mark.parametrize("hidden", ["image", "rna", "report"])
def test_what_a_pattern_hides_does_not_matter(tuned: Finetuning, hidden: str) -> None:
    keep = patterns(["image", "rna", "report"])[f"-{hidden}"]
    patients = left(tuned, keep)
    expected = tuned.predict(patients, keep)
    plain = tuned.batches
    poisoned = Poisoned(plain.loader.store, plain.loader.scaling)
    poisoned.hidden = hidden
    try:
        tuned.batches = FoldBatches(poisoned, plain.patients)
        np.testing.assert_array_equal(tuned.predict(patients, keep), expected)
    finally:
        tuned.batches = plain


@pytest.mark.parametrize("pattern", ["all", "-rna", "report"])
def test_batch_mates_do_not_matter(tuned: Finetuning, pattern: str) -> None:
    keep = patterns(["image", "rna", "report"])[pattern]
    patients = left(tuned, keep)
    together = tuned.predict(patients, keep)
    assert np.ptp(together[:, 0]) > 1e-3  # patients are told apart at all
    np.testing.assert_allclose(tuned.predict(patients, keep, size=1), together, rtol=0, atol=1e-5)
    np.testing.assert_allclose(tuned.predict(patients[::-1], keep)[::-1], together, rtol=0, atol=1e-5)


def test_survival_curves(tuned: Finetuning) -> None:
    curves = tuned.predict(FOLD.test, (True, True, True))
    assert curves.shape == (len(FOLD.test), len(tuned.edges) - 1)
    assert ((curves >= 0) & (curves <= 1)).all()
    assert (np.diff(curves, axis=1) <= 0).all()


def test_no_event_in_training_is_refused(make: Make, made_up_store: Store) -> None:
    outcome = read_outcome(made_up_store, OS)
    event = outcome.event.copy()
    event[FOLD.train] = False
    with pytest.raises(InputError, match="no events among the 30 training patients"):
        make(replace(outcome, event=event))


def test_modality_dropout_leaves_everyone_something() -> None:
    observed = np.array([[True, True, True], [False, True, False], [True, False, True]] * 500)
    kept = drop_modalities(observed, 0.6, np.random.default_rng(0))
    assert not (kept & ~observed).any()
    assert kept.any(axis=1).all()
    assert kept[1::3, 1].all()
    full = kept[::3]  # three modalities, all of them dropped with 0.6 ** 3, then one comes back
    assert full.mean() == pytest.approx(0.4 + 0.6**3 / 3, abs=0.04)


def dropped(make: Make, monkeypatch: pytest.MonkeyPatch, **changes: Any) -> list[float]:
    """The rates of modality dropout that a fit used, one a minibatch."""
    rates: list[float] = []

    def recorded(observed: Any, rate: float, rng: np.random.Generator) -> Any:
        rates.append(rate)
        return drop_modalities(observed, rate, rng)

    monkeypatch.setattr(supervised_module, "drop_modalities", recorded)
    make(**changes).fit()
    return rates


def test_only_training_on_what_is_missing_drops_modalities(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert dropped(make, monkeypatch, drop_modality=0.4) == []
    assert dropped(make, monkeypatch, drop_modality=0.4, missing=True) == [0.4] * 4  # 2 epochs of 2 batches


def test_training_on_what_is_missing_is_another_fit(make: Make) -> None:
    results: list[np.ndarray] = []
    for missing in (False, True):
        tuned = make(missing=missing, drop_modality=0.5)
        tuned.fit()
        results.append(tuned.predict(FOLD.test, (True, True, True)))
    assert np.abs(results[0] - results[1]).max() > 1e-4


def test_a_binary_task_has_one_logit_and_the_cross_entropy(make: Make, made_up_store: Store) -> None:
    outcome = read_outcome(made_up_store, TaskConfig(name="early", endpoint="os", horizon_days=500))
    label = np.arange(60) % 3 == 0
    tuned = make(replace(outcome, event=label, time_days=np.full(60, 600.0), usable=np.ones(60, dtype=bool)))
    tuned.fit()
    curves = tuned.predict(FOLD.validation, (True, True, True))
    assert curves.shape == (len(FOLD.validation), 1)
    probability, truth = 1 - curves[:, 0], label[FOLD.validation]
    expected = -np.mean(np.log(np.where(truth, probability, 1 - probability)))
    assert tuned.validation_loss() == pytest.approx(expected, abs=1e-5)


def test_calibration_keeps_every_order_and_holds_the_mean(make: Make, made_up_store: Store) -> None:
    tuned, outcome = make(epochs=4), read_outcome(made_up_store, OS)
    tuned.fit()
    patients = np.concatenate([FOLD.train, FOLD.validation])
    before = {
        keep: tuned.predict(left(tuned, keep), keep) for keep in ((True, True, True), (True, False, True))
    }
    tuned.calibrate()
    for keep, curves in before.items():
        after = tuned.predict(left(tuned, keep), keep)
        assert not np.allclose(after, curves)
        assert ((after > 0) & (after < 1)).all()
        assert (np.diff(after, axis=1) <= 0).all()
        np.testing.assert_array_equal(np.argsort(after.sum(axis=1)), np.argsort(curves.sum(axis=1)))
    curves = tuned.predict(patients, (True, True, True))
    time, event, edge = outcome.time_days[patients], outcome.event[patients], tuned.edges[2]
    kept = survival_function_at(time, event, edge)
    assert curves[:, 1].mean() == pytest.approx(kept, abs=0.06)


def survival_function_at(time: np.ndarray, event: np.ndarray, day: float) -> float:
    """Kaplan-Meier's estimate just before a day."""
    found = 1.0
    for moment in np.unique(time[event & (time < day)]):
        found *= 1 - (event & (time == moment)).sum() / (time >= moment).sum()
    return found

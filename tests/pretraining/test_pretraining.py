"""Pretraining as a whole on a small store: what it writes, who takes part, and that it learns."""

import json
import math
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from prime.cohort.config import CohortConfig
from prime.errors import InputError
from prime.files import sha256_file
from prime.model.checkpoint import load_checkpoint
from prime.model.parameters import parameter_groups
from prime.pretraining.devices import Devices
from prime.pretraining.loop import Pretraining, pretrain
from prime.pretraining.setup import choose_patients, learning_rate_at
from prime.settings.pretraining import PretrainConfig
from prime.store.packing import pack
from prime.store.store import Store
from tests.made_up import experiment, pretraining_model, write_store


def log_of(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "log.jsonl").read_text(encoding="utf-8").splitlines()]


@pytest.fixture(scope="module")
def run(made_up_store: Store, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("run")
    pretrain(made_up_store, experiment(epochs=6, learning_rate=5e-3), out)
    return out


def test_what_is_logged(run: Path) -> None:
    log = log_of(run)
    assert [row["epoch"] for row in log] == list(range(6))
    for row in log:
        for part in ("alignment", "consistency", "balance", "total"):
            assert math.isfinite(row[f"train/{part}"])
            assert math.isfinite(row[f"validation/{part}"])
        assert row["patients_per_second"] > 0
        assert np.array(row["expert_use"]).shape == (3, 4)
        assert np.array(row["expert_use"]).sum(axis=1) == pytest.approx([1, 1, 1], abs=1e-5)
        assert 1 <= row["prototype_perplexity"] <= 8
        assert 0 <= row["cancer_type_knn"] <= 1
        assert {"image-rna", "image-report", "rna-report"} <= set(row["retrieval"])
        assert set(row["retrieval_within_type"]) == set(row["retrieval"])
        assert row["spread"] > 0
        assert row["experts_dead"] >= 0
    assert (run / "curves.svg").stat().st_size > 1000


def test_the_losses_fall_and_the_best_epoch_is_kept(run: Path) -> None:
    log = log_of(run)
    assert log[-1]["train/total"] < log[0]["train/total"] - 0.1
    assert min(row["validation/total"] for row in log) < log[0]["validation/total"]
    state = torch.load(run / "state.pt", weights_only=True)
    assert state["best"] == min(row["validation/total"] for row in log)


def test_the_checkpoint_holds_the_epoch_of_the_lowest_validation_loss(
    made_up_store: Store, run: Path, tmp_path: Path
) -> None:
    log = log_of(run)
    best = min(log, key=lambda row: row["validation/total"])
    training = Pretraining(
        made_up_store, experiment(epochs=6, learning_rate=5e-3), tmp_path, frozenset(), Devices()
    )
    training.raw.prime.load_state_dict(load_checkpoint(run).model.state_dict())
    assert training.validate()["validation/total"] == pytest.approx(best["validation/total"], abs=1e-5)


def test_validation_draws_the_same_masks_every_time(made_up_store: Store, tmp_path: Path) -> None:
    training = Pretraining(made_up_store, experiment(), tmp_path, frozenset(), Devices())
    first = training.validate()
    torch.rand(100)
    assert training.validate() == first


def test_who_takes_part_is_disjoint_and_recorded(made_up_store: Store, tmp_path: Path) -> None:
    excluded = frozenset({"p003", "p010", "p050"})
    training = Pretraining(made_up_store, experiment(), tmp_path, excluded, Devices())
    train = set(training.manifest["train_patients"])
    validation = set(training.manifest["validation_patients"])
    assert not train & validation
    assert not (train | validation) & excluded
    assert len(train | validation) == 57
    assert training.manifest["excluded"] == sorted(excluded)
    assert set(training.manifest["store"]) == {"tiles", "genes", "words"}


def test_an_excluded_patient_changes_no_scaling(tmp_path: Path) -> None:
    """Values of excluded and validation patients never reach the scaling."""
    store = write_store(tmp_path / "a")
    config = experiment()
    first = Pretraining(store, config, tmp_path / "run", frozenset({"p003"}), Devices())
    everyone = Pretraining(store, config, tmp_path / "run", frozenset(), Devices())
    rows = store.index("genes")[first.train]
    used = np.concatenate([np.arange(start, start + length) for start, length in rows])
    expected = np.nanmedian(store.values("genes")[used], axis=0)
    assert first.scaling["genes"].centre == pytest.approx(expected, abs=1e-5)
    assert not np.allclose(first.scaling["genes"].centre, everyone.scaling["genes"].centre)


def test_only_complete_patients_where_asked(made_up_store: Store) -> None:
    observed = made_up_store.observed()
    complete = choose_patients(made_up_store, PretrainConfig(patients="complete"), frozenset())
    assert np.array_equal(complete, np.flatnonzero(observed.all(axis=1)))
    assert len(choose_patients(made_up_store, PretrainConfig(), frozenset())) == 60


def test_too_few_patients_are_one_clear_error(made_up_store: Store, tmp_path: Path) -> None:
    ids = made_up_store.patients["patient_id"].tolist()
    with pytest.raises(InputError, match="5 patients are left"):
        pretrain(made_up_store, experiment(), tmp_path, frozenset(ids[5:]))
    with pytest.raises(InputError, match="to validate are too few"):
        pretrain(made_up_store, experiment(validation_share=0.01), tmp_path)
    assert not (tmp_path / "config.json").exists()


@pytest.mark.parametrize(
    "change",
    [
        {"precision": "bf16-mixed"},
        {"within_type": 1.0},
        {"losses": {"prediction": {"weight": 0.5}}},
        {"losses": {"retention": {"weight": 0.5, "components": 4}}},
        {"learn_temperature": True},
        {"losses": {"consistency": {"negatives": "both_views"}}},
        {"losses": {"alignment": {"pair_weighting": "patients"}}},
        {"losses": {"balance": {"imputed": False}}},
        {"dirichlet_noise": False},
        {"dirichlet_missing": False},
        {"dropped_assignment": "consensus"},
        {"drop_modality": 0.0},
        {"drop_token": 0.6},
        {"kappa": 5.0},
        {"top_k": 1},
        {"temperature": 0.5},
        {"losses": {"alignment": {"weight": 0.0}}},
        {"patients": "complete"},
    ],
    ids=str,
)
def test_every_setting_runs_and_changes_the_training(
    made_up_store: Store, tmp_path: Path, change: dict[str, Any]
) -> None:
    def weights(name: str, **settings: Any) -> dict[str, torch.Tensor]:
        training = Pretraining(made_up_store, experiment(**settings), tmp_path / name, frozenset(), Devices())
        training.train_epoch(0, 2, 0, lambda *_: None)
        return {k: v.clone() for k, v in training.raw.prime.state_dict().items()}

    plain, changed = weights("plain"), weights("changed", **change)
    assert all(bool(v.isfinite().all()) for v in changed.values())
    assert any(not torch.equal(plain[name], changed[name]) for name in plain)


def test_a_loss_that_is_no_number_stops_the_run_and_keeps_the_last_good_state(
    made_up_store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = Pretraining.train_epoch

    def then_spoilt(self: Pretraining, epoch: int, *rest: Any) -> dict[str, float]:
        found = original(self, epoch, *rest)
        if epoch == 1:
            torch.nn.init.constant_(self.raw.prime.fusion_head.layers[0].weight, math.nan)
        return found

    monkeypatch.setattr(Pretraining, "train_epoch", then_spoilt)
    with pytest.raises(InputError, match=r"diverged in epoch 2: .*validation loss.*learning_rate") as caught:
        pretrain(made_up_store, experiment(epochs=3), tmp_path)
    assert str(tmp_path) in str(caught.value)
    assert [row["epoch"] for row in log_of(tmp_path)] == [0]
    state = torch.load(tmp_path / "state.pt", weights_only=True)
    assert state["epoch"] == 0
    assert all(bool(v.isfinite().all()) for v in load_checkpoint(tmp_path).model.state_dict().values())


def test_training_that_diverges_stops_at_once(made_up_store: Store, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="diverged in epoch 1: not a number: alignment, consistency"):
        pretrain(made_up_store, experiment(learning_rate=1e36, warmup=0.0), tmp_path)
    assert not (tmp_path / "state.pt").exists()


def test_a_learned_temperature_must_start_in_its_range() -> None:
    with pytest.raises(ValueError, match=r"temperature 0\.7: .* within 0\.01 and 0\.5"):
        PretrainConfig(temperature=0.7, learn_temperature=True)
    assert PretrainConfig(temperature=0.7).temperature == 0.7


def test_a_learned_temperature_is_held_in_training(made_up_store: Store, tmp_path: Path) -> None:
    config = experiment(learn_temperature=True, temperature=0.5, learning_rate=0.5)
    training = Pretraining(made_up_store, config, tmp_path, frozenset(), Devices())
    training.train_epoch(0, 2, 0, lambda *_: None)
    assert 0.01 - 1e-6 <= training.raw.temperature().item() <= 0.5 + 1e-6


def test_warm_up_then_cosine() -> None:
    config = PretrainConfig(learning_rate=1.0, warmup=0.1)
    rates = [learning_rate_at(step, 100, config) for step in range(100)]
    assert rates[:10] == pytest.approx([0.1 * i for i in range(1, 11)])
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert rates[55] == pytest.approx(0.5, abs=0.01)
    assert 0 < rates[-1] < 0.001


def test_only_weight_matrices_decay() -> None:
    model = pretraining_model()
    decayed, others = parameter_groups(model, 0.1)
    names = {id(p): name for name, p in model.named_parameters()}
    assert (decayed["weight_decay"], others["weight_decay"]) == (0.1, 0.0)
    both = [names[id(p)] for p in [*decayed["params"], *others["params"]]]
    assert sorted(both) == sorted(n for n, p in model.named_parameters() if p.requires_grad)
    assert all("weight" in names[id(p)] for p in decayed["params"])
    plain = [names[id(p)] for p in others["params"]]
    assert "prime.bank.prototypes" in plain
    assert any(name.endswith("queries") for name in plain)
    assert not any("norm" in names[id(p)] for p in decayed["params"])


@pytest.mark.parametrize(("batch_size", "processes"), [(16, 3), (4, 4)])
def test_every_process_has_an_equal_share_of_every_batch(
    made_up_store: Store, tmp_path: Path, batch_size: int, processes: int
) -> None:
    """A batch with fewer patients than processes would leave some of them with nothing to compute."""
    training = Pretraining(made_up_store, experiment(batch_size=batch_size), tmp_path, frozenset(), Devices())
    training.fabric = SimpleNamespace(world_size=processes)  # type: ignore[assignment]
    plan = training.epoch_plan(0)
    assert plan
    assert all(len(batch) >= processes and len(batch) % processes == 0 for batch in plan)
    training.fabric.world_size = 60  # type: ignore[misc]
    with pytest.raises(InputError, match="no batch has a patient for each of 60 processes"):
        training.epoch_plan(0)


def shuffled(folder: Path, to: Path, seed: int) -> Store:
    """The made-up cohort with the rows of every table in another order, packed."""
    write_store(folder)
    rng = np.random.default_rng(seed)
    shutil.copytree(folder, to, ignore=shutil.ignore_patterns("store"))
    for name in ("clinical", "genes", "words"):
        table = pd.read_csv(folder / f"{name}.csv")
        table.iloc[rng.permutation(len(table))].to_csv(to / f"{name}.csv", index=False)
    config = Store.open(folder / "store").manifest["config"] | {"root": str(to)}
    return Store.open(pack(CohortConfig.model_validate(config), to / "store", progress=False))


def test_neither_the_order_of_rows_nor_the_number_of_workers_changes_a_weight(tmp_path: Path) -> None:
    store = write_store(tmp_path / "plain")
    other = shuffled(tmp_path / "base", tmp_path / "other", 3)
    assert (tmp_path / "other" / "clinical.csv").read_bytes() != (
        tmp_path / "base" / "clinical.csv"
    ).read_bytes()
    digests = set()
    for number, (data, workers) in enumerate([(store, 1), (other, 1), (store, 0), (store, 3)]):
        out = tmp_path / f"run{number}"
        pretrain(data, experiment({"dropout": 0.1}), out, devices=Devices(loader_workers=workers))
        digests.add(sha256_file(out / "model.safetensors"))
    assert len(digests) == 1
    pd.testing.assert_frame_equal(store.patients, other.patients)

"""A loss is one file and one entry: training, log, curves and ablations follow from the registry."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import Field, ValidationError
from torch import Tensor, nn

from prime.catalogue.losses import LOSSES, Loss, LossSettings
from prime.model.prime import Prime, random_prime
from prime.pretraining.devices import Devices
from prime.pretraining.loop import Pretraining, pretrain
from prime.pretraining.losses.interface import ForwardPass, PretrainingLoss, Tensors, TrainingData
from prime.settings.pretraining import PretrainConfig
from prime.store.inputs import input_spec
from prime.store.store import Store
from prime.study.ablations import without_losses
from tests.made_up import experiment, losses_of, make_batch, patterns_without_nothing, pretraining_model

NONE = {name: {"weight": 0.0} for name in ("alignment", "consistency", "balance")}


class ToySettings(LossSettings):
    """How far a linear map of the fused tokens is from a number."""

    goal: float = Field(default=1.0, gt=0)


class Toy(PretrainingLoss):
    diagnosed = ("values",)

    def __init__(self, settings: LossSettings, prime: Prime, data: TrainingData) -> None:
        super().__init__(settings, prime, data)
        self.map = nn.Linear(prime.config.dim, 1)

    def tensors(self, made: ForwardPass) -> Tensors:
        return {"values": made.by_patient(self.map(made.pooled)).squeeze(-1)}

    def term(self, rows: Tensors, temperature: Tensor) -> Tensor:
        return (rows["values"] - self.settings.goal).square().mean()

    def diagnose(self, rows: Tensors, types: Tensor, modalities: list[str]) -> dict[str, Any]:
        assert rows["values"].shape == (len(types), 2)
        return {"toy_mean": float(rows["values"].mean())}


@pytest.fixture
def toy() -> Iterator[None]:
    LOSSES.add(Loss("toy", f"{__name__}:Toy", ToySettings))
    yield
    LOSSES.remove("toy")


@pytest.mark.usefixtures("toy")
def test_a_new_loss_trains_alone(made_up_store: Store, tmp_path: Path) -> None:
    config = experiment(epochs=3, learning_rate=1e-2, losses={**NONE, "toy": {"weight": 2.0, "goal": 3.0}})
    pretrain(made_up_store, config, tmp_path)
    log = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text(encoding="utf-8").splitlines()]
    for row in log:
        assert {key for key in row if key.startswith("train/")} == {"train/toy", "train/total"}
        assert row["validation/total"] == pytest.approx(2 * row["validation/toy"])
        assert "retrieval" not in row
    assert log[-1]["train/toy"] < log[0]["train/toy"]
    assert abs(log[-1]["toy_mean"] - 3.0) < abs(log[0]["toy_mean"] - 3.0)
    assert (tmp_path / "curves.svg").stat().st_size > 1000
    assert json.loads((tmp_path / "config.json").read_text())["experiment"]["pretrain"]["losses"]["toy"] == {
        "weight": 2.0,
        "goal": 3.0,
    }


@pytest.mark.usefixtures("toy")
def test_a_new_loss_is_an_ablation_and_known_to_messages() -> None:
    assert "No toy loss" not in without_losses(PretrainConfig())
    config = PretrainConfig.model_validate({"losses": {"toy": {"weight": 1.0}}})
    assert without_losses(config)["No toy loss"] == {"pretrain": {"losses": {"toy": {"weight": 0.0}}}}
    with pytest.raises(ValidationError, match="alignment, consistency, prediction, retention, toy a weight"):
        PretrainConfig.model_validate({"losses": NONE})


def test_only_what_a_loss_reads_is_trained(made_up_store: Store, tmp_path: Path) -> None:
    """Alignment alone reads tokenizers and alignment heads; all else stays as it was drawn."""
    config = experiment(losses={"consistency": {"weight": 0.0}, "balance": {"weight": 0.0}})
    training = Pretraining(made_up_store, config, tmp_path, frozenset(), Devices())
    training.train_epoch(0, 2, 0, lambda *_: None)
    start = random_prime(input_spec(made_up_store), config.model, config.seed).state_dict()
    moved = {
        n.split(".")[0] for n, t in training.raw.prime.state_dict().items() if not torch.equal(t, start[n])
    }
    assert moved == {"tokenizers", "alignment_heads"}
    assert set(training.raw.losses) == {"alignment"}
    learning = {name.split(".")[1] for name, p in training.raw.named_parameters() if p.requires_grad}
    assert learning == moved, "what nothing reads is neither exchanged nor decayed"


def test_with_all_losses_nothing_is_frozen_but_the_fixed_temperature(
    made_up_store: Store, tmp_path: Path
) -> None:
    config = experiment(losses={name: {"weight": 0.1} for name in LOSSES})
    training = Pretraining(made_up_store, config, tmp_path, frozenset(), Devices())
    frozen = [name for name, parameter in training.raw.named_parameters() if not parameter.requires_grad]
    assert frozen == ["log_temperature"]


def test_retention_alone_is_an_experiment(made_up_store: Store, tmp_path: Path) -> None:
    config = experiment(epochs=1, losses={**NONE, "retention": {"weight": 1.0, "components": 3}})
    assert config.pretrain.sufficient_losses == ["retention"]
    pretrain(made_up_store, config, tmp_path)
    row = json.loads((tmp_path / "log.jsonl").read_text(encoding="utf-8"))
    assert row["train/total"] == pytest.approx(row["train/retention"])
    assert row["train/total"] > 0


def test_a_loss_that_is_not_named_keeps_its_default() -> None:
    config = PretrainConfig.model_validate({"losses": {"retention": {"weight": 2.0}}})
    assert {name: settings.weight for name, settings in config.used_losses.items()} == {
        "alignment": 0.5,
        "consistency": 0.5,
        "balance": 0.01,
        "retention": 2.0,
    }


def test_balance_alone_teaches_nothing_and_the_last_teacher_is_no_ablation() -> None:
    with pytest.raises(ValidationError, match="nothing to learn from"):
        PretrainConfig.model_validate({"losses": {**NONE, "balance": {"weight": 1.0}}})
    config = PretrainConfig.model_validate({"losses": {"consistency": {"weight": 0.0}}})
    assert set(without_losses(config)) == {"No balance loss"}


def test_the_total_is_the_weighted_sum() -> None:
    weights = {"alignment": 0.3, "consistency": 0.7, "balance": 0.05, "prediction": 2.0}
    model = pretraining_model(weights=weights)
    torch.manual_seed(0)
    losses = losses_of(model, make_batch(patterns_without_nothing(8, 3, 0)))
    assert list(losses) == [*weights, "total"]
    expected = sum(weight * losses[name].item() for name, weight in weights.items())
    assert losses["total"].item() == pytest.approx(expected, rel=1e-6)

"""What a pretraining run starts from: its patients, its network and the learning rate of each step."""

import math

import numpy as np

from prime.arrays import Indices
from prime.catalogue.losses import LOSSES
from prime.errors import InputError
from prime.model.prime import random_prime
from prime.pretraining.losses.interface import TrainingData
from prime.pretraining.network import OpaqueBatch, PretrainingModel
from prime.provenance import source_digest
from prime.settings.experiment import ExperimentConfig
from prime.settings.pretraining import PretrainConfig
from prime.store.batch import Batch
from prime.store.inputs import input_spec
from prime.store.store import Store


def build_model(config: ExperimentConfig, data: TrainingData) -> PretrainingModel:
    """The network of an experiment and the losses that it uses, with the random weights of its seed."""
    prime = random_prime(input_spec(data.store), config.model, config.seed)
    used = config.pretrain.used_losses
    losses = {name: LOSSES[name].build(settings, prime, data) for name, settings in used.items()}
    return PretrainingModel(prime, config.pretrain, losses)


def freeze_unread(model: PretrainingModel, batch: Batch) -> None:
    """Switch off the gradients of all parameters that no loss of this run reads, whatever the batch.

    The alignment heads are such where the alignment loss is off. Data-parallel training would wait for their
    gradients, and weight decay would shrink them. What is read is found with one backward pass of `batch`.
    """
    model.eval()
    model.weigh(model(OpaqueBatch(batch)).rows)["total"].backward()
    for parameter in model.parameters():
        parameter.requires_grad_(parameter.grad is not None)
        parameter.grad = None


def code_of(settings: PretrainConfig) -> str:
    """The digest of the code that a run depends on, the losses that it uses included."""
    places = [LOSSES[name].place.partition(":")[0] for name in settings.used_losses]
    ours = [module for module in places if module.startswith("prime.")]
    return source_digest("prime.pretraining.loop", *ours)


def choose_patients(store: Store, config: PretrainConfig, excluded: frozenset[str]) -> Indices:
    """Positions of the patients who may serve pretraining: any (or complete) modalities, and not excluded."""
    observed = store.observed()
    able = observed.all(axis=1) if config.patients == "complete" else observed.any(axis=1)
    kept_out = store.patients["patient_id"].isin(list(excluded)).to_numpy(dtype=bool)
    chosen = np.flatnonzero(able & ~kept_out)
    if len(chosen) < 10:
        raise InputError(
            f"{store.path}: {len(chosen)} patients are left for pretraining; at least 10 are needed"
        )
    return chosen


def learning_rate_at(step: int, steps: int, config: PretrainConfig) -> float:
    """Linear warm-up, then a cosine down to zero; `step` counts from 0."""
    warmup = max(1, round(config.warmup * steps))
    if step < warmup:
        return config.learning_rate * (step + 1) / warmup
    return config.learning_rate * 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, steps - warmup)))

"""What a pretraining run starts from: its patients, network, optimiser groups and learning rates."""

import math

import numpy as np

from prime.arrays import Indices
from prime.errors import InputError
from prime.model.prime import random_prime
from prime.pretraining.network import AugmentationSettings, PretrainingModel
from prime.pretraining.principal import Components, fit_components, patient_means
from prime.settings.experiment import ExperimentConfig
from prime.settings.pretraining import PretrainConfig
from prime.store.inputs import input_spec
from prime.store.loading import gather_rows
from prime.store.scaling import Scaling
from prime.store.store import Store


def fit_summaries(
    store: Store, scaling: Scaling, patients: Indices, components: int
) -> dict[str, Components]:
    """Principal components of every source within cancer types, from the rows of these patients only."""
    types = np.unique(store.patients["cohort"].to_numpy(dtype=str), return_inverse=True)[1]
    summaries: dict[str, Components] = {}
    for name in store.sources:
        index = store.index(name)
        owners = patients[index[patients, 1] > 0]
        rows = scaling[name](store.values(name)[gather_rows(index, owners)])
        owner = np.repeat(np.arange(len(owners)), index[owners, 1])
        summaries[name] = fit_components(patient_means(rows, owner, len(owners)), types[owners], components)
    return summaries


def build_model(
    store: Store, config: ExperimentConfig, summaries: dict[str, Components] | None = None
) -> PretrainingModel:
    """The network of an experiment, initialised from the experiment's seed."""
    settings = config.pretrain
    return PretrainingModel(
        random_prime(input_spec(store), config.model, config.seed),
        AugmentationSettings(
            settings.drop_modality,
            settings.drop_token,
            settings.kappa,
            settings.top_k,
            settings.dirichlet_noise,
            settings.dirichlet_missing,
            settings.dropped_assignment,
        ),
        settings.temperature,
        settings.learn_temperature,
        settings.prediction_weight > 0,
        summaries,
        settings.hide_input,
    )


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

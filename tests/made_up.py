"""Small made-up inputs, stores and experiments that several test files share."""

from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import h5py
import numpy as np
import pandas as pd
import torch
from torch import Tensor

from prime.catalogue.losses import LOSSES
from prime.cohort.config import CohortConfig
from prime.downstream.grid import Evaluation
from prime.downstream.networks import CheckpointTemplate
from prime.model.checkpoint import WEIGHTS, save_description, save_network
from prime.model.prime import Prime, random_prime
from prime.pretraining.losses.interface import TrainingData
from prime.pretraining.network import OpaqueBatch, PretrainingModel
from prime.settings.experiment import ExperimentConfig
from prime.settings.model import ModelConfig
from prime.settings.pretraining import PretrainConfig
from prime.store.batch import Batch, SourceBatch
from prime.store.inputs import InputSpec, SourceSpec, input_spec
from prime.store.loading import fit_scalings
from prime.store.packing import pack
from prime.store.store import Store

SMALL_MODEL: dict[str, Any] = {
    "dim": 16,
    "queries": 3,
    "heads": 2,
    "mlp_ratio": 2,
    "blocks": 2,
    "experts": 4,
    "prototypes": 8,
    "projection_dim": 8,
}

# Source: kind, width, feature groups.
SOURCES = {
    "tiles": SourceSpec(kind="sequence", dim=5),
    "stats": SourceSpec(kind="vector", dim=4, groups=(0, 0, 1, 1)),
    "genes": SourceSpec(kind="vector", dim=7, groups=(0, 1, 0, 2, 1, 0, 2)),
    "words": SourceSpec(kind="sequence", dim=6),
    "marks": SourceSpec(kind="vector", dim=3, groups=(0, 1, 2)),
}
MODALITIES = {
    "image": ("tiles", "stats"),
    "rna": ("genes",),
    "report": ("words",),
    "blood": ("marks",),
}


def inputs(modalities: int = 3) -> InputSpec:
    """The first `modalities` of four; the first one has two sources, a sequence and a vector."""
    chosen = dict(list(MODALITIES.items())[:modalities])
    names = [name for sources in chosen.values() for name in sources]
    return InputSpec(modalities=chosen, sources={name: SOURCES[name] for name in names})


def model_config(**changes: Any) -> ModelConfig:
    return ModelConfig.model_validate({**SMALL_MODEL, **changes})


def pretraining_model(
    modalities: int = 3,
    seed: int = 0,
    model: dict[str, Any] | None = None,
    spec: InputSpec | None = None,
    weights: dict[str, float] | None = None,
    **pretrain: Any,
) -> PretrainingModel:
    """A small model with the pretraining of the defaults, changed as asked; `weights` of single losses.

    It has no training data, which the retention loss would need.
    """
    losses = {name: {"weight": weight} for name, weight in (weights or {}).items()}
    settings = PretrainConfig.model_validate({"top_k": 4, "losses": losses, **pretrain})
    torch.manual_seed(seed)
    prime = Prime(spec or inputs(modalities), model_config(**(model or {})))
    data = cast(TrainingData, None)
    built = {n: LOSSES[n].build(own, prime, data) for n, own in settings.used_losses.items()}
    return PretrainingModel(prime, settings, built)


def losses_of(model: PretrainingModel, batch: Batch) -> dict[str, Tensor]:
    """The losses of a forward pass and their weighted sum, `total`."""
    return model.weigh(model(OpaqueBatch(batch)).rows)


def patterns_without_nothing(patients: int, modalities: int, seed: int) -> Tensor:
    """(B, M) bool at random, at least one True in every row."""
    generator = torch.Generator().manual_seed(seed)
    observed = torch.rand((patients, modalities), generator=generator) < 0.6
    keep = torch.randint(modalities, (patients,), generator=generator)
    observed[torch.arange(patients), keep] = True
    return observed


def make_batch(observed: Tensor, seed: int = 0, length: int = 4, spec: InputSpec | None = None) -> Batch:
    """A batch with random values in which patient i has modality m where observed (B, M) says so.

    Sequence sources have 1 to `length` real rows; the first of two sources is sometimes absent.
    """
    generator = torch.Generator().manual_seed(seed)
    patients = len(observed)
    spec = spec or inputs(observed.shape[1])
    sources: dict[str, SourceBatch] = {}
    for m, names in enumerate(spec.modalities.values()):
        lacking = torch.rand(patients, generator=generator) < 0.4
        for position, name in enumerate(names):
            facts = spec.sources[name]
            rows = length if facts.kind == "sequence" else 1
            count = torch.randint(1, rows + 1, (patients,), generator=generator)
            mask = (torch.arange(rows) < count[:, None]) & observed[:, m, None]
            if len(names) > 1 and position == 0:
                mask = mask & ~lacking[:, None]
            values = torch.randn((patients, rows, facts.dim), generator=generator)
            sources[name] = SourceBatch(values, mask)
    return Batch(
        tuple(f"p{i}" for i in range(patients)), dict(spec.modalities), sources, torch.zeros(patients).long()
    )


def poison(batch: Batch, value: float = float("nan")) -> Batch:
    """The batch with `value` in every masked row."""
    sources = {
        name: replace(s, values=s.values.masked_fill(~s.token_mask[..., None], value))
        for name, s in batch.sources.items()
    }
    return replace(batch, sources=sources)


def lengthen(batch: Batch, extra: int, value: float) -> Batch:
    """The batch with `extra` more padded rows in every source."""
    sources: dict[str, SourceBatch] = {}
    for name, s in batch.sources.items():
        patients, _, dim = s.values.shape
        more = torch.full((patients, extra, dim), value)
        mask = torch.zeros((patients, extra), dtype=torch.bool)
        sources[name] = SourceBatch(torch.cat([s.values, more], 1), torch.cat([s.token_mask, mask], 1))
    return replace(batch, sources=sources)


def select(batch: Batch, rows: Tensor) -> Batch:
    """The batch of some of its patients, in the given order."""
    sources = {n: SourceBatch(s.values[rows], s.token_mask[rows]) for n, s in batch.sources.items()}
    ids = tuple(batch.patient_ids[i] for i in rows.tolist())
    return replace(batch, patient_ids=ids, sources=sources, cohort_codes=batch.cohort_codes[rows])


def write_store(folder: Path, patients: int = 60, seed: int = 0, present: float = 0.7) -> Store:
    """A packed store of three cancer types and three modalities that share two hidden factors.

    A share `present` of each modality is there; every patient has at least one; some features are NaN. There
    are twelve hospitals.
    """
    rng = np.random.default_rng(seed)
    ids = [f"p{i:03d}" for i in range(patients)]
    factors = rng.normal(size=(patients, 2))
    have = rng.random((patients, 3)) < present
    have[np.arange(patients), rng.integers(0, 3, patients)] = True
    (folder / "tiles").mkdir(parents=True)
    pd.DataFrame(
        {
            "id": ids,
            "type": [("A", "B", "C")[i % 3] for i in range(patients)],
            "hospital": [f"h{i // 3 % 12:02d}" for i in range(patients)],
            "t": (1000 * np.exp(-factors[:, 0]) * rng.exponential(size=patients)).round(1) + 1,
            "e": rng.integers(0, 2, patients),
        }
    ).to_csv(folder / "clinical.csv", index=False)
    for i in np.flatnonzero(have[:, 0]):
        tiles = factors[i] @ rng.normal(size=(2, 6)) + rng.normal(size=(rng.integers(1, 6), 6))
        with h5py.File(folder / "tiles" / f"{ids[i]}.h5", "w") as file:
            file["features"] = tiles.astype(np.float32)
    for column, (name, width) in enumerate((("genes", 12), ("words", 8)), start=1):
        values = factors @ rng.normal(size=(2, width)) + 0.5 * rng.normal(size=(patients, width))
        values[rng.random(values.shape) < 0.05] = np.nan
        table = pd.DataFrame(values, columns=[f"{name}_{i}" for i in range(width)])
        table.insert(0, "patient_id", ids)
        table[have[:, column]].to_csv(folder / f"{name}.csv", index=False)
    config = CohortConfig.model_validate(
        {
            "name": "made-up",
            "root": str(folder),
            "clinical": {
                "format": "table",
                "path": "clinical.csv",
                "patient_id": "id",
                "cohort": "type",
                "site": "hospital",
                "endpoints": {"os": {"time": "t", "event": "e"}},
            },
            "modalities": {
                "image": {"tiles": {"reader": "h5", "path": "tiles", "max_tokens": 4}},
                "rna": {"genes": {"reader": "vector", "path": "genes.csv", "group_size": 4}},
                "report": {"words": {"reader": "vector", "path": "words.csv", "group_size": 4}},
            },
        }
    )
    return Store.open(pack(config, folder / "store", progress=False))


def experiment(model: dict[str, Any] | None = None, **pretrain: Any) -> ExperimentConfig:
    """A small experiment: two epochs in float32 unless changed."""
    return ExperimentConfig.model_validate(
        {
            "cohort": "made-up.yaml",
            "seed": 1,
            "model": {**SMALL_MODEL, **(model or {})},
            "pretrain": {
                "epochs": 2,
                "batch_size": 16,
                "learning_rate": 1e-3,
                "precision": "32-true",
                "top_k": 4,
                **pretrain,
            },
        }
    )


def evaluation_settings(**changes: Any) -> ExperimentConfig:
    """Two folds of two cohorts, a probe and one epoch of fine-tuning."""
    value = experiment().model_dump(mode="json")
    value["evaluate"] = {
        "fold_count": 2,
        "cohorts": ["A", "B"],
        "modes": ["lp", "ft"],
        "bootstrap": 20,
        "probe": {"components": 3, "ridge": [0.1, 1.0]},
        "finetune": {"epochs": 1, "batch_size": 16, "precision": "32-true"},
        **changes,
    }
    return ExperimentConfig.model_validate(value)


def write_checkpoint(folder: Path, store: Store, seen: list[str], seed: int = 0) -> Path:
    """What `prime pretrain` leaves, with random weights and a stated list of patients seen."""
    config = experiment().model_copy(update={"seed": seed})
    model = random_prime(input_spec(store), config.model, seed)
    folder.mkdir(parents=True)
    weights = save_network(folder, model, fit_scalings(store, np.arange(len(store.patients)), 5.0))
    half = len(seen) // 2
    manifest = {"train_patients": seen[:half], "validation_patients": seen[half:]}
    save_description(folder, model, config.model_dump(mode="json"), manifest, {WEIGHTS: weights})
    return folder


def changed_store(store: Store, column: str, patients: list[int], value: object) -> Store:
    """The store with another value in a column of its patients' table, at these positions."""
    frame = store.patients.copy()
    frame.loc[patients, column] = value
    return replace(store, patients=frame)


def planned(
    store: Store, config: ExperimentConfig, checkpoint: Path | None, out: Path, cache: Path | None = None
) -> Evaluation:
    """An evaluation that has done nothing yet."""
    return Evaluation(store, config, checkpoint and CheckpointTemplate(str(checkpoint)), out, cache)

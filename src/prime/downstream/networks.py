"""The networks that an evaluation reads, checkpoints or random weights, and their embeddings on disk."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from prime.arrays import Indices
from prime.downstream.data import EvaluationData
from prime.downstream.embeddings import EmbeddingCache, embed
from prime.file_names import file_name
from prime.files import replacing, sha256_text
from prime.model.checkpoint import WEIGHTS, load_checkpoint
from prime.model.prime import Prime, random_prime
from prime.provenance import source_digest
from prime.sealed import DIGESTS
from prime.settings.experiment import ExperimentConfig
from prime.splits.folds import Fold
from prime.store.inputs import data_identity, input_spec, require_same_inputs
from prime.store.loading import PatientLoader, fit_scalings

FindCheckpoint = Callable[[int, Fold], Path]
CODE = ("prime.downstream.networks",)  # what networks and their embeddings depend on


@dataclass(frozen=True)
class CheckpointTemplate:
    """The checkpoint of a seed and fold: `{seed}`, `{fold}` and `{cohort}` in a path stand for theirs."""

    path: str

    def __call__(self, seed: int, fold: Fold) -> Path:
        """The folder."""
        names = {"{seed}": seed, "{fold}": fold.fold, "{cohort}": file_name(fold.cohort)}
        path = self.path
        for name, value in names.items():
            path = path.replace(name, str(value))
        return Path(path)


@cache
def weights_hash(folder: Path, changed: int) -> str:
    """The hash of a checkpoint's weights, after a check that it is whole; `changed`: its time of change."""
    return str(load_checkpoint(folder).manifest[DIGESTS][WEIGHTS])


class Networks:
    """Checkpoints, networks with random weights, and the embeddings that both give."""

    def __init__(
        self,
        data: EvaluationData,
        config: ExperimentConfig,
        checkpoint: FindCheckpoint | None,
        folder: Path,
        tested: Callable[[int, Fold], Indices],
    ) -> None:
        """`tested` gives whom any task tests in the fold of that seed, cohort and number."""
        self.data, self.config, self.checkpoint, self.folder = data, config, checkpoint, folder
        self.store, self.tested = data.store, tested
        self.device = torch.device("cpu")
        self.held: dict[Path, tuple[Prime, PatientLoader]] = {}

    def checkpoint_path(self, seed: int, fold: Fold) -> Path:
        """The checkpoint folder of a seed and fold."""
        assert self.checkpoint is not None
        return self.checkpoint(seed, fold)

    def identity(self, init: str, seed: int, fold: Fold) -> Any:
        """What the network of a fold depends on."""
        if init == "pretrained":
            folder = self.checkpoint_path(seed, fold)
            weights = folder / WEIGHTS
            return weights_hash(folder, weights.stat().st_mtime_ns if weights.is_file() else 0)
        return [
            self.config.model.model_dump(mode="json"),
            self.config.clip,
            self.config.scaling,
            seed,
            self._scaled_on(seed, fold).tolist(),
        ]

    def _scaled_on(self, seed: int, fold: Fold) -> Indices:
        """Whom the scaling of a network with random weights is fitted on, the same for all tasks and shares.

        Everybody with anything in the cohorts that the fold trains on, labelled or not, whom no task tests in
        a fold of its number.
        """
        return np.setdiff1d(self._everybody([fold.train, fold.validation]), self.tested(seed, fold))

    def _everybody(self, parts: list[Indices]) -> Indices:
        """Everybody with anything in the cohorts of these patients, whatever the task."""
        cohorts = self.store.patients["cohort"].to_numpy(dtype=str)
        mine = np.isin(cohorts, np.unique(cohorts[np.concatenate(parts)]))
        return np.flatnonzero(mine & self.data.observed.any(axis=1))

    def network(self, init: str, seed: int, fold: Fold) -> tuple[Prime, PatientLoader]:
        """The network that serves a fold, with a loader that scales as it was trained."""
        if init == "scratch":
            config = self.config
            who = self._scaled_on(seed, fold)
            scaling = fit_scalings(self.store, who, config.clip, within=config.scaling)
            return self._random(seed).to(self.device), PatientLoader(self.store, scaling)
        path = self.checkpoint_path(seed, fold)
        if path not in self.held:
            loaded = load_checkpoint(path)
            require_same_inputs(loaded.model.inputs, input_spec(self.store), str(path))
            self.held = {path: (loaded.model, PatientLoader(self.store, loaded.scaling))}  # one at a time
        model, loader = self.held[path]
        return model.to(self.device), loader

    def _random(self, seed: int) -> Prime:
        return random_prime(input_spec(self.store), self.config.model, seed)

    def parameters(self, init: str, seed: int, fold: Fold) -> int:
        """Parameters of the network in all."""
        if init == "scratch":
            return sum(p.numel() for p in self._random(seed).parameters())
        return sum(p.numel() for p in self.network(init, seed, fold)[0].parameters())

    def embeddings(self, init: str, seed: int, folds: tuple[Fold, ...]) -> list[EmbeddingCache]:
        """The embeddings of each fold; folds with the same network and patients share one object."""
        members = self._everybody([part for f in folds for part in (f.train, f.validation, f.test)])
        found: dict[str, EmbeddingCache] = {}
        result: list[EmbeddingCache] = []
        for fold in folds:
            key = self._key(init, seed, fold, members)
            if key not in found:
                found[key] = self._embedded(init, seed, fold, members, key)
            result.append(found[key])
        return result

    def _key(self, init: str, seed: int, fold: Fold, members: Indices) -> str:
        facts = {
            "network": self.identity(init, seed, fold),
            "store": data_identity(self.store),
            "patterns": self.data.patterns,
            "members": members.tolist(),
            "readout": self.config.evaluate.probe.readout.model_dump(mode="json"),
            "code": source_digest(*CODE),
        }
        return sha256_text(json.dumps(facts, sort_keys=True))[:16]

    def _embedded(self, init: str, seed: int, fold: Fold, members: Indices, key: str) -> EmbeddingCache:
        """Read the embeddings from disk, or make them and put them there."""
        path = self.folder / f"{key}.safetensors"
        if path.is_file():
            try:
                return _read(path, self.data.patterns)
            except (SafetensorError, KeyError):
                path.unlink()  # damaged: made again
        model, loader = self.network(init, seed, fold)
        made = embed(
            model, loader, self.data.observed, members, self.data.patterns,
            self.config.evaluate.probe.readout,
        )  # fmt: skip
        tensors = {f"row.{name}": torch.from_numpy(row) for name, row in made.row.items()}
        with replacing(path) as temporary:
            save_file({"values": torch.from_numpy(made.values), **tensors}, temporary)
        return made


def _read(path: Path, patterns: dict[str, tuple[bool, ...]]) -> EmbeddingCache:
    tensors = load_file(path)
    rows = {name: tensors[f"row.{name}"].numpy() for name in patterns}
    return EmbeddingCache(tensors["values"].numpy(), rows)

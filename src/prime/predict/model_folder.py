"""A fitted prognosis model on disk: the network's checkpoint, its survival heads, and what it was fitted on.

The folder is a checkpoint (model.safetensors, config.json, manifest.json) with two more files:
heads.safetensors (weights, bin edges, quantiles of the training cohort's risks) and head.json (which head
serves which pattern, what the head reads, the features' names). The manifest is written last and holds the
other files' checksums.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from prime.downstream.probe import FittedHead
from prime.errors import InputError, first_line
from prime.files import read_json, replacing, sha256_file, write_json
from prime.model.checkpoint import (
    MANIFEST,
    WEIGHTS,
    Checkpoint,
    load_checkpoint,
    save_description,
    save_network,
)
from prime.predict.recalibration import RECALIBRATION, Recalibration
from prime.settings.evaluation import ReadoutConfig, TaskConfig
from prime.settings.strict import Strict

HEADS, HEAD = "heads.safetensors", "head.json"
MAKE_ONE = "make a model folder with prime fit"


class HeadDescription(Strict):
    """What head.json holds.

    `heads` gives for each pattern the number of the head that serves it; `feature_names` those of every
    vector source, in order; `attributes` what each source's files stated (encoder).
    """

    task: TaskConfig
    cohorts: tuple[str, ...]
    readout: ReadoutConfig
    heads: dict[str, int]
    ridge: tuple[float, ...]
    feature_names: dict[str, tuple[str, ...]]
    attributes: dict[str, dict[str, str]] = Field(default_factory=dict)


@dataclass(frozen=True)
class FittedModel:
    """A network with survival heads.

    Attributes:
        checkpoint: the network, its scaling, its experiment and its manifest.
        description: the contents of head.json.
        heads: pattern to its head; patterns that share a head name the same one.
        reference: pattern to (101,) float64, percentiles 0 to 100 of the training cohort's risks.
        recalibration: what fits the predicted survival to another place; None where there is none.
    """

    checkpoint: Checkpoint
    description: HeadDescription
    heads: dict[str, FittedHead]
    reference: dict[str, NDArray[np.float64]]
    recalibration: Recalibration | None = None

    @property
    def modalities(self) -> tuple[str, ...]:
        """The model's modalities in their order."""
        return tuple(self.checkpoint.model.inputs.modalities)


def save_model(folder: Path, model: FittedModel, manifest: dict[str, Any]) -> None:
    """Write a model folder; its manifest last, with the checksums of the other files."""
    tensors = {f"reference.{p}": torch.from_numpy(q.copy()) for p, q in model.reference.items()}
    for pattern, number in model.description.heads.items():
        head = model.heads[pattern]
        tensors[f"{number}.weight"] = head.weight.contiguous()
        tensors[f"{number}.bias"] = head.bias.contiguous()
        tensors[f"{number}.edges"] = torch.from_numpy(head.edges.copy())
    save_network(folder, model.checkpoint.model, model.checkpoint.scaling)
    with replacing(folder / HEADS) as temporary:
        save_file(tensors, temporary)
    write_json(folder / HEAD, model.description.model_dump(mode="json"))
    files = [WEIGHTS, HEADS, HEAD]
    if model.recalibration is not None:
        write_json(folder / RECALIBRATION, model.recalibration.model_dump(mode="json"))
        files.append(RECALIBRATION)
    digests = {name: sha256_file(folder / name) for name in files}
    save_description(folder, model.checkpoint.model, model.checkpoint.config, {**manifest, "sha256": digests})


def load_model(folder: Path) -> FittedModel:
    """Read a model folder. Raises InputError where it is missing, none, or damaged."""
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; {MAKE_ONE}")
    if not (folder / HEAD).is_file() or not (folder / MANIFEST).is_file():
        raise InputError(f"{folder}: no {HEAD} and {MANIFEST} here; {MAKE_ONE}")
    files = _verify(folder)
    checkpoint = load_checkpoint(folder)
    try:
        description = HeadDescription.model_validate(read_json(folder / HEAD))
        tensors = load_file(folder / HEADS)
        heads = {p: _head(tensors, n, description.ridge[n]) for p, n in description.heads.items()}
        reference = {p: np.asarray(tensors[f"reference.{p}"]) for p in description.heads}
        bent = (
            Recalibration.model_validate(read_json(folder / RECALIBRATION))
            if RECALIBRATION in files
            else None
        )
    except (SafetensorError, ValidationError, KeyError, IndexError, OSError) as error:
        raise InputError(f"{folder}: damaged model folder ({first_line(error)})") from None
    return FittedModel(checkpoint, description, heads, reference, bent)


def _head(tensors: dict[str, torch.Tensor], number: int, ridge: float) -> FittedHead:
    edges = np.asarray(tensors[f"{number}.edges"])
    return FittedHead(tensors[f"{number}.weight"], tensors[f"{number}.bias"], edges, ridge)


def _verify(folder: Path) -> list[str]:
    """The files that the manifest lists, all as they were written."""
    manifest = read_json(folder / MANIFEST)
    digests = manifest.get("sha256") if isinstance(manifest, dict) else None  # pyright: ignore
    if not isinstance(digests, dict):
        raise InputError(f"{folder / MANIFEST}: not the manifest of a model folder; {MAKE_ONE}")
    for name, digest in digests.items():
        path = folder / str(name)  # pyright: ignore[reportUnknownArgumentType]
        if not path.is_file() or sha256_file(path) != digest:
            raise InputError(
                f"{folder}: damaged model folder: {name} is missing or not as it was written; copy the folder"
                " again or fit again"
            )
    return [str(name) for name in digests]  # pyright: ignore[reportUnknownArgumentType,reportUnknownVariableType]

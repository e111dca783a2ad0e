"""A trained network on disk: safetensors weights and scaling, a JSON config and a JSON manifest."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from prime.errors import InputError, first_line
from prime.files import replacing, sha256_file, write_json
from prime.model.prime import Prime
from prime.parsing import parse_json, read_json
from prime.sealed import read_sealed, require_files, write_sealed
from prime.settings.model import ModelConfig
from prime.store.inputs import InputSpec
from prime.store.scaling import Scaling, SourceScaling

WEIGHTS, CONFIG, MANIFEST = "model.safetensors", "config.json", "manifest.json"
KIND, REMEDY = "checkpoint", "train it again or copy it anew"


@dataclass(frozen=True)
class Checkpoint:
    """A network and everything needed to feed it.

    Attributes:
        model: PRIME with its weights.
        scaling: the feature scaling fitted with it.
        config: the resolved experiment as JSON.
        manifest: version, data hashes, seed, patients seen.
    """

    model: Prime
    scaling: Scaling
    config: dict[str, Any]
    manifest: dict[str, Any]


def scaling_tensors(scaling: Scaling) -> dict[str, torch.Tensor]:
    """A scaling as named tensors; those of cancer types are stacked, their names stand as bytes of JSON."""
    tensors: dict[str, torch.Tensor] = {}
    for name, s in scaling.items():
        tensors[f"scaling.{name}.centre"] = torch.from_numpy(s.centre.copy())
        tensors[f"scaling.{name}.scale"] = torch.from_numpy(s.scale.copy())
        tensors[f"scaling.{name}.clip"] = torch.tensor(s.clip, dtype=torch.float32)
        if s.own:
            types = json.dumps(list(s.own)).encode()
            tensors[f"scaling.{name}.types"] = torch.tensor(list(types), dtype=torch.uint8)
            own = list(s.own.values())
            tensors[f"scaling.{name}.own_centre"] = torch.from_numpy(np.stack([o.centre for o in own]))
            tensors[f"scaling.{name}.own_scale"] = torch.from_numpy(np.stack([o.scale for o in own]))
    return tensors


def scaling_from(tensors: dict[str, torch.Tensor], sources: list[str]) -> Scaling:
    """The inverse of `scaling_tensors`."""
    scaling: Scaling = {}
    for name in sources:
        centre, scale = (np.asarray(tensors[f"scaling.{name}.{part}"]) for part in ("centre", "scale"))
        clip, own = float(tensors[f"scaling.{name}.clip"]), dict[str, SourceScaling]()
        if (written := tensors.get(f"scaling.{name}.types")) is not None:
            centres, scales = (tensors[f"scaling.{name}.own_{part}"] for part in ("centre", "scale"))
            for number, kind in enumerate(parse_json(bytes(written.tolist()), "cancer types")):
                parts = np.asarray(centres[number]), np.asarray(scales[number])
                own[str(kind)] = SourceScaling(*parts, clip)
        scaling[name] = SourceScaling(centre, scale, clip, own)
    return scaling


def save_network(folder: Path, model: Prime, scaling: Scaling) -> str:
    """Write the weights and the scaling to `folder`/model.safetensors, atomically; returns its SHA-256."""
    tensors = {
        f"model.{name}": value.detach().cpu().contiguous() for name, value in model.state_dict().items()
    }
    with replacing(folder / WEIGHTS) as temporary:
        save_file({**tensors, **scaling_tensors(scaling)}, temporary)
        return sha256_file(temporary)


def save_description(
    folder: Path, model: Prime, config: dict[str, Any], manifest: dict[str, Any], digests: dict[str, str]
) -> None:
    """Write config.json (experiment, model and inputs) and manifest.json, which seals the folder.

    `digests` are the checksums of the other files; without that of the weights there is nothing to load yet.
    """
    described = {
        "model": model.config.model_dump(mode="json"),
        "inputs": model.inputs.model_dump(mode="json"),
        "experiment": config,
    }
    write_json(folder / CONFIG, described)
    write_sealed(folder / MANIFEST, manifest, {**digests, CONFIG: sha256_file(folder / CONFIG)})


def load_checkpoint(folder: Path) -> Checkpoint:
    """Read a checkpoint folder, only as it was written.

    Raises InputError where it is missing, damaged, of another shape, or holds numbers that are none.
    """
    if not (folder / WEIGHTS).is_file():
        raise InputError(f"{folder}: no {WEIGHTS} here; give the --out folder of a finished `prime pretrain`")
    manifest = read_sealed(folder / MANIFEST, KIND, REMEDY)
    require_files(folder, manifest, (WEIGHTS, CONFIG), KIND, REMEDY)
    described = read_json(folder / CONFIG)
    try:
        inputs = InputSpec.model_validate(described["inputs"])
        model = Prime(inputs, ModelConfig.model_validate(described["model"]))
        tensors = load_file(folder / WEIGHTS)
        state = {k.removeprefix("model."): v for k, v in tensors.items() if k.startswith("model.")}
        model.load_state_dict(state)
        scaling = scaling_from(tensors, list(inputs.sources))
        experiment = described["experiment"]
        _require_numbers(state, scaling, inputs)
    except (SafetensorError, LookupError, TypeError, RuntimeError, ValueError, OSError) as error:
        reason = first_line(error)
        raise InputError(f"{folder}: damaged checkpoint ({reason}); {REMEDY}") from None
    return Checkpoint(model.eval(), scaling, experiment, manifest)


def _require_numbers(state: dict[str, torch.Tensor], scaling: Scaling, inputs: InputSpec) -> None:
    """Raise ValueError for weights or scalings that are not finite, or a scaling of another width."""
    for name, values in state.items():
        if not bool(values.isfinite().all()):
            raise ValueError(f"{name} holds NaN or an infinite number")
    for name, shared in scaling.items():
        for kind, one in {"": shared, **shared.own}.items():
            if not one.is_sound(inputs.sources[name].dim):
                raise ValueError(f"the scaling of source {name} {kind} is not of positive, finite numbers")

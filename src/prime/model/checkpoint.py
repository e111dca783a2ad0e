"""A trained network on disk: safetensors weights and scaling, a JSON config and a JSON manifest."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from prime.errors import InputError, first_line
from prime.files import replacing, write_json
from prime.model.prime import Prime
from prime.parsing import parse_json, read_json
from prime.settings.model import ModelConfig
from prime.store.inputs import InputSpec
from prime.store.scaling import Scaling, SourceScaling

WEIGHTS, CONFIG, MANIFEST = "model.safetensors", "config.json", "manifest.json"


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


def save_network(folder: Path, model: Prime, scaling: Scaling) -> None:
    """Write the weights and the scaling to `folder`/model.safetensors, atomically."""
    tensors = {
        f"model.{name}": value.detach().cpu().contiguous() for name, value in model.state_dict().items()
    }
    with replacing(folder / WEIGHTS) as temporary:
        save_file({**tensors, **scaling_tensors(scaling)}, temporary)


def save_description(folder: Path, model: Prime, config: dict[str, Any], manifest: dict[str, Any]) -> None:
    """Write config.json (experiment, model and inputs) and manifest.json."""
    described = {
        "model": model.config.model_dump(mode="json"),
        "inputs": model.inputs.model_dump(mode="json"),
        "experiment": config,
    }
    write_json(folder / CONFIG, described)
    write_json(folder / MANIFEST, manifest)


def load_checkpoint(folder: Path) -> Checkpoint:
    """Read a checkpoint folder. Raises InputError where it is missing, damaged or of another shape."""
    if not (folder / WEIGHTS).is_file():
        raise InputError(f"{folder}: no {WEIGHTS} here; give the --out folder of a finished `prime pretrain`")
    described = read_json(folder / CONFIG)
    try:
        inputs = InputSpec.model_validate(described["inputs"])
        model = Prime(inputs, ModelConfig.model_validate(described["model"]))
        tensors = load_file(folder / WEIGHTS)
        state = {k.removeprefix("model."): v for k, v in tensors.items() if k.startswith("model.")}
        model.load_state_dict(state)
        scaling = scaling_from(tensors, list(inputs.sources))
        experiment = described["experiment"]
    except (SafetensorError, ValidationError, KeyError, TypeError, RuntimeError, OSError) as error:
        reason = first_line(error)
        raise InputError(f"{folder}: damaged checkpoint ({reason}); train it again or copy it anew") from None
    return Checkpoint(model.eval(), scaling, experiment, read_json(folder / MANIFEST))

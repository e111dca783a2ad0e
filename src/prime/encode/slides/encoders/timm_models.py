"""Vision transformers in the layout of timm: a folder with `config.json` and the weights.

So UNI, UNI2-h, Virchow, Virchow2, Prov-GigaPath and H-optimus are published. The network is written anew in
`timm_network.py`, because timm itself needs torchvision.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prime.encode.record import UNKNOWN, EncoderRecord
from prime.encode.slides.encoders.interface import (
    EncoderChoice,
    LoadedEncoder,
    Pixels,
    Pooling,
    Precision,
    TileEncoder,
)
from prime.encode.slides.encoders.torch_network import Running, loaded
from prime.encode.slides.encoders.transformers_models import card_licence
from prime.errors import InputError, first_line
from prime.files import sha256_paths
from prime.hub import ModelFiles, model_folder, recorded_name
from prime.parsing import read_json

if TYPE_CHECKING:
    from torch import Tensor

WEIGHTS = ("model.safetensors", "pytorch_model.bin")  # the first that is there
BIN = ModelFiles(  # of the hub, where there are no *.safetensors
    weights=WEIGHTS[1:], others=("config.json", "README.md"), described="config.json and pytorch_model.bin"
)
# Training data of well-known encoders, by their model cards; for others the user states them.
TRAINED_ON = {
    "MahmoodLab/UNI": "Mass-100K",
    "paige-ai/Virchow": "MSKCC",
    "prov-gigapath/prov-gigapath": "Providence",
}


@dataclass(frozen=True)
class TimmEncoder(TileEncoder):
    """A checkpoint of timm.

    Attributes:
        weights: their file.
        config: of timm: `architecture`, `model_args`, `pretrained_cfg`.
    """

    weights: Path
    config: dict[str, Any]

    def load(
        self,
        pooling: Pooling | None = None,
        precision: Precision = "float32",
        device: str = "cpu",
        threads: int = 1,
    ) -> LoadedEncoder:
        """Load it. Raises InputError as any encoder, and where keys are missing, unexpected or do not fit."""
        from prime.encode.slides.encoders.timm_network import TimmViT, pooled, shape_of

        name = f"encoder {self.record.encoder}"
        weights = _read_weights(self.weights, name)
        try:
            shape = shape_of(self.config, {key: tuple(value.shape) for key, value in weights.items()})
        except ValueError as error:
            raise InputError(f"{name}: {error}") from None
        side = self.pixels.side_px
        if side % shape.patch:
            raise InputError(f"{name}: tiles of {side} pixels are not whole patches of {shape.patch}")
        pool = pooling or shape.pooling
        if pool != "mean" and not shape.has_class:
            raise InputError(f"{name}: it has no class token; use --pooling mean")
        network = TimmViT(shape, weights, side // shape.patch).eval()
        running = Running(precision, device, threads)
        return loaded(name, network, lambda x: pooled(network, network(x), pool), self.pixels, running)


def is_timm(folder: Path) -> bool:
    """Whether a folder's `config.json` is timm's, which names an `architecture`."""
    path = folder / "config.json"
    if not path.is_file():
        return False
    found = read_json(path)
    return isinstance(found, dict) and "architecture" in found and "model_type" not in found


def find(choice: EncoderChoice, folder: Path) -> TileEncoder:
    """The checkpoint of a folder: `config.json` and `model.safetensors`, or `pytorch_model.bin`.

    Raises InputError where a file is missing or not usable, or the network is no plain vision transformer.
    """
    name = choice.name
    file = _weights_in(folder) or _weights_in(model_folder(name, BIN, f"encoder {name}").resolve())
    if file is None:
        raise InputError(
            f"encoder {name}: expected {' or '.join(WEIGHTS)} beside config.json, as timm saves it"
        )
    config: dict[str, Any] = read_json(folder / "config.json")
    architecture = str(config["architecture"])
    if not architecture.startswith("vit_") or "clip" in architecture:
        raise InputError(
            f"encoder {name}: architecture {architecture!r} in config.json; read are the vision "
            f"transformers of timm (vit_...), without those of CLIP"
        )
    record = EncoderRecord(
        encoder=recorded_name(name),
        weights=recorded_name(name),
        weights_sha256=sha256_paths([folder / "config.json", file]),
        licence=choice.licence or card_licence(folder),
        trained_on=choice.trained_on or TRAINED_ON.get(name, UNKNOWN),
    )
    return TimmEncoder(record, _pixels(config, name, choice.side_px), file, config)


def _weights_in(folder: Path) -> Path | None:
    return next((folder / each for each in WEIGHTS if (folder / each).is_file()), None)


def _pixels(config: dict[str, Any], name: str, side_px: int | None) -> Pixels:
    """Side, mean and std of `pretrained_cfg`, or of the file itself, as older versions wrote it."""
    stated = config.get("pretrained_cfg") or config
    found = [stated.get(key) for key in ("input_size", "mean", "std")]
    size, mean, std = ([*value] if isinstance(value, list) else [] for value in found)
    if not len(size) == len(mean) == len(std) == 3 or size[0] != 3 or size[1] != size[2]:
        raise InputError(
            f"encoder {name}: config.json needs pretrained_cfg with input_size [3, side, side], mean and "
            f"std of three channels; found {', '.join(sorted(stated))}"
        )
    return Pixels(side_px or int(size[1]), 1 / 255, tuple(map(float, mean)), tuple(map(float, std)))


def _read_weights(path: Path, name: str) -> "dict[str, Tensor]":
    """Tensors by name, float32. Pickles are read as tensors alone, and nothing in them is run."""
    import torch

    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            found: Any = load_file(path)
        else:
            found = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch and safetensors raise many kinds
        raise InputError(f"{name}: {path.name}: {first_line(error)}") from None
    if not isinstance(found, dict) or not all(isinstance(value, torch.Tensor) for value in found.values()):
        raise InputError(f"{name}: {path.name}: holds something else than tensors by name")
    return {str(key): value.float() for key, value in found.items()}

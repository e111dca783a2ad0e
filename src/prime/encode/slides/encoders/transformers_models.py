"""Vision transformers and convolutional networks in the layout of transformers: a folder, or a hub name."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prime.encode.record import UNKNOWN, EncoderRecord
from prime.encode.slides.encoders.interface import (
    EncoderChoice,
    LoadedEncoder,
    Pooling,
    Precision,
    TileEncoder,
)
from prime.encode.slides.encoders.preprocessor import read_pixels
from prime.encode.torch_setup import torch_device
from prime.errors import InputError, first_line
from prime.files import sha256_paths
from prime.hub import OPENED, ModelFiles, model_folder, recorded_name

FILES = ModelFiles(
    weights=("*.safetensors",),
    others=("config.json", "preprocessor_config.json", "README.md"),
    described="config.json, preprocessor_config.json and *.safetensors",
)
# Training data of well-known encoders, by their model cards; for others the user states them.
TRAINED_ON = {
    "owkin/phikon": "TCGA",
    "owkin/phikon-v2": "TCGA, CPTAC, GTEx and other public cohorts",
    "kaiko-ai/midnight": "TCGA",
    "facebook/dinov2-small": "LVD-142M",
    "facebook/dinov2-base": "LVD-142M",
    "facebook/dinov2-large": "LVD-142M",
    "google/vit-base-patch16-224-in21k": "ImageNet-21k",
    "microsoft/resnet-50": "ImageNet-1k",
}
LICENCE = re.compile(r"^license:\s*(\S+)", re.MULTILINE)
# Number of tokens before those of the image; None: the class token and the registers of the configuration.
PREFIX_TOKENS: dict[str, int | None] = {
    "vit": 1, "vit_msn": 1, "deit": 2, "dinov2": 1, "dinov2_with_registers": None, "dinov3_vit": None,
    "swin": 0, "swinv2": 0,
}  # fmt: skip
CONVOLUTIONAL = ("resnet", "regnet", "convnext", "convnextv2")


@dataclass(frozen=True)
class TransformersEncoder(TileEncoder):
    """A checkpoint whose files are in `folder`."""

    folder: Path

    def load(
        self,
        pooling: Pooling | None = None,
        precision: Precision = "float32",
        device: str = "cpu",
        threads: int = 1,
    ) -> LoadedEncoder:
        """Load the weights, and encode an empty tile to find out whether tiles of this side are possible.

        Raises InputError as any encoder, and for an architecture that is in neither table above.
        """
        import torch

        torch.set_num_threads(threads)
        network = Network(self, pooling, precision, device)
        side = self.pixels.side_px
        try:
            probe = network(np.zeros((1, side, side, 3), dtype=np.uint8))
        except InputError:
            raise
        except (RuntimeError, ValueError) as error:
            raise InputError(
                f"{network.name}: it does not take tiles of {side} pixels ({first_line(error)})"
            ) from None
        return LoadedEncoder(probe.shape[1], (), network)


def find(choice: EncoderChoice) -> TileEncoder:
    """Find a checkpoint, in a folder or on the hub.

    It has `config.json`, `preprocessor_config.json` and `*.safetensors`.

    Without the user's, the licence is that of the model card (README.md), and the training data are those of
    TRAINED_ON. `side_px` replaces the side that the preprocessor states.

    Raises:
        InputError: neither a folder nor on the hub, or a file is missing or not usable.
    """
    name = choice.name
    folder = model_folder(name, FILES, f"encoder {name}").resolve()
    weights = sorted(folder.glob("*.safetensors"))
    if not (folder / "config.json").is_file() or not weights:
        raise InputError(
            f"encoder {name}: expected config.json and *.safetensors there, as transformers saves them; "
            f"pickled weights (.bin, .pth, .pt) are not loaded"
        )
    record = EncoderRecord(
        encoder=recorded_name(name),
        weights=recorded_name(name),
        weights_sha256=sha256_paths([folder / "config.json", *weights]),
        licence=choice.licence or _card_licence(folder),
        trained_on=choice.trained_on or TRAINED_ON.get(name, UNKNOWN),
    )
    pixels = read_pixels(folder / "preprocessor_config.json", name, choice.side_px)
    return TransformersEncoder(record, pixels, folder)


def _card_licence(folder: Path) -> str:
    card = folder / "README.md"
    found = LICENCE.search(card.read_text(encoding="utf-8", errors="replace")) if card.is_file() else None
    return found.group(1) if found else UNKNOWN


class Network:
    """A model of transformers, with the function that makes one vector per tile of its output."""

    def __init__(
        self, encoder: TransformersEncoder, pooling: Pooling | None, precision: Precision, device: str
    ) -> None:
        import torch

        self.name = f"encoder {encoder.record.encoder}"
        self._device = torch_device(device)
        self._precision = precision
        self._model = _model(encoder.folder, self.name).to(self._device)
        self._pool = _pooling(self._model.config, pooling, self.name)
        pixels = encoder.pixels
        shape = (1, len(pixels.mean), 1, 1)
        self._scale = pixels.scale
        self._mean = torch.tensor(pixels.mean, device=self._device).reshape(shape)
        self._std = torch.tensor(pixels.std, device=self._device).reshape(shape)

    def __call__(self, tiles: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Features (b, dim) float32 of tiles (b, px, px, 3) uint8."""
        import torch

        kind = torch.device(self._device).type
        lowered = torch.autocast(kind, torch.bfloat16, enabled=self._precision == "bfloat16")
        try:
            pixels = torch.from_numpy(tiles).to(self._device).permute(0, 3, 1, 2).float()
            with torch.inference_mode(), lowered:
                output = self._model(pixel_values=(pixels * self._scale - self._mean) / self._std)
            features = self._pool(output).float().cpu().numpy()
        except torch.OutOfMemoryError:
            raise InputError(f"{self.name}: {len(tiles)} tiles do not fit; lower --batch-size") from None
        if not np.isfinite(features).all():
            raise InputError(f"{self.name}: gives NaN or infinite features; use --precision float32")
        return features


def _model(folder: Path, name: str) -> Any:
    """The model in eval mode, every weight of it from the checkpoint."""
    from transformers import AutoConfig, AutoModel
    from transformers.utils import logging

    logging.disable_progress_bar()
    try:
        config = AutoConfig.from_pretrained(str(folder), **OPENED)
        if config.model_type not in (*PREFIX_TOKENS, *CONVOLUTIONAL):
            known = ", ".join((*PREFIX_TOKENS, *CONVOLUTIONAL))
            raise InputError(f"{name}: model_type {config.model_type!r} in config.json; read are {known}")
        model, info = AutoModel.from_pretrained(
            str(folder), config=config, use_safetensors=True, output_loading_info=True, **OPENED
        )
    except InputError:
        raise
    except Exception as error:  # transformers and safetensors raise many kinds
        raise InputError(f"{name}: {first_line(error)}") from None
    missing = sorted(key for key in info["missing_keys"] if not key.startswith("pooler."))
    if missing:
        raise InputError(
            f"{name}: the weights lack {len(missing)} of the model's tensors, first {missing[0]}"
        )
    return model.float().eval()


def _pooling(config: Any, pooling: Pooling | None, name: str) -> Callable[[Any], Any]:
    """How a model's output becomes (b, dim)."""
    if config.model_type in CONVOLUTIONAL:
        if pooling == "cls":
            raise InputError(f"{name}: a {config.model_type} has no class token; leave --pooling out")
        return lambda output: output.pooler_output.flatten(1)
    prefix = PREFIX_TOKENS[config.model_type]
    prefix = 1 + int(config.num_register_tokens) if prefix is None else prefix
    if prefix == 0 and pooling == "cls":
        raise InputError(f"{name}: a {config.model_type} has no class token; use --pooling mean")
    if prefix == 0 or pooling == "mean":
        return lambda output: output.last_hidden_state[:, prefix:].mean(dim=1)
    return lambda output: output.last_hidden_state[:, 0]

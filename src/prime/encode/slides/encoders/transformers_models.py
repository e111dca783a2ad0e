"""Vision transformers and convolutional networks in the layout of transformers: a folder, or a hub name."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prime.encode.record import UNKNOWN, EncoderRecord
from prime.encode.slides.encoders.interface import (
    EncoderChoice,
    LoadedEncoder,
    Pooling,
    Precision,
    TileEncoder,
)
from prime.encode.slides.encoders.preprocessor import read_pixels
from prime.encode.slides.encoders.torch_network import Running, loaded
from prime.errors import InputError, first_line
from prime.extras import need
from prime.files import sha256_paths
from prime.hub import OPENED, ModelFiles, recorded_name
from prime.libraries import quiet_progress_bars

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
        """Load it. Raises InputError as any encoder, and for an architecture in neither table above."""
        name = f"encoder {self.record.encoder}"
        model = _model(self.folder, name)
        pool = _pooling(model.config, pooling, name)
        running = Running(precision, device, threads)
        return loaded(name, model, lambda pixels: pool(model(pixel_values=pixels)), self.pixels, running)


def find(choice: EncoderChoice, folder: Path) -> TileEncoder:
    """The checkpoint of a folder: `config.json`, `preprocessor_config.json` and `*.safetensors`.

    Without the user's, the licence is that of the model card (README.md), and the training data are those of
    TRAINED_ON. `side_px` replaces the side that the preprocessor states.

    Raises:
        InputError: a file is missing or not usable.
    """
    name = choice.name
    need(f"encoder {name}", "text", "transformers")
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
        licence=choice.licence or card_licence(folder),
        trained_on=choice.trained_on or TRAINED_ON.get(name, UNKNOWN),
    )
    pixels = read_pixels(folder / "preprocessor_config.json", name, choice.side_px)
    return TransformersEncoder(record, pixels, folder)


def card_licence(folder: Path) -> str:
    """The licence that the model card of a folder states, or UNKNOWN."""
    card = folder / "README.md"
    found = LICENCE.search(card.read_text(encoding="utf-8", errors="replace")) if card.is_file() else None
    return found.group(1) if found else UNKNOWN


def _model(folder: Path, name: str) -> Any:
    """The model in eval mode, every weight of it from the checkpoint."""
    quiet_progress_bars()
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
        if pooling not in (None, "mean"):
            raise InputError(f"{name}: a {config.model_type} has no class token; leave --pooling out")
        return lambda output: output.pooler_output.flatten(1)
    prefix = PREFIX_TOKENS[config.model_type]
    prefix = 1 + int(config.num_register_tokens) if prefix is None else prefix
    if prefix == 0 and pooling not in (None, "mean"):
        raise InputError(f"{name}: a {config.model_type} has no class token; use --pooling mean")
    if prefix == 0 or pooling == "mean":
        return lambda output: output.last_hidden_state[:, prefix:].mean(dim=1)
    if pooling == "cls+mean":
        return lambda output: _both(output.last_hidden_state, prefix)
    return lambda output: output.last_hidden_state[:, 0]


def _both(states: Any, prefix: int) -> Any:
    """The class token beside the mean of the image's tokens, (b, 2 dim), of states (b, n, dim)."""
    import torch

    return torch.cat([states[:, 0], states[:, prefix:].mean(dim=1)], dim=-1)

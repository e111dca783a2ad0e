"""Tiles through an encoder: ViT and CNN checkpoints by transformers, and `colour`, which has no weights."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from prime.encode.slides import colour
from prime.encode.slides.checkpoints import Checkpoint
from prime.errors import InputError

Pooling = Literal["cls", "mean"]
Precision = Literal["float32", "bfloat16"]
# Tokens before those of the image; None: the configuration counts registers beside the class token.
PREFIX_TOKENS: dict[str, int | None] = {
    "vit": 1, "vit_msn": 1, "deit": 2, "dinov2": 1, "dinov2_with_registers": None, "dinov3_vit": None,
    "swin": 0, "swinv2": 0,
}  # fmt: skip
CONVOLUTIONAL = ("resnet", "regnet", "convnext", "convnextv2")


@dataclass(frozen=True)
class Encoder:
    """Takes tiles (b, px, px, 3) uint8 to features (b, dim) float32.

    Attributes:
        dim: features a tile.
        feature_names: their names, where they have any.
        encode: the function; raises InputError for features that are not finite, or too little memory.
    """

    dim: int
    feature_names: tuple[str, ...]
    encode: Callable[[NDArray[np.uint8]], NDArray[np.float32]]


def load_encoder(
    checkpoint: Checkpoint,
    pooling: Pooling | None = None,
    precision: Precision = "float32",
    device: str = "cpu",
) -> Encoder:
    """Load an encoder's weights.

    Args:
        checkpoint: from `find_encoder`.
        pooling: of a transformer's tokens: `cls` takes the class token, `mean` averages the image's tokens.
            None takes `cls` where there is such a token. Convolutional networks have their own pooling.
        precision: of the matrix products; features are float32 in any case.
        device: as torch names it, or `auto`: a GPU where there is one.

    Raises:
        InputError: an architecture we do not know, weights that are damaged or incomplete, a side that the
            network does not take, pooling that it does not have, or no such device.
    """
    if checkpoint.folder is None:
        return Encoder(len(colour.FEATURE_NAMES), colour.FEATURE_NAMES, colour.colour_features)
    network = Network(checkpoint, pooling, precision, device)
    side = checkpoint.pixels.side_px
    try:
        probe = network(np.zeros((1, side, side, 3), dtype=np.uint8))
    except InputError:
        raise
    except (RuntimeError, ValueError) as error:
        raise InputError(
            f"{network.name}: it does not take tiles of {side} pixels ({_line(error)})"
        ) from None
    return Encoder(probe.shape[1], (), network)


class Network:
    """A transformers model and how its output becomes one vector a tile."""

    def __init__(
        self, checkpoint: Checkpoint, pooling: Pooling | None, precision: Precision, device: str
    ) -> None:
        import torch

        self.name = f"encoder {checkpoint.record.encoder}"
        self._device = _device(device)
        self._precision = precision
        self._model = _load(checkpoint, self.name).to(self._device)
        self._pool = _pooling(self._model.config, pooling, self.name)
        pixels = checkpoint.pixels
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


def _device(name: str) -> str:
    import torch

    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.empty(0, device=name)
    except (RuntimeError, AssertionError) as error:
        raise InputError(f"--device {name}: {_line(error)}") from None
    return name


def _load(checkpoint: Checkpoint, name: str) -> Any:
    """The model in eval mode, every weight of it from the checkpoint."""
    from transformers import AutoConfig, AutoModel
    from transformers.utils import logging

    logging.disable_progress_bar()
    folder = str(checkpoint.folder)
    try:
        config = AutoConfig.from_pretrained(folder, local_files_only=True)
        if config.model_type not in (*PREFIX_TOKENS, *CONVOLUTIONAL):
            known = ", ".join((*PREFIX_TOKENS, *CONVOLUTIONAL))
            raise InputError(f"{name}: model_type {config.model_type!r} in config.json; read are {known}")
        model, info = AutoModel.from_pretrained(
            folder, config=config, local_files_only=True, use_safetensors=True, output_loading_info=True
        )
    except InputError:
        raise
    except Exception as error:  # transformers and safetensors raise many kinds
        raise InputError(f"{name}: {_line(error)}") from None
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


def _line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]

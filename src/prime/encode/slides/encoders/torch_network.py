"""A network of torch as an encoder of tiles: its input, precision and device, and what can go wrong."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from prime.encode.slides.encoders.interface import LoadedEncoder, Pixels, Precision
from prime.encode.torch_setup import torch_device
from prime.errors import InputError, first_line

if TYPE_CHECKING:
    from torch import Tensor, nn

    Forward = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Running:
    """How a network runs: see `TileEncoder.load`."""

    precision: Precision = "float32"
    device: str = "cpu"
    threads: int = 1


def loaded(
    name: str, network: "nn.Module", forward: "Forward", pixels: Pixels, running: Running
) -> LoadedEncoder:
    """The encoder of a network in eval mode; an empty tile shows whether tiles of this side are possible.

    Args:
        name: what messages begin with.
        network: moved to the device.
        forward: takes its input (b, 3, px, px) to features (b, dim).
        pixels: how tiles become its input.
        running: where and how.

    Raises:
        InputError: the network does not take tiles of this side, or there is no such device.
    """
    import torch

    torch.set_num_threads(running.threads)
    function = _Function(name, network, forward, pixels, running)
    side = pixels.side_px
    try:
        probe = function(np.zeros((1, side, side, 3), dtype=np.uint8))
    except InputError:
        raise
    except (RuntimeError, ValueError) as error:
        raise InputError(f"{name}: it does not take tiles of {side} pixels ({first_line(error)})") from None
    return LoadedEncoder(probe.shape[1], (), function)


class _Function:
    """Features of tiles."""

    def __init__(
        self, name: str, network: "nn.Module", forward: "Forward", pixels: Pixels, running: Running
    ) -> None:
        import torch

        self.name, self._forward, self._scale = name, forward, pixels.scale
        self._device, self._precision = torch_device(running.device), running.precision
        network.to(self._device)
        shape = (1, len(pixels.mean), 1, 1)
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
                output = self._forward((pixels * self._scale - self._mean) / self._std)
            features = output.float().cpu().numpy()
        except torch.OutOfMemoryError:
            raise InputError(f"{self.name}: {len(tiles)} tiles do not fit; lower --batch-size") from None
        if not np.isfinite(features).all():
            raise InputError(f"{self.name}: gives NaN or infinite features; use --precision float32")
        return features

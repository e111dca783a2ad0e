"""Where a pretraining run computes."""

from dataclasses import dataclass
from typing import Any, cast

import torch
from lightning_fabric import Fabric

from prime.precision import resolved


@dataclass(frozen=True)
class Devices:
    """What Lightning Fabric runs on.

    Attributes:
        devices: processes on each machine, one a device.
        nodes: machines.
        accelerator: `cpu`, `gpu`, `cuda`, `mps`, or `auto`.
        precision: `auto`, `bf16-mixed` or `32-true`; None leaves it to the experiment.
    """

    devices: int = 1
    nodes: int = 1
    accelerator: str = "auto"
    precision: str | None = None

    @property
    def _kind(self) -> str:
        """The kind of device that `accelerator` means here."""
        if self.accelerator in ("gpu", "cuda", "auto") and torch.cuda.is_available():
            return "cuda"
        return "mps" if self.accelerator != "cpu" and torch.backends.mps.is_available() else "cpu"

    def fabric(self, configured: str) -> Fabric:
        """A launched Fabric; `configured` is the experiment's precision."""
        many = self.devices * self.nodes > 1
        precision = resolved(self.precision or configured, self._kind)
        fabric = Fabric(
            accelerator=self.accelerator,
            devices=self.devices,
            num_nodes=self.nodes,
            strategy="ddp" if many else "auto",
            precision=cast(Any, precision),
        )
        fabric.launch()
        return fabric

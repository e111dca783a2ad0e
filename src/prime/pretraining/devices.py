"""Where a pretraining run computes."""

from dataclasses import dataclass
from typing import Any, cast

from lightning_fabric import Fabric


@dataclass(frozen=True)
class Devices:
    """What Lightning Fabric runs on.

    Attributes:
        devices: processes on each machine, one a device.
        nodes: machines.
        accelerator: `cpu`, `gpu`, `cuda`, `mps`, or `auto`.
        precision: `bf16-mixed` or `32-true`; None leaves it to the experiment.
    """

    devices: int = 1
    nodes: int = 1
    accelerator: str = "auto"
    precision: str | None = None

    def fabric(self, configured: str) -> Fabric:
        """A launched Fabric; `configured` is the experiment's precision."""
        many = self.devices * self.nodes > 1
        fabric = Fabric(
            accelerator=self.accelerator,
            devices=self.devices,
            num_nodes=self.nodes,
            strategy="ddp" if many else "auto",
            precision=cast(Any, self.precision or configured),
        )
        fabric.launch()
        return fabric

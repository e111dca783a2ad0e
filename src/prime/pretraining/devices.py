"""Where a pretraining run computes."""

from dataclasses import dataclass
from typing import Any, cast

import torch
from lightning_fabric import Fabric

from prime.devices import device_kind
from prime.precision import resolved
from prime.pretraining.launcher import process_environment


@dataclass(frozen=True)
class Devices:
    """What Lightning Fabric runs on.

    Attributes:
        devices: processes on each machine, one a device.
        nodes: machines.
        accelerator: `cpu`, `gpu`, `cuda`, `mps`, or `auto`.
        precision: `auto`, `bf16-mixed` or `32-true`; None leaves it to the experiment.
        loader_workers: threads of a process that make batches ahead of the step; no result depends on them.
        number: of the run among those that share this machine's devices.
    """

    devices: int = 1
    nodes: int = 1
    accelerator: str = "auto"
    precision: str | None = None
    loader_workers: int = 1
    number: int = 0

    def fabric(self, configured: str) -> Fabric:
        """A launched Fabric; `configured` is the experiment's precision.

        Raises InputError as `device_kind` and `process_environment` do.
        """
        many = self.devices * self.nodes > 1
        kind = device_kind(self.accelerator)
        precision = resolved(self.precision or configured, kind)
        chosen = [self.number % torch.cuda.device_count()] if kind == "cuda" and not many else self.devices
        fabric = Fabric(
            accelerator=kind,
            devices=chosen,
            num_nodes=self.nodes,
            strategy="ddp" if many else "auto",
            precision=cast(Any, precision),
            plugins=[process_environment(self.devices, self.nodes)],
        )
        fabric.launch()
        return fabric

"""Which device a process computes on."""

import warnings
from typing import TYPE_CHECKING

from prime.errors import InputError

if TYPE_CHECKING:
    import torch


def device_kind(accelerator: str) -> str:
    """The kind of device (`cpu`, `cuda`, `mps`) that an accelerator means here; `gpu` is any but the first.

    Raises InputError where the machine has none of it.
    """
    import torch

    with warnings.catch_warnings(action="ignore"):  # of a driver that torch cannot use
        there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    wanted = {"auto": ("cuda", "mps", "cpu"), "gpu": ("cuda", "mps")}.get(accelerator, (accelerator,))
    for kind in wanted:
        if there[kind]:
            return kind
    raise InputError(
        f"--accelerator {accelerator}: this machine has no {' or '.join(wanted)} device that torch"
        f" {torch.__version__} can use; take cpu or auto"
    )


def device_of(accelerator: str, number: int = 0) -> "torch.device":
    """The device of the `number`-th process of those that share the machine's; raises as `device_kind`."""
    import torch

    kind = device_kind(accelerator)
    return torch.device(kind, number % torch.cuda.device_count()) if kind == "cuda" else torch.device(kind)

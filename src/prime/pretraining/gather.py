"""One batch over several processes: the tensors of all of them, with gradients that flow back."""

from typing import cast

import torch
from torch import Tensor


def gather(rows: dict[str, Tensor]) -> dict[str, Tensor]:
    """Tensors with a row a patient, each joined over all processes."""
    return {name: gather_rows_with_gradient(tensor) for name, tensor in rows.items()}


def gather_rows_with_gradient(tensor: Tensor) -> Tensor:
    """Rows of all processes in the order of their ranks; gradients flow back to where a row came from.

    Every process computes the same loss of the joined batch. The backward of the gather sums over processes,
    and data-parallel training averages over them, so the gradients are those of a single process.
    """
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return tensor
    if torch.distributed.get_world_size() == 1:
        return tensor
    from torch.distributed.nn.functional import all_gather

    if not tensor.is_floating_point():
        parts = [torch.empty_like(tensor) for _ in range(torch.distributed.get_world_size())]
        torch.distributed.all_gather(parts, tensor.contiguous())
        return torch.cat(parts)
    return torch.cat(cast(tuple[Tensor, ...], all_gather(tensor.contiguous())))

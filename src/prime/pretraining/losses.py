"""The pretraining objective: Eq. 16, from the tensors of one forward pass."""

from collections.abc import Callable
from typing import cast

import torch
from torch import Tensor

from prime.objectives.alignment import alignment_loss
from prime.objectives.balance import balance_loss
from prime.objectives.consistency import consistency_loss
from prime.objectives.prediction import prediction_loss
from prime.objectives.retention import retention_loss
from prime.settings.pretraining import PretrainConfig

Outputs = dict[str, Tensor | list[Tensor]]


def gather_with_gradient(tensor: Tensor) -> Tensor:
    """Rows of all ranks, joined in rank order; gradients flow back to the rank each row came from.

    Every rank computes the same loss of the joined batch. The backward of the gather sums over ranks and
    data-parallel training averages over ranks, so the gradients are those of one process.
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


def gather_outputs(outputs: Outputs) -> Outputs:
    """Every output of the forward pass, joined over ranks along the patients."""
    return {
        name: [gather_with_gradient(v) for v in value]
        if isinstance(value, list)
        else gather_with_gradient(value)
        for name, value in outputs.items()
    }


def _balance(outputs: Outputs, count_imputed: bool) -> Tensor:
    kept = cast(Tensor, outputs["kept"])
    valid = None if count_imputed else kept.flatten()
    parts = [
        balance_loss(p.flatten(0, 1), e.flatten(0, 1), valid)
        for p, e in zip(outputs["probabilities"], outputs["experts"], strict=True)
    ]
    return torch.stack(parts).mean() if parts else kept.new_zeros((), dtype=torch.float32)


def pretraining_losses(outputs: Outputs, temperature: Tensor, config: PretrainConfig) -> dict[str, Tensor]:
    """The loss and its parts (Eq. 16), on the patients of all ranks.

    L = a * alignment + c * consistency + b * balance (+ p * prediction + r * retention, options of ours).
    """
    tensors = {name: value for name, value in outputs.items() if isinstance(value, Tensor)}
    views = tensors["views"]
    parts: dict[str, Callable[[], Tensor]] = {
        "alignment": lambda: alignment_loss(
            tensors["alignment"], tensors["observed"], temperature, config.pair_weighting
        ),
        "consistency": lambda: consistency_loss(views[:, 0], views[:, 1], temperature, config.negatives),
        "balance": lambda: _balance(outputs, config.balance_imputed),
    }
    weights = {
        "alignment": config.alignment_weight,
        "consistency": config.consistency_weight,
        "balance": config.balance_weight,
    }
    if "predicted" in tensors:
        target = tensors["own"][:, None].expand_as(tensors["predicted"])
        hidden = tensors["observed"][:, None, :, None] & ~tensors["kept"]
        parts["prediction"] = lambda: prediction_loss(tensors["predicted"], target, hidden)
        weights["prediction"] = config.prediction_weight
    if "decoded" in tensors:
        parts["retention"] = lambda: retention_loss(
            tensors["decoded"], tensors["summaries"], tensors["has_source"], tensors["components"][0]
        )
        weights["retention"] = config.retention_weight
    losses = {name: part() for name, part in parts.items()}
    losses["total"] = torch.stack([weights[name] * loss for name, loss in losses.items()]).sum()
    return losses

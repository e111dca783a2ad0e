"""Taking over the state of an interrupted run, of which nothing is believed that does not fit."""

from typing import Any

import torch
from torch import Tensor


def restore(model: torch.nn.Module, optimizer: Any, state: dict[str, Any]) -> None:
    """Put the saved weights into the model, and the saved moments into the optimiser.

    Raises ValueError, RuntimeError, KeyError, TypeError or AttributeError where they are not those of this
    model: other names or shapes, or numbers that are none.
    """
    for name, values in state["model"].items():
        _require_finite(name, values)
    parameters: list[Tensor] = [p for group in optimizer.param_groups for p in group["params"]]
    for number, moments in state["optimizer"]["state"].items():
        for name, values in moments.items():
            _require_finite(name, values)
            if values.ndim and values.shape != parameters[number].shape:
                raise ValueError(f"{name} of parameter {number} has shape {tuple(values.shape)}")
    model.load_state_dict(state["model"])
    optimizer.load_state_dict(state["optimizer"])


def _require_finite(name: str, values: Tensor) -> None:
    if not bool(values.isfinite().all()):
        raise ValueError(f"{name} holds NaN or an infinite number")

"""Load balancing of the experts (paper III-D)."""

import torch
from torch import Tensor

from prime.objectives.balance import balance_loss
from prime.pretraining.losses.interface import ForwardPass, PretrainingLoss, Tensors


class Balance(PretrainingLoss):
    """The mean over sparse blocks of how unevenly their experts are used; 0 without a mixture of experts."""

    def tensors(self, made: ForwardPass) -> Tensors:
        """Of L sparse blocks: probabilities (B, L, V*M*K, E), experts (B, L, V*M*K, k); kept (B, V, M, K)."""
        return {
            "probabilities": made.routed("probabilities"),
            "experts": made.routed("experts"),
            "kept": made.by_patient(made.kept),
        }

    def term(self, rows: Tensors, temperature: Tensor) -> Tensor:
        """Mean over blocks; tokens that stand for missing or dropped ones count where `imputed` says so."""
        valid = None if self.settings.imputed else rows["kept"].flatten()
        blocks = zip(rows["probabilities"].unbind(1), rows["experts"].unbind(1), strict=True)
        parts = [balance_loss(p.flatten(0, 1), e.flatten(0, 1), valid) for p, e in blocks]
        return torch.stack(parts).mean() if parts else rows["probabilities"].sum()

"""Consistency of two augmented views of a patient after fusion (paper III-E3, Eq. 14 and 15)."""

from torch import Tensor

from prime.objectives.consistency import consistency_loss
from prime.pretraining.losses.interface import ForwardPass, PretrainingLoss, Tensors


class Consistency(PretrainingLoss):
    """InfoNCE between the pooled, projected views."""

    def tensors(self, made: ForwardPass) -> Tensors:
        """views (B, V, P) on the unit sphere."""
        return {"views": made.by_patient(made.prime.fusion_head(made.pooled))}

    def term(self, rows: Tensors, temperature: Tensor) -> Tensor:
        """Eq. 15."""
        views = rows["views"]
        return consistency_loss(views[:, 0], views[:, 1], temperature, self.settings.negatives)

"""Alignment of a patient's modalities before fusion (paper III-E1, Eq. 10 and 11)."""

from typing import Any

from torch import Tensor

from prime.objectives.alignment import alignment_loss
from prime.pretraining.diagnostics import retrieval
from prime.pretraining.losses.interface import ForwardPass, PretrainingLoss, Tensors


class Alignment(PretrainingLoss):
    """InfoNCE over pairs of modalities, each on the patients who have both."""

    diagnosed = ("embeddings", "observed")

    def tensors(self, made: ForwardPass) -> Tensors:
        """embeddings (B, M, P) on the unit sphere; observed (B, M)."""
        return {"embeddings": made.prime.align(made.own), "observed": made.observed}

    def term(self, rows: Tensors, temperature: Tensor) -> Tensor:
        """Eq. 11."""
        return alignment_loss(rows["embeddings"], rows["observed"], temperature, self.settings.pair_weighting)

    def diagnose(self, rows: Tensors, types: Tensor, modalities: list[str]) -> dict[str, Any]:
        """How often a modality finds its own patient's other one, among all patients and within a type."""
        embeddings, observed = rows["embeddings"], rows["observed"]
        return {
            "retrieval": retrieval(embeddings, observed, None, modalities),
            "retrieval_within_type": retrieval(embeddings, observed, types, modalities),
        }

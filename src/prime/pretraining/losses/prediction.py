"""Prediction of hidden tokens from the fused ones; ours, not the paper's."""

from torch import Tensor, nn

from prime.catalogue.losses import LossSettings
from prime.model.prime import Prime
from prime.objectives.prediction import prediction_loss
from prime.pretraining.losses.interface import ForwardPass, PretrainingLoss, Tensors, TrainingData


class Prediction(PretrainingLoss):
    """Smooth L1 between a two-layer prediction of each token and the own token, where the view hid it."""

    def __init__(self, settings: LossSettings, prime: Prime, data: TrainingData) -> None:
        super().__init__(settings, prime, data)
        dim = prime.config.dim
        self.layers = nn.Sequential(
            nn.LayerNorm(dim), nn.Linear(dim, 2 * dim), nn.GELU(), nn.Linear(2 * dim, dim)
        )

    def tensors(self, made: ForwardPass) -> Tensors:
        """predicted (B, V, M, K, D); target (B, M, K, D); hidden (B, V, M, K) bool."""
        return {
            "predicted": made.by_patient(self.layers(made.fused).float()),
            "target": made.own.detach(),
            "hidden": made.observed[:, None, :, None] & ~made.by_patient(made.kept),
        }

    def term(self, rows: Tensors, temperature: Tensor) -> Tensor:
        """The loss over all hidden tokens of both views."""
        predicted = rows["predicted"]
        return prediction_loss(predicted, rows["target"][:, None].expand_as(predicted), rows["hidden"])

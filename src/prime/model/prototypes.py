"""The shared prototype bank: assignment, consensus and imputation (paper III-C2 and III-C3, Eq. 3 to 6)."""

import torch
from torch import Tensor, nn

from prime.model.attention import normalise
from prime.settings.model import ModelConfig


def assign(tokens: Tensor, prototypes: Tensor, temperature: float, similarity: str) -> Tensor:
    """Soft assignment of each modality over the prototypes (Eq. 3, 4).

    tokens (..., K, D), prototypes (N, K, D). Both are mean-pooled over K, compared by cosine or dot
    product, and softmaxed at `temperature`. Returns (..., N) float32.
    """
    pooled, centres = tokens.float().mean(dim=-2), prototypes.float().mean(dim=-2)
    if similarity == "cosine":
        pooled, centres = normalise(pooled), normalise(centres)
    return (pooled @ centres.T / temperature).softmax(dim=-1)


def consensus(assignments: Tensor, observed: Tensor) -> Tensor:
    """Mean assignment over the observed modalities (Eq. 5).

    assignments (B, M, N), observed (B, M) bool. Returns (B, N).
    Raises ValueError where a patient has no modality: there is nothing to take the mean of.
    """
    count = observed.sum(dim=1, keepdim=True)
    if bool((count == 0).any()):
        raise ValueError("a patient without any observed modality has no consensus; leave such patients out")
    kept = assignments.masked_fill(~observed[..., None], 0.0)
    return kept.sum(dim=1) / count


def mix(weights: Tensor, prototypes: Tensor) -> Tensor:
    """Mixture of prototypes: weights (..., N), prototypes (N, K, D). Returns (..., K, D)."""
    mixed = weights @ prototypes.float().flatten(1)
    return mixed.view(*weights.shape[:-1], *prototypes.shape[1:])


def impute(tokens: Tensor, observed: Tensor, filling: Tensor) -> Tensor:
    """Own tokens where observed, `filling` elsewhere (Eq. 6). All (B, M, K, D); observed (B, M)."""
    return torch.where(observed[..., None, None], tokens.float(), filling)


class PrototypeBank(nn.Module):
    """N learnable prototypes, each a K x D token sequence, shared by all modalities."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.temperature = config.temperature
        self.similarity = config.similarity
        self.detach = config.detach_assignment
        # K tokens share a common part, so that pooled prototypes start apart from each other.
        shared = torch.randn(config.prototypes, 1, config.dim)
        own = torch.randn(config.prototypes, config.queries, config.dim)
        self.prototypes = nn.Parameter((shared + own) * 0.5**0.5)

    def assign(self, tokens: Tensor) -> Tensor:
        """(..., K, D) to (..., N), Eq. 3 and 4, detached where the settings say so."""
        with torch.autocast(tokens.device.type, enabled=False):
            weights = assign(tokens, self.prototypes, self.temperature, self.similarity)
        return weights.detach() if self.detach else weights

    def mix(self, weights: Tensor) -> Tensor:
        """(..., N) to (..., K, D)."""
        with torch.autocast(weights.device.type, enabled=False):
            return mix(weights.float(), self.prototypes)

    def fill(self, agreed: Tensor) -> Tensor:
        """What replaces the missing tokens of patients with consensus (B, N): (B, 1, K, D), any modality."""
        return self.mix(agreed)[:, None]

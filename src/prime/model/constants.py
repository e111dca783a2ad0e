"""What replaces a missing modality in the ablations without prototypes: the same tokens for everyone."""

import torch
from torch import Tensor, nn

from prime.settings.model import ModelConfig


class ConstantTokens(nn.Module):
    """K x D tokens for each modality: all zero, or learned ("mask").

    It has the methods of `PrototypeBank`. As there is nothing to retrieve, the assignment has a single entry
    of weight 1.
    """

    tokens: Tensor

    def __init__(self, modalities: int, config: ModelConfig) -> None:
        super().__init__()
        shape = (modalities, config.queries, config.dim)
        if config.imputation == "mask":
            self.tokens = nn.Parameter(torch.randn(shape) * 0.02)
        else:
            self.register_buffer("tokens", torch.zeros(shape), persistent=config.imputation == "mean")

    def assign(self, tokens: Tensor) -> Tensor:
        """(..., K, D) to (..., 1): weight 1 for the only entry."""
        return torch.ones((*tokens.shape[:-2], 1), device=tokens.device)

    def fill(self, agreed: Tensor) -> Tensor:
        """What replaces missing tokens, (1, M, K, D) float32; `agreed` (B, 1) is not needed."""
        return self.tokens[None]


class MeanTokens(ConstantTokens):
    """The running mean of each modality's tokenizer output over the training patients who have it.

    After a step with n patients of a modality, of mean x, its weight w becomes decay * w + n and its mean
    moves by n / w of the way to x. This is an exponential moving average over steps that is not biased
    towards its start; with decay 1 it is the plain mean of all steps. A step without the modality leaves its
    mean as it is. Zero before the first step.
    """

    weight: Tensor

    def __init__(self, modalities: int, config: ModelConfig) -> None:
        super().__init__(modalities, config)
        self.decay = config.mean_decay
        self.register_buffer("weight", torch.zeros(modalities))

    @torch.no_grad()
    def update(self, own: Tensor, observed: Tensor) -> None:
        """Take in own tokens (B, M, K, D) where observed (B, M) bool; patients of all ranks count alike."""
        kept = observed[..., None, None]
        total = torch.where(kept, own.float(), 0.0).sum(dim=0)  # (M, K, D)
        count = observed.sum(dim=0).to(total.dtype)  # (M,)
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            torch.distributed.all_reduce(total)
            torch.distributed.all_reduce(count)
        weight = torch.where(count > 0, self.decay * self.weight + count, self.weight)
        share = (count / weight.clamp_min(1.0))[:, None, None]  # weight >= count >= 1 wherever count > 0
        mean = total / count.clamp_min(1.0)[:, None, None]
        self.tokens.add_(share * (mean - self.tokens))
        self.weight.copy_(weight)


def constant_tokens(modalities: int, config: ModelConfig) -> ConstantTokens:
    """The constant tokens that the settings ask for: zero, mean or mask."""
    kind = MeanTokens if config.imputation == "mean" else ConstantTokens
    return kind(modalities, config)

"""What the token-based methods share: PRIME's query tokenizers, masked vanilla blocks and masked means."""

import torch
from torch import Tensor, nn

from prime.model.attention import FeedForward, MultiHeadAttention, module_key
from prime.model.tokenizer import ModalityTokenizer
from prime.settings.model import ModelConfig
from prime.store.batch import Batch, SourceBatch
from prime.store.inputs import InputSpec


class Tokenizers(nn.Module):
    """PRIME's query tokenizer for each modality (paper III-C1), trained with the method."""

    def __init__(self, inputs: InputSpec, config: ModelConfig) -> None:
        super().__init__()
        self.names = inputs.modalities
        self.each = nn.ModuleDict(
            {
                module_key(name): ModalityTokenizer({s: inputs.sources[s] for s in sources}, config)
                for name, sources in inputs.modalities.items()
            }
        )
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, batch: Batch) -> Tensor:
        """Tokens (B, M, K, D) of a batch; zeros where a patient lacks the modality."""
        parts = [
            self.each[module_key(name)]({s: batch.sources[s] for s in sources})
            for name, sources in self.names.items()
        ]
        return self.dropout(torch.stack(parts, dim=1).float())


class VanillaBlock(nn.Module):
    """Pre-norm self-attention and feed-forward network, with dropout after each, over tokens that count."""

    def __init__(self, dim: int, config: ModelConfig) -> None:
        super().__init__()
        self.attention_norm, self.norm = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.attention = MultiHeadAttention(dim, config.heads, config.attention)
        self.feed_forward = FeedForward(dim, config.mlp_ratio, config.dropout)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """x (B, S, D), mask (B, S) bool, True = may be attended; each row needs one. Returns (B, S, D)."""
        h = self.attention_norm(x)
        x = x + self.dropout(self.attention(h, h, mask))
        return x + self.dropout(self.feed_forward(self.norm(x)))


class CrossBlock(nn.Module):
    """Pre-norm cross-attention of one sequence over another, then a feed-forward network."""

    def __init__(self, dim: int, config: ModelConfig) -> None:
        super().__init__()
        self.query_norm, self.memory_norm = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.norm = nn.LayerNorm(dim)
        self.attention = MultiHeadAttention(dim, config.heads, config.attention)
        self.feed_forward = FeedForward(dim, config.mlp_ratio, config.dropout)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, x: Tensor, memory: Tensor, mask: Tensor) -> Tensor:
        """x (B, Q, D), memory (B, L, D), mask (B, L) bool of memory. Returns (B, Q, D).

        Where a patient's mask is empty, attention adds nothing and x passes on to the feed-forward network.
        """
        some = mask.any(dim=1)
        safe = mask | ~some[:, None]  # softmax over nothing would be NaN
        mixed = self.attention(self.query_norm(x), self.memory_norm(memory), safe)
        x = x + self.dropout(torch.where(some[:, None, None], mixed, 0.0))
        return x + self.dropout(self.feed_forward(self.norm(x)))


def token_mask(observed: Tensor, tokens: int) -> Tensor:
    """(B, M) bool to (B, M * K): the K tokens of a modality count where it is observed."""
    return observed.repeat_interleave(tokens, dim=1)


def masked_mean(x: Tensor, mask: Tensor) -> Tensor:
    """Mean of the rows that count: x (B, S, D), mask (B, S) bool. Zero where none does. Returns (B, D)."""
    weight = mask[..., None].to(x.dtype)
    return torch.where(mask[..., None], x, 0.0).sum(dim=1) / weight.sum(dim=1).clamp_min(1.0)


def clean(source: SourceBatch) -> Tensor:
    """Values (B, L, d) float32 with zeros in masked places, whatever stood there."""
    return source.values.masked_fill(~source.token_mask[..., None], 0.0).float()

"""Multi-head attention and the feed-forward block, shared by tokenizer and backbone."""

import math
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def attend(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, implementation: str) -> Tensor:
    """Scaled dot-product attention.

    query (B, H, Q, E), key and value (B, H, L, E), mask (B, L) bool with True = may be attended, or None.
    Every row of the mask needs one True. `implementation` is auto, matmul or sdpa: a matrix product and a
    softmax beat the fused kernel on a CPU at these lengths, the fused kernel wins on a GPU.
    Returns (B, H, Q, E).
    """
    bias = None if mask is None else mask[:, None, None, :]  # (B, 1, 1, L)
    if implementation == "sdpa" or (implementation == "auto" and query.is_cuda):
        return F.scaled_dot_product_attention(query, key, value, attn_mask=bias)
    scores = query @ key.transpose(-2, -1) / math.sqrt(query.shape[-1])  # (B, H, Q, L)
    if bias is not None:
        scores = scores.masked_fill(~bias, -math.inf)
    return scores.softmax(dim=-1).to(value.dtype) @ value


class MultiHeadAttention(nn.Module):
    """Attention of a query sequence over a memory sequence, both of width D."""

    def __init__(self, dim: int, heads: int, implementation: Literal["auto", "matmul", "sdpa"]) -> None:
        super().__init__()
        self.heads = heads
        self.implementation = implementation
        self.query = nn.Linear(dim, dim)
        self.key_value = nn.Linear(dim, 2 * dim)
        self.output = nn.Linear(dim, dim)

    def forward(self, x: Tensor, memory: Tensor, mask: Tensor | None = None) -> Tensor:
        """x (B, Q, D), memory (B, L, D), mask (B, L) bool or None. Returns (B, Q, D)."""
        query = self.query(x).unflatten(-1, (self.heads, -1)).transpose(1, 2)  # (B, H, Q, E)
        key, value = self.key_value(memory).unflatten(-1, (2, self.heads, -1)).unbind(dim=2)
        mixed = attend(query, key.transpose(1, 2), value.transpose(1, 2), mask, self.implementation)
        return self.output(mixed.transpose(1, 2).flatten(2))  # (B, Q, D)

    def pool(self, queries: Tensor, memory: Tensor, mask: Tensor) -> Tensor:
        """The same as `forward` for queries (Q, D) that are alike in all rows. Returns (B, Q, D).

        A query is brought back through the key projection once, so that neither keys nor values of the L
        memory tokens are made: q'(Kx) = (K'q)'x, and sum_l a_l Vx_l = V sum_l a_l x_l. That takes 2*Q*H*D
        products a token where `forward` takes 2*D*D. A bias of the keys is the same for all tokens, and the
        softmax takes it away; weights sum to one, so that the bias of the values comes once.
        """
        key, value = self.key_value.weight.unflatten(0, (2, self.heads, -1)).unbind(0)  # (H, E, D)
        query = self.query(queries).unflatten(-1, (self.heads, -1))  # (Q, H, E)
        asked = torch.einsum("qhe,hed->qhd", query, key).flatten(0, 1) / math.sqrt(query.shape[-1])
        scores = asked @ memory.transpose(-2, -1)  # (B, Q*H, L)
        weights = scores.masked_fill(~mask[:, None], -math.inf).softmax(dim=-1).to(memory.dtype)
        seen = (weights @ memory).unflatten(1, (-1, self.heads))  # (B, Q, H, D)
        mixed = torch.einsum("bqhd,hed->bqhe", seen, value).flatten(2)  # (B, Q, D)
        return self.output(mixed + self.key_value.bias[memory.shape[-1] :])


class FeedForward(nn.Sequential):
    """Linear, GELU, Linear."""

    def __init__(self, dim: int, ratio: int, dropout: float) -> None:
        super().__init__(
            nn.Linear(dim, ratio * dim), nn.GELU(), nn.Dropout(dropout), nn.Linear(ratio * dim, dim)
        )


def normalise(x: Tensor) -> Tensor:
    """x scaled to length 1 along its last axis, in float32."""
    return F.normalize(x.float(), dim=-1, eps=1e-6)


def init_linear(module: nn.Module) -> None:
    """Xavier-uniform weights and zero biases for linear layers."""
    if isinstance(module, nn.Linear):
        nn.init.xavier_uniform_(module.weight)
        if module.bias is not None:  # pyright: ignore[reportUnnecessaryComparison]
            nn.init.zeros_(module.bias)


def module_key(name: str) -> str:
    """The key of a user's name in a ModuleDict, which refuses names of its own attributes ("type", "values").

    Such a name gets a "-", which no modality or source name can hold.
    """
    return f"{name}-" if hasattr(nn.ModuleDict(), name) else name


def zeros_like_rows(rows: int, template: Tensor) -> Tensor:
    """A zero tensor with `rows` rows and the remaining shape of `template`."""
    return torch.zeros((rows, *template.shape[1:]), dtype=template.dtype, device=template.device)

"""Layers as loops over tokens in float64, the oracles of networks; weights are read off the modules."""

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from prime.methods.layers.tokens import CrossBlock, VanillaBlock
from prime.model.attention import FeedForward, MultiHeadAttention
from prime.model.heads import HazardHead

Floats = NDArray[np.float64]


def every_pattern(modalities: int = 3) -> Tensor:
    """(2^M - 1, M) bool: every combination of modalities but none, the first modality changing fastest."""
    codes = torch.arange(1, 2**modalities)
    return (codes[:, None] >> torch.arange(modalities)) % 2 == 1


def array(x: Tensor) -> Floats:
    return x.detach().double().numpy()


def linear(layer: nn.Module, x: Floats) -> Floats:
    assert isinstance(layer, nn.Linear)
    y = array(layer.weight) @ x
    return y if layer.bias is None else y + array(layer.bias)  # pyright: ignore[reportUnnecessaryComparison]


def layer_norm(layer: nn.Module, x: Floats) -> Floats:
    assert isinstance(layer, nn.LayerNorm)
    spread = np.sqrt(((x - x.mean()) ** 2).mean() + 1e-5)
    return (x - x.mean()) / spread * array(layer.weight) + array(layer.bias)


def gelu(x: Floats) -> Floats:
    return np.array([0.5 * v * (1 + math.erf(v / math.sqrt(2))) for v in x])


def softmax(x: Floats) -> Floats:
    return np.exp(x - x.max()) / np.exp(x - x.max()).sum()


def sigmoid(x: Floats) -> Floats:
    return 1 / (1 + np.exp(-x))


def attention(layer: MultiHeadAttention, query: Floats, memory: list[Floats]) -> Floats:
    """One query token over the memory tokens, head by head."""
    dim = len(query)
    size = dim // layer.heads
    q = linear(layer.query, query)
    rows = [linear(layer.key_value, token) for token in memory]
    mixed = np.zeros(dim)
    for head in range(layer.heads):
        part = slice(head * size, (head + 1) * size)
        scores = np.array([q[part] @ row[:dim][part] for row in rows]) / math.sqrt(size)
        for weight, row in zip(softmax(scores), rows, strict=True):
            mixed[part] += weight * row[dim:][part]
    return linear(layer.output, mixed)


def feed_forward(layer: FeedForward, x: Floats) -> Floats:
    return linear(layer[3], gelu(linear(layer[0], x)))


def vanilla(block: nn.Module, tokens: list[Floats]) -> list[Floats]:
    assert isinstance(block, VanillaBlock)
    normed = [layer_norm(block.attention_norm, t) for t in tokens]
    x = [t + attention(block.attention, n, normed) for t, n in zip(tokens, normed, strict=True)]
    return [t + feed_forward(block.feed_forward, layer_norm(block.norm, t)) for t in x]


def cross(block: nn.Module, tokens: list[Floats], memory: list[Floats]) -> list[Floats]:
    """Without memory the attention adds nothing."""
    assert isinstance(block, CrossBlock)
    keys = [layer_norm(block.memory_norm, m) for m in memory]
    x = tokens
    if keys:
        x = [t + attention(block.attention, layer_norm(block.query_norm, t), keys) for t in tokens]
    return [t + feed_forward(block.feed_forward, layer_norm(block.norm, t)) for t in x]


def hazard_head(head: HazardHead, features: Floats) -> Floats:
    return linear(head[2], layer_norm(head[1], features))

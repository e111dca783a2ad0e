"""MCAT (Chen et al. 2021): genes ask, image instances answer.

In one picture:

    rna in 6 groups -> SNN each -> 6 tokens G ----------------------> encoder -> pooling --+
                         | queries                                                        +--> MLP -> head
    image -> instances --+--> co-attention -> 6 tokens --------------> encoder -> pooling --+
"""

import math

import torch
from pydantic import Field
from torch import Tensor, nn

from prime.methods.interface import FusionNetwork
from prime.methods.layers.instances import ConcatFusion, GenomicTokens, Instances, PooledEncoder
from prime.model.heads import HazardHead, Prediction
from prime.settings.model import ModelConfig
from prime.settings.strict import Strict
from prime.store.batch import Batch
from prime.store.inputs import InputSpec


class McatSettings(Strict):
    """`groups`: how many genomic tokens (six gene families in the original)."""

    groups: int = Field(default=6, ge=2)


def co_attention(query: Tensor, key: Tensor, value: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """softmax(Q K^T / sqrt(D)) V with one head (MCAT, genomic-guided co-attention), and its weights.

    query (B, G, D), key and value (B, S, D) without NaN, mask (B, S) bool of key and value. Returns
    (B, G, D) and float32 weights (B, G, S), which sum to 1 over S; both are zero for an empty mask.
    """
    scores = (query @ key.transpose(1, 2)).float() / math.sqrt(query.shape[-1])  # (B, G, S)
    safe = mask | ~mask.any(dim=1, keepdim=True)  # softmax over nothing would be NaN
    weights = scores.masked_fill(~safe[:, None], -math.inf).softmax(dim=-1)
    weights = weights.masked_fill(~mask[:, None], 0.0)
    return weights.to(value.dtype) @ value, weights


class GuidedAttention(nn.Module):
    """Genomic-guided co-attention: each genomic token gathers the instances that it asks for.

    Keys have no bias: softmax would remove it.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.query, self.key = nn.Linear(dim, dim), nn.Linear(dim, dim, bias=False)
        self.value, self.output = nn.Linear(dim, dim), nn.Linear(dim, dim)

    def forward(self, genes: Tensor, asks: Tensor, x: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """genes (B, G, D), asks (B,) bool, instances x (B, S, D), mask (B, S) bool.

        Where nobody asks, all queries are zero, so that every instance weighs the same. Returns co-attended
        tokens (B, G, D), zero where there are no instances, and the attention (B, G, S).
        """
        query = torch.where(asks[:, None, None], self.query(genes), 0.0)
        mixed, weights = co_attention(query, self.key(x), self.value(x), mask)
        some = mask.any(dim=1)[:, None, None]
        return torch.where(some, self.output(mixed).float(), 0.0), weights


class Side(nn.Module):
    """Encoder, gated attention pooling, Linear, ReLU, dropout: (B, G, D) to (B, D)."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.encoder = PooledEncoder(config)
        self.finish = nn.Sequential(nn.Linear(config.dim, config.dim), nn.ReLU(), nn.Dropout(config.dropout))

    def forward(self, tokens: Tensor, there: Tensor) -> Tensor:
        """tokens (B, G, D); zero for patients who are not `there` (B,) bool."""
        mask = there[:, None].expand(-1, tokens.shape[1])  # (B, G)
        return torch.where(there[:, None], self.finish(self.encoder(tokens, mask)).float(), 0.0)


class Mcat(FusionNetwork):
    """Genomic-guided co-attention, an encoder a side, concatenation, two layers, head."""

    Settings = McatSettings

    def __init__(
        self, inputs: InputSpec, config: ModelConfig, settings: McatSettings, baseline: Tensor
    ) -> None:
        super().__init__(inputs, config, settings, baseline)
        image, rna = inputs.modalities
        self.instances = Instances(inputs, image, config)
        self.genes = GenomicTokens(inputs, rna, settings.groups, config)
        self.attention = GuidedAttention(config.dim)
        self.image_side, self.rna_side = Side(config), Side(config)
        self.fusion = ConcatFusion(config.dim)
        self.head = HazardHead(config.dim, baseline)

    def forward(self, batch: Batch) -> Prediction:
        """Hazard logits of a batch."""
        has_image, has_rna = batch.observed.unbind(dim=1)
        x, mask = self.instances(batch)  # (B, S, D), (B, S)
        genes = self.genes(batch)  # (B, G, D)
        gathered, _ = self.attention(genes, has_rna, x, mask)  # (B, G, D)
        sides = [self.image_side(gathered, has_image), self.rna_side(genes, has_rna)]
        return Prediction(self.head(self.fusion(torch.cat(sides, dim=1))))

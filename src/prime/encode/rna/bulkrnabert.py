"""BulkRNABert's forward pass (Gelard et al., ML4H 2024), written for PyTorch from its description.

A patient is a sequence of genes in a fixed order. The token of a gene is the embedding of its expression bin
plus its projected gene embedding, and pre-norm transformer blocks follow. There are no positional embeddings,
no class token and no final norm.
"""

from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

QUERIES = 1024  # per call of attention: without a fused kernel 19,062 keys and 8 heads take 0.6 GB in float32


@dataclass(frozen=True)
class BulkRNABertConfig:
    """Sizes of the network; the published ones are the defaults.

    Attributes:
        n_genes: G, the length of the sequence.
        n_bins: bins of expression, rows of their embedding.
        dim: D, of a token.
        gene_dim: of a gene's embedding before its projection to D.
        heads: of attention.
        key_size: dimension of a head.
        hidden: dimension of the feed-forward layer.
        layers: number of blocks.
        normalisation: the log10(1 + TPM) that is scaled to 1, the upper end of the bins.
    """

    normalisation: float
    n_genes: int = 19_062
    n_bins: int = 64
    dim: int = 256
    gene_dim: int = 200
    heads: int = 8
    key_size: int = 32
    hidden: int = 512
    layers: int = 4


def expression_bins(tpm: NDArray[np.float64], config: BulkRNABertConfig) -> NDArray[np.int64]:
    """Bin of each gene's TPM, (G,) to (G,) int64; a missing gene (NaN) counts as 0.

    x = log10(1 + TPM) / normalisation; x = 0 is bin 0, and x in [k/63, (k + 1)/63) bin k + 1. From x = 1 on
    the published tokeniser gives bin 64, for which the embedding has no row; here it is 63, the last one.
    """
    scaled = np.log10(1.0 + np.nan_to_num(tpm)) / config.normalisation
    bins = np.digitize(scaled, np.linspace(0.0, 1.0, config.n_bins))
    return np.where(scaled == 0, 0, np.minimum(bins, config.n_bins - 1)).astype(np.int64)


class BertBlock(nn.Module):
    """x + attention(norm(x)), then x + feed-forward(norm(x)), with a GELU."""

    def __init__(self, config: BulkRNABertConfig) -> None:
        super().__init__()
        inner = config.heads * config.key_size
        self.heads = config.heads
        self.attention_norm = nn.LayerNorm(config.dim)
        self.query = nn.Linear(config.dim, inner)
        self.key = nn.Linear(config.dim, inner)
        self.value = nn.Linear(config.dim, inner)
        self.output = nn.Linear(inner, config.dim)
        self.hidden_norm = nn.LayerNorm(config.dim)
        self.widen = nn.Linear(config.dim, config.hidden)
        self.narrow = nn.Linear(config.hidden, config.dim)

    def forward(self, tokens: Tensor, rows: Tensor | None = None) -> Tensor:
        """Tokens (G, D) to (G, D), or to (L, D) for `rows` (L,) only, which still attend to every token."""
        normed = self.attention_norm(tokens)
        chosen, kept = (normed, tokens) if rows is None else (normed[rows], tokens[rows])
        kept = kept + self.output(self._attend(self.query(chosen), self.key(normed), self.value(normed)))
        return kept + self.narrow(functional.gelu(self.widen(self.hidden_norm(kept))))

    def _attend(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """Attention of (L, H) queries over (G, H) keys, QUERIES rows at a time; (L, H)."""
        heads = [part.unflatten(1, (self.heads, -1)).transpose(0, 1) for part in (key, value)]
        parts = [
            functional.scaled_dot_product_attention(
                part.unflatten(1, (self.heads, -1)).transpose(0, 1)[None], heads[0][None], heads[1][None]
            )[0]
            for part in query.split(QUERIES)
        ]
        return torch.cat(parts, dim=1).transpose(0, 1).flatten(1)


class BulkRNABert(nn.Module):
    """The encoder, without its language-model head."""

    def __init__(self, config: BulkRNABertConfig) -> None:
        super().__init__()
        self.config = config
        self.expression = nn.Embedding(config.n_bins, config.dim)
        self.gene = nn.Embedding(config.n_genes, config.gene_dim)
        self.project = nn.Linear(config.gene_dim, config.dim)
        self.blocks = nn.ModuleList(BertBlock(config) for _ in range(config.layers))

    def forward(self, bins: Tensor, rows: Tensor | None = None) -> Tensor:
        """One patient's bins (G,) int64 to the last block's tokens (G, D), or those of `rows` (L,), (L, D).

        Choosing rows does not change their tokens; it only saves computing the others in the last block.
        """
        tokens = self.expression(bins) + self.project(self.gene.weight)
        blocks = [cast(BertBlock, block) for block in self.blocks]
        for block in blocks[:-1]:
            tokens = block(tokens)
        return cast(Tensor, blocks[-1](tokens, rows))

"""What the methods of image and genes share: image instances, genomic tokens, and how both are read."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from prime.errors import InputError
from prime.methods.layers.attention_pooling import GatedAttentionPooling
from prime.methods.layers.snn_blocks import SelfNormalisingBlock
from prime.methods.layers.tokens import clean, masked_mean
from prime.model.attention import MultiHeadAttention, module_key
from prime.model.projections import pad_tokens, source_projection
from prime.settings.model import ModelConfig
from prime.store.batch import Batch
from prime.store.inputs import InputSpec

LAYERS = 2  # of a post-norm encoder, as in MCAT and PathOmics


class Instances(nn.Module):
    """The rows of one modality as a bag of instances of width D: projection, ReLU, dropout.

    A row of a sequence source is one instance (LayerNorm and Linear); a vector source gives one instance a
    feature group, as in PRIME's tokenizer.
    """

    def __init__(self, inputs: InputSpec, modality: str, config: ModelConfig) -> None:
        super().__init__()
        self.sources = inputs.modalities[modality]
        self.projections = nn.ModuleDict()
        for name in self.sources:
            self.projections[module_key(name)] = source_projection(inputs.sources[name], config.dim)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Instances (B, S, D), float32, of all sources in order; mask (B, S) bool. Masked places are zero."""
        tokens: list[Tensor] = []
        masks: list[Tensor] = []
        for name in self.sources:
            source = batch.sources[name]
            projected = self.projections[module_key(name)](source.rows)
            padded, mask = pad_tokens(projected.float(), source.token_mask)
            tokens.append(padded)
            masks.append(mask)
        x, mask = torch.cat(tokens, dim=1), torch.cat(masks, dim=1)  # (B, S, D), (B, S)
        return self.dropout(x.relu()).masked_fill(~mask[..., None], 0.0), mask


def contiguous_means(rows: Tensor, mask: Tensor, chunks: int) -> Tensor:
    """Means of each patient's real rows in G contiguous chunks of sizes that differ by one at most.

    rows (B, L, d) without NaN, mask (B, L) bool: row r of n real ones belongs to chunk floor(r * G / n),
    wherever the padding is. Returns (B, G, d), zero for a chunk without rows.
    """
    rank = mask.cumsum(dim=1) - 1  # (B, L): the running number of a real row
    chunk = rank * chunks // mask.sum(dim=1, keepdim=True).clamp_min(1)
    member = (chunk[..., None] == torch.arange(chunks, device=mask.device)) & mask[..., None]  # (B, L, G)
    weight = member.to(rows.dtype)
    total = torch.einsum("blg,bld->bgd", weight, rows)
    return total / weight.sum(dim=1)[..., None].clamp_min(1.0)


class GenomicTokens(nn.Module):
    """One modality as G tokens of width D: G contiguous chunks, two self-normalising blocks for each.

    Chunk g holds the g-th part of the features of all vector sources, one source after the other, and the
    mean of the g-th part of the rows of each sequence source (each row normalised first). Zeros stand for an
    absent source.
    """

    def __init__(self, inputs: InputSpec, modality: str, chunks: int, config: ModelConfig) -> None:
        """Build. Raises InputError where vectors alone have fewer features than there are chunks."""
        super().__init__()
        specs = {name: inputs.sources[name] for name in inputs.modalities[modality]}
        self.count = chunks
        self.vectors = [name for name, spec in specs.items() if spec.kind == "vector"]
        self.sequences = [name for name, spec in specs.items() if spec.kind == "sequence"]
        features = sum(specs[name].dim for name in self.vectors)
        if not self.sequences and features < chunks:
            raise InputError(
                f"{features} features of modality {modality!r} cannot be cut into {chunks} groups:"
                " set fewer `groups` in comparison.settings, or leave the method out"
            )
        rest = sum(specs[name].dim for name in self.sequences)
        widths = [len(part) + rest for part in torch.arange(features).tensor_split(chunks)]
        self.networks = nn.ModuleList(
            nn.Sequential(
                SelfNormalisingBlock(width, config.dim, "elu", config.dropout),
                SelfNormalisingBlock(config.dim, config.dim, "elu", config.dropout),
            )
            for width in widths
        )

    def chunks(self, batch: Batch) -> list[Tensor]:
        """The G chunks: (B, width of the chunk) each, float32."""
        parts: list[list[Tensor]] = [[] for _ in range(self.count)]
        if self.vectors:
            vectors = [batch.sources[name] for name in self.vectors]
            joined = torch.cat([masked_mean(clean(s).float(), s.token_mask) for s in vectors], dim=1)
            for part, chunk in zip(parts, joined.tensor_split(self.count, dim=1), strict=True):
                part.append(chunk)
        for name in self.sequences:
            source = batch.sources[name]
            rows = clean(source).float()
            means = contiguous_means(F.layer_norm(rows, rows.shape[-1:]), source.token_mask, self.count)
            for part, chunk in zip(parts, means.unbind(dim=1), strict=True):
                part.append(chunk)
        return [torch.cat(part, dim=1) for part in parts]

    def forward(self, batch: Batch) -> Tensor:
        """Tokens (B, G, D), float32. For a patient without the modality they mean nothing."""
        pairs = zip(self.networks, self.chunks(batch), strict=True)
        return torch.stack([network(chunk) for network, chunk in pairs], dim=1).float()


class PostNormBlock(nn.Module):
    """Self-attention and a feed-forward network (2 D, ReLU), each followed by dropout, sum and LayerNorm."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        dim = config.dim
        self.attention = MultiHeadAttention(dim, config.heads, config.attention)
        self.feed_forward = nn.Sequential(
            nn.Linear(dim, 2 * dim), nn.ReLU(), nn.Dropout(config.dropout), nn.Linear(2 * dim, dim)
        )
        self.attention_norm, self.norm = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """x (B, S, D), mask (B, S) bool, True = may be attended; each row needs one. Returns (B, S, D)."""
        x = self.attention_norm(x + self.dropout(self.attention(x, x, mask)))
        return self.norm(x + self.dropout(self.feed_forward(x)))


class PooledEncoder(nn.Module):
    """Two post-norm blocks over a set of tokens and gated attention pooling."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(PostNormBlock(config) for _ in range(LAYERS))
        self.pooling = GatedAttentionPooling(config.dim, config.dim, config.dropout)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """x (B, S, D) without NaN, mask (B, S) bool. Returns (B, D), float32, zero where no token counts."""
        safe = mask | ~mask.any(dim=1, keepdim=True)  # softmax over nothing would be NaN
        for block in self.blocks:
            x = block(x, safe)
        return self.pooling(x, mask)


class ConcatFusion(nn.Sequential):
    """Two vectors (B, 2 D), one after the other, to (B, D): Linear and ReLU, twice."""

    def __init__(self, dim: int) -> None:
        super().__init__(nn.Linear(2 * dim, dim), nn.ReLU(), nn.Linear(dim, dim), nn.ReLU())

"""Query tokenizers: every modality becomes K tokens of width D (paper III-C1, Eq. 2)."""

import torch
from torch import Tensor, nn

from prime.model.attention import FeedForward, MultiHeadAttention, module_key, zeros_like_rows
from prime.model.projections import pad_tokens, source_projection
from prime.settings.model import ModelConfig
from prime.store.batch import SourceBatch
from prime.store.inputs import SourceSpec


def hide_tokens(mask: Tensor, rate: float) -> Tensor:
    """A mask (B, L) with a share `rate` of its real tokens hidden at random; every row keeps at least one."""
    noise = torch.where(mask, torch.rand(mask.shape, device=mask.device), -1.0)
    rescued = torch.zeros_like(mask).scatter(1, noise.argmax(dim=1, keepdim=True), True)
    return mask & ((noise >= rate) | rescued)


class ModalityTokenizer(nn.Module):
    """K learned queries attend over all tokens of all present sources of one modality (Eq. 2)."""

    def __init__(self, sources: dict[str, SourceSpec], config: ModelConfig) -> None:
        super().__init__()
        dim = config.dim
        self.projections = nn.ModuleDict()
        for name, spec in sources.items():
            self.projections[module_key(name)] = source_projection(spec, dim)
        self.source_norm = nn.ModuleDict({module_key(name): nn.LayerNorm(dim) for name in sources})
        self.queries = nn.Parameter(torch.randn(config.queries, dim))
        self.attention = MultiHeadAttention(dim, config.heads, config.attention)
        self.norm = nn.LayerNorm(dim)
        self.feed_forward = FeedForward(dim, config.mlp_ratio, config.dropout)
        self.output_norm = nn.LayerNorm(dim)

    def forward(self, sources: dict[str, SourceBatch], hide: float = 0.0) -> Tensor:
        """Tokens (B, K, D) of the patients; zero for a patient without any of the sources.

        `hide` is the share of input tokens hidden at random, for pretraining.
        Only patients who have the modality are computed; padding is masked and can hold anything.
        """
        present = torch.stack([s.token_mask.any(dim=1) for s in sources.values()]).any(dim=0)  # (B,)
        rows = present.nonzero().squeeze(1)
        if len(rows) == 0:  # keep every parameter in the graph, so that ranks stay in step
            touched = sum((p.sum() * 0.0 for p in self.parameters()), self.queries.new_zeros(()))
            return self.queries.new_zeros((len(present), *self.queries.shape)) + touched
        tokens, masks = zip(*(self._project(name, s, rows) for name, s in sources.items()), strict=True)
        memory, mask = torch.cat(tokens, dim=1), torch.cat(masks, dim=1)  # (b, L, D), (b, L)
        if hide > 0.0:
            mask = hide_tokens(mask, hide)
        x = self.queries + self._attend(memory, mask)  # (b, K, D)
        x = self.output_norm(x + self.feed_forward(self.norm(x)))
        return zeros_like_rows(len(present), x).index_copy(0, rows, x)  # (B, K, D)

    def _attend(self, memory: Tensor, mask: Tensor) -> Tensor:
        """The queries over memory (b, L, D); by `attention: auto`, in the way that takes fewer products."""
        attention, queries = self.attention, self.queries
        folds = queries.shape[0] * attention.heads < queries.shape[1]
        if folds and attention.implementation == "auto":
            return attention.pool(queries, memory, mask)
        return attention(queries.expand(len(memory), -1, -1), memory, mask)

    def _project(self, name: str, source: SourceBatch, patients: Tensor) -> tuple[Tensor, Tensor]:
        """Tokens (b, L*G, D) of a source of these patients, all who have any, and their mask."""
        key = module_key(name)
        tokens = self.source_norm[key](self.projections[key](source.rows))
        return pad_tokens(tokens, source.token_mask[patients])

"""Query tokenizers: every modality becomes K tokens of width D (paper III-C1, Eq. 2)."""

import torch
from torch import Tensor, nn

from prime.model.attention import FeedForward, MultiHeadAttention, module_key, zeros_like_rows
from prime.settings.model import ModelConfig
from prime.store.batch import SourceBatch
from prime.store.inputs import SourceSpec


def hide_tokens(mask: Tensor, rate: float) -> Tensor:
    """A mask (B, L) with a share `rate` of its real tokens hidden at random; every row keeps at least one."""
    noise = torch.where(mask, torch.rand(mask.shape, device=mask.device), -1.0)
    rescued = torch.zeros_like(mask).scatter(1, noise.argmax(dim=1, keepdim=True), True)
    return mask & ((noise >= rate) | rescued)


class SequenceProjection(nn.Module):
    """Rows of a sequence source to tokens: LayerNorm and Linear."""

    def __init__(self, dim_in: int, dim: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(dim_in)
        self.linear = nn.Linear(dim_in, dim)

    def forward(self, values: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """values (B, L, d), mask (B, L). Returns tokens (B, L, D) and their mask (B, L)."""
        return self.linear(self.norm(values)), mask


class GroupProjection(nn.Module):
    """A vector source to tokens: one token a feature group, each group with weights of its own.

    With the whole vector as one token, all K queries would read the same value.
    """

    index: Tensor
    valid: Tensor

    def __init__(self, groups: tuple[int, ...], dim: int) -> None:
        super().__init__()
        members = [[i for i, g in enumerate(groups) if g == group] for group in sorted(set(groups))]
        width = max(len(m) for m in members)
        index = torch.tensor([m + [0] * (width - len(m)) for m in members])  # (G, W)
        valid = torch.tensor([[True] * len(m) + [False] * (width - len(m)) for m in members])
        self.register_buffer("index", index, persistent=False)
        self.register_buffer("valid", valid, persistent=False)
        self.weight = nn.Parameter(torch.empty(len(members), width, dim))
        self.bias = nn.Parameter(torch.empty(len(members), dim))
        scale = valid.sum(dim=1).float().rsqrt()[:, None, None]
        with torch.no_grad():
            self.weight.normal_().mul_(scale)
            self.bias.normal_().mul_(0.5)

    def forward(self, values: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """values (B, L, d), mask (B, L). Returns tokens (B, L*G, D) and their mask (B, L*G)."""
        grouped = values[..., self.index] * self.valid  # (B, L, G, W)
        tokens = torch.einsum("blgw,gwd->blgd", grouped, self.weight) + self.bias
        groups = self.index.shape[0]
        return tokens.flatten(1, 2), mask.repeat_interleave(groups, dim=1)


class ModalityTokenizer(nn.Module):
    """K learned queries attend over all tokens of all present sources of one modality (Eq. 2)."""

    def __init__(self, sources: dict[str, SourceSpec], config: ModelConfig) -> None:
        super().__init__()
        dim = config.dim
        self.projections = nn.ModuleDict()
        for name, spec in sources.items():
            self.projections[module_key(name)] = (
                SequenceProjection(spec.dim, dim)
                if spec.groups is None
                else GroupProjection(spec.groups, dim)
            )
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
        tokens, masks = zip(*(self._project(name, s, rows) for name, s in sources.items()), strict=True)
        if len(rows) == 0:  # keep every parameter in the graph, so that ranks stay in step
            touched = sum((p.sum() * 0.0 for p in self.parameters()), self.queries.new_zeros(()))
            return self.queries.new_zeros((len(present), *self.queries.shape)) + touched
        memory, mask = torch.cat(tokens, dim=1), torch.cat(masks, dim=1)  # (b, L, D), (b, L)
        if hide > 0.0:
            mask = hide_tokens(mask, hide)
        queries = self.queries.expand(len(rows), -1, -1)  # (b, K, D)
        x = queries + self.attention(queries, memory, mask)
        x = self.output_norm(x + self.feed_forward(self.norm(x)))
        return zeros_like_rows(len(present), x).index_copy(0, rows, x)  # (B, K, D)

    def _project(self, name: str, source: SourceBatch, rows: Tensor) -> tuple[Tensor, Tensor]:
        mask = source.token_mask[rows]
        values = source.values[rows].masked_fill(~mask[..., None], 0.0)
        key = module_key(name)
        tokens, token_mask = self.projections[key](values, mask)
        return self.source_norm[key](tokens), token_mask

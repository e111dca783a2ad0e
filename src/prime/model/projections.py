"""From the rows of a source to tokens of width D: real rows only, so that padding costs nothing."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from prime.store.inputs import SourceSpec


class SequenceProjection(nn.Module):
    """Rows of a sequence source to tokens: LayerNorm and Linear.

    Gain and bias of the norm enter through the linear layer's weights, so that nothing of the size of the
    rows is kept, or differentiated, beside their normalised values.
    """

    def __init__(self, dim_in: int, dim: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(dim_in)
        self.linear = nn.Linear(dim_in, dim)

    def forward(self, rows: Tensor) -> Tensor:
        """Rows (n, d) to tokens (n, 1, D)."""
        norm, linear = self.norm, self.linear
        alike = F.layer_norm(rows, norm.normalized_shape, eps=norm.eps)
        weight, bias = linear.weight * norm.weight, linear.bias + linear.weight @ norm.bias
        return F.linear(alike, weight, bias)[:, None]


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

    def forward(self, rows: Tensor) -> Tensor:
        """Rows (n, d) to tokens (n, G, D)."""
        grouped = rows[:, self.index] * self.valid  # (n, G, W)
        return torch.einsum("ngw,gwd->ngd", grouped, self.weight) + self.bias


def source_projection(spec: SourceSpec, dim: int) -> SequenceProjection | GroupProjection:
    """The projection of a source: one token a row, or one a feature group of its vector."""
    return SequenceProjection(spec.dim, dim) if spec.groups is None else GroupProjection(spec.groups, dim)


def pad_tokens(tokens: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """Tokens (n, G, D) of the n True places of `mask` (B, L), row by row: (B, L*G, D), and mask (B, L*G)."""
    padded = tokens.new_zeros((*mask.shape, *tokens.shape[1:])).masked_scatter(mask[..., None, None], tokens)
    return padded.flatten(1, 2), mask.repeat_interleave(tokens.shape[1], dim=1)

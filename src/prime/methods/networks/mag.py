"""The multimodal adaptation gate: one modality is the anchor, and the others shift its tokens.

In one picture:

    image (anchor) tokens x --------------------+
    rna, report tokens -> gates with x -> h ----+--> x + alpha h -> LayerNorm -> 3 blocks -> mean -> head
                                                     alpha = min(beta |x| / |h|, 1), each token by itself
"""

import math
from typing import Any, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from prime.errors import InputError
from prime.methods.interface import FusionNetwork
from prime.methods.layers.tokens import Tokenizers, VanillaBlock, masked_mean
from prime.model.attention import init_linear
from prime.model.heads import HazardHead, Prediction
from prime.settings.model import ModelConfig
from prime.settings.strict import Strict
from prime.store.batch import Batch
from prime.store.inputs import InputSpec

REFERENCE = "Rahman et al., Integrating multimodal information in large pretrained transformers, ACL 2020"
MISSING = (
    "a missing other modality shifts nothing; with the anchor missing its tokens are zeros and the shift is"
    " taken in full (alpha 1), since scaling it to the length of zeros would let nothing through"
)
EPSILON = 1e-6


class MAGSettings(Strict):
    """How the others shift the anchor.

    `anchor` names a modality of the cohort; None is the first. `gates`: one number a token, or a vector of
    the token's width. `beta` bounds the shift's length by that of the anchor's token: scalar gates start from
    it, vector gates keep it.
    """

    gates: Literal["scalar", "vector"]
    beta: float = Field(gt=0)
    anchor: str | None = None


def shift_weight(anchor: Tensor, shift: Tensor, beta: Tensor | float) -> Tensor:
    """alpha = min(beta |x| / (|h| + 1e-6), 1) (Rahman et al. 2020), of each token by itself.

    anchor x and shift h (B, K, D). Returns (B, K, 1) float32; its gradient is finite where a length is zero.
    """
    length = torch.linalg.vector_norm(anchor.float(), dim=-1, keepdim=True)  # (B, K, 1)
    by = torch.linalg.vector_norm(shift.float(), dim=-1, keepdim=True)
    return (beta * length / (by + EPSILON)).clamp_max(1.0)


class GatedProjection(nn.Module):
    """What one other modality v adds to the shift of the anchor x.

    Scalar gates: W (g v), g = sigmoid of one linear number of [v; x]. Vector gates: g * (W v), g = ReLU of D
    linear numbers of [v; x] (Rahman et al. 2020).
    """

    def __init__(self, dim: int, gates: Literal["scalar", "vector"]) -> None:
        super().__init__()
        self.scalar = gates == "scalar"
        self.gate = nn.Linear(2 * dim, 1 if self.scalar else dim)
        self.project = nn.Linear(dim, dim)
        self.apply(init_linear)

    def forward(self, other: Tensor, anchor: Tensor) -> Tensor:
        """other and anchor (B, K, D). Returns (B, K, D)."""
        gate = self.gate(torch.cat([other, anchor], dim=-1))  # (B, K, 1) or (B, K, D)
        return self.project(gate.sigmoid() * other) if self.scalar else gate.relu() * self.project(other)


class AdaptationGate(nn.Module):
    """Dropout(LayerNorm(x + alpha h)), h the sum of what the other modalities add."""

    def __init__(self, others: int, settings: MAGSettings, config: ModelConfig) -> None:
        super().__init__()
        self.gates = nn.ModuleList(GatedProjection(config.dim, settings.gates) for _ in range(others))
        raw = torch.tensor(math.log(math.expm1(settings.beta)))  # softplus of it is beta
        self.raw_beta = nn.Parameter(raw) if settings.gates == "scalar" else None
        self.fixed_beta = settings.beta
        self.norm = nn.LayerNorm(config.dim)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, anchor: Tensor, others: Tensor, anchored: Tensor, there: Tensor) -> Tensor:
        """Shift the anchor's tokens.

        anchor (B, K, D), zeros where missing; others (B, M-1, K, D); anchored (B,) and there (B, M-1) bool:
        who has the anchor and the others. Returns (B, K, D).
        """
        shift = torch.zeros_like(anchor)
        for m, gate in enumerate(self.gates):
            shift = shift + torch.where(there[:, m, None, None], gate(others[:, m], anchor), 0.0)
        beta = self.fixed_beta if self.raw_beta is None else F.softplus(self.raw_beta)
        alpha = torch.where(anchored[:, None, None], shift_weight(anchor, shift, beta), 1.0)
        return self.dropout(self.norm(anchor + alpha * shift))


class MAG(FusionNetwork):
    """The gate on the anchor's K tokens, three blocks, mean, head."""

    Settings = MAGSettings

    def __init__(self, inputs: InputSpec, config: ModelConfig, settings: Any, baseline: Tensor) -> None:
        super().__init__(inputs, config, settings, baseline)
        names = list(inputs.modalities)
        anchor = names[0] if settings.anchor is None else settings.anchor
        if anchor not in names:
            raise InputError(f"the anchor {anchor!r} of mag is no modality; there are {', '.join(names)}")
        self.anchor = names.index(anchor)
        self.others = [m for m in range(len(names)) if m != self.anchor]
        self.tokenizers = Tokenizers(inputs, config)
        self.gate = AdaptationGate(len(self.others), settings, config)
        self.blocks = nn.ModuleList(VanillaBlock(config.dim, config) for _ in range(config.blocks))
        self.norm = nn.LayerNorm(config.dim)
        self.head = HazardHead(config.dim, baseline)

    def forward(self, batch: Batch) -> Prediction:
        """Hazard logits of a batch."""
        tokens, observed = self.tokenizers(batch), batch.observed  # (B, M, K, D), (B, M)
        x = self.gate(
            tokens[:, self.anchor], tokens[:, self.others], observed[:, self.anchor], observed[:, self.others]
        )  # (B, K, D)
        mask = observed.new_ones(x.shape[:2])  # all K tokens hold something of everyone
        for block in self.blocks:
            x = block(x, mask)
        return Prediction(self.head(masked_mean(self.norm(x), mask)))

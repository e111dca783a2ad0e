"""PathOmics (Ding et al. 2023): both sides are first taught to agree, then to predict.

In one picture:

    image -> instances in 8 groups -> attention pooling -> 8 tokens -> encoder -> pooling -> v --+
    rna in 8 groups -> SNN each ------------------------> 8 tokens -> encoder -> pooling -> w --+
    joined [v; w] -> MLP -> head

    before, without labels: |P v - Q w|^2 on training patients who have both
"""

import math

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from prime.methods.interface import FusionNetwork
from prime.methods.layers.attention_pooling import GatedAttentionPooling
from prime.methods.layers.instances import ConcatFusion, GenomicTokens, Instances, PooledEncoder
from prime.model.heads import HazardHead, Prediction
from prime.settings.model import ModelConfig
from prime.settings.strict import Strict
from prime.store.batch import Batch
from prime.store.inputs import InputSpec


class PathomicsSettings(Strict):
    """`groups` of instances and of RNA features; `variance_weight` of the term against collapse."""

    groups: int = Field(default=8, ge=2)
    variance_weight: float = Field(default=0.0, ge=0)


def into_groups(x: Tensor, mask: Tensor, groups: int, shuffle: bool) -> tuple[Tensor, Tensor]:
    """Deal each patient's real instances out to G groups, one after the other.

    x (B, S, D), mask (B, S) bool. The r-th real instance goes to group r mod G, wherever the padding is; with
    `shuffle` the order of the real ones is a new random one (global generator of torch). Returns
    (B, G, N, D) and its mask (B, G, N), N = S / G rounded up.
    """
    places = torch.arange(mask.shape[1], dtype=torch.float32, device=mask.device).expand(mask.shape)
    key = torch.rand(mask.shape, device=mask.device) if shuffle else places
    order = key.masked_fill(~mask, math.inf).argsort(dim=1, stable=True)  # (B, S): real ones first
    x, mask = x.gather(1, order[..., None].expand_as(x)), mask.gather(1, order)
    extra = -mask.shape[1] % groups
    x, mask = F.pad(x, (0, 0, 0, extra)), F.pad(mask, (0, extra))  # (B, N * G, D), (B, N * G)
    batch, _, dim = x.shape
    return x.view(batch, -1, groups, dim).transpose(1, 2), mask.view(batch, -1, groups).transpose(1, 2)


def agreement_loss(a: Tensor, b: Tensor, both: Tensor) -> Tensor:
    """Mean squared error between a and b (B, P) over the patients of `both` (B,) bool; 0 where none is."""
    errors = torch.where(both, (a.float() - b.float()).square().mean(dim=1), 0.0)  # (B,)
    return errors.sum() / both.sum().clamp_min(1)


def variance_loss(x: Tensor, rows: Tensor) -> Tensor:
    """How far the standard deviations of the columns of x (B, P) over `rows` (B,) bool stay below 1.

    mean_p max(0, 1 - sqrt(var_p + 1e-4)) (VICReg, Bardes et al., ICLR 2022, Eq. 1).
    0 for fewer than two rows.
    """
    if int(rows.sum()) < 2:
        return x.new_zeros(())
    return (1 - (x[rows].float().var(dim=0) + 1e-4).sqrt()).relu().mean()


class Pathomics(FusionNetwork):
    """Groups of instances and chunks of RNA as tokens, an encoder a side, concatenation, two layers, head."""

    Settings = PathomicsSettings

    def __init__(
        self, inputs: InputSpec, config: ModelConfig, settings: PathomicsSettings, baseline: Tensor
    ) -> None:
        super().__init__(inputs, config, settings, baseline)
        image, rna = inputs.modalities
        dim = config.dim
        self.groups, self.variance_weight = settings.groups, settings.variance_weight
        self.instances = Instances(inputs, image, config)
        self.group_pooling = GatedAttentionPooling(dim, max(1, dim // 2), dropout=0.0)
        self.genes = GenomicTokens(inputs, rna, settings.groups, config)
        self.image_encoder, self.rna_encoder = PooledEncoder(config), PooledEncoder(config)
        self.image_projection, self.rna_projection = nn.Linear(dim, dim), nn.Linear(dim, dim)
        self.fusion = ConcatFusion(dim)
        self.head = HazardHead(dim, baseline)

    def _sides(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """The pooled image and RNA (B, D), float32, each zero for a patient who lacks it."""
        x, mask = self.instances(batch)  # (B, S, D), (B, S)
        x, mask = into_groups(x, mask, self.groups, shuffle=self.training)  # (B, G, N, D), (B, G, N)
        tokens = self.group_pooling(x.flatten(0, 1), mask.flatten(0, 1))  # (B * G, D)
        image = self.image_encoder(tokens.unflatten(0, (-1, self.groups)), mask.any(dim=2))
        there = batch.observed[:, 1, None].expand(-1, self.groups)  # (B, G)
        return image, self.rna_encoder(self.genes(batch), there)

    def forward(self, batch: Batch) -> Prediction:
        """Hazard logits of a batch."""
        return Prediction(self.head(self.fusion(torch.cat(self._sides(batch), dim=1))))

    def pretraining_loss(self, batch: Batch) -> Tensor:
        """The distance between the projections of both sides, over the patients who have both."""
        image, rna = self._sides(batch)
        a, b = self.image_projection(image), self.rna_projection(rna)
        both = batch.observed.all(dim=1)
        loss = agreement_loss(a, b, both)
        if self.variance_weight > 0:
            loss = loss + self.variance_weight * (variance_loss(a, both) + variance_loss(b, both))
        return loss

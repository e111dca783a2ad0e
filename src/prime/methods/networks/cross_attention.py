"""Cross-attention fusion: the tokens of every modality query those of all others, layer by layer.

In one picture:

    image  tokens --[attend to rna, report]--+
    rna    tokens --[attend to image, report]--+--> 3 such layers -> means joined (M * D) -> head
    report tokens --[attend to image, rna]--+
"""

from typing import Any

import torch
from torch import Tensor, nn

from prime.errors import InputError
from prime.methods.interface import FusionNetwork
from prime.methods.layers.tokens import CrossBlock, Tokenizers, token_mask
from prime.model.heads import HazardHead, Prediction
from prime.settings.model import ModelConfig
from prime.store.batch import Batch
from prime.store.inputs import InputSpec


class CrossLayer(nn.Module):
    """One cross-attention block a modality; all M streams move at once."""

    def __init__(self, modalities: int, config: ModelConfig) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(CrossBlock(config.dim, config) for _ in range(modalities))

    def forward(self, streams: list[Tensor], observed: Tensor) -> list[Tensor]:
        """M streams (B, K, D) to M new ones, each from itself and the others as they came in.

        observed (B, M) bool: what a patient lacks is not attended.
        """
        tokens = streams[0].shape[1]
        found: list[Tensor] = []
        for m, block in enumerate(self.blocks):
            others = [j for j in range(len(streams)) if j != m]
            memory = torch.cat([streams[j] for j in others], dim=1)  # (B, (M - 1) * K, D)
            found.append(block(streams[m], memory, token_mask(observed[:, others], tokens)))
        return found


class CrossAttention(FusionNetwork):
    """Layers of cross-attention between M streams of K tokens, concatenation of their means, head."""

    def __init__(self, inputs: InputSpec, config: ModelConfig, settings: Any, baseline: Tensor) -> None:
        super().__init__(inputs, config, settings, baseline)
        count = len(inputs.modalities)
        if count < 2:
            raise InputError(
                f"method cross_attention attends between modalities and needs two or more; there is"
                f" {', '.join(inputs.modalities)} alone: leave the method out"
            )
        self.tokenizers = Tokenizers(inputs, config)
        self.layers = nn.ModuleList(CrossLayer(count, config) for _ in range(config.blocks))
        self.norms = nn.ModuleList(nn.LayerNorm(config.dim) for _ in range(count))
        self.head = HazardHead(count * config.dim, baseline)

    def streams(self, batch: Batch) -> list[Tensor]:
        """The M streams (B, K, D) after all layers; those of missing modalities hold nothing of use."""
        streams = list(self.tokenizers(batch).unbind(dim=1))
        for layer in self.layers:
            streams = layer(streams, batch.observed)
        return streams

    def forward(self, batch: Batch) -> Prediction:
        """Hazard logits of a batch."""
        streams = zip(self.norms, self.streams(batch), strict=True)
        features = torch.stack([norm(x).mean(dim=1) for norm, x in streams], dim=1)  # (B, M, D)
        return Prediction(self.head(torch.where(batch.observed[..., None], features.float(), 0.0)))

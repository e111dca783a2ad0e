"""Early fusion: the tokens of all modalities in one sequence through vanilla Transformer blocks.

In one picture:

    image  -> tokenizer -> K tokens --+
    rna    -> tokenizer -> K tokens --+--> M * K tokens -> 3 blocks -> mean -> head
    report -> tokenizer -> K tokens --+
"""

from typing import Any

from torch import Tensor, nn

from prime.methods.interface import FusionNetwork
from prime.methods.layers.tokens import Tokenizers, VanillaBlock, masked_mean, token_mask
from prime.model.heads import HazardHead, Prediction
from prime.settings.model import ModelConfig
from prime.store.batch import Batch
from prime.store.inputs import InputSpec


class Early(FusionNetwork):
    """Concatenate M * K tokens, three blocks, masked mean, head."""

    def __init__(self, inputs: InputSpec, config: ModelConfig, settings: Any, baseline: Tensor) -> None:
        super().__init__(inputs, config, settings, baseline)
        self.tokenizers = Tokenizers(inputs, config)
        self.blocks = nn.ModuleList(VanillaBlock(config.dim, config) for _ in range(config.blocks))
        self.norm = nn.LayerNorm(config.dim)
        self.head = HazardHead(config.dim, baseline)

    def forward(self, batch: Batch) -> Prediction:
        """Hazard logits of a batch."""
        tokens = self.tokenizers(batch)  # (B, M, K, D)
        mask = token_mask(batch.observed, tokens.shape[2])  # (B, M * K)
        x = tokens.flatten(1, 2)  # (B, M * K, D)
        for block in self.blocks:
            x = block(x, mask)
        return Prediction(self.head(masked_mean(self.norm(x), mask)))

"""PRIME on one modality: its tokenizer, backbone and head, without imputation.

In one picture:

    one modality -> tokenizer -> K tokens -> backbone (vanilla and sparse blocks) -> mean -> head
"""

from typing import Any

from torch import Tensor

from prime.methods.interface import FusionNetwork
from prime.model.attention import init_linear
from prime.model.backbone import Backbone
from prime.model.heads import HazardHead, Prediction
from prime.model.tokenizer import ModalityTokenizer
from prime.settings.model import ModelConfig
from prime.store.batch import Batch
from prime.store.inputs import InputSpec


class Unimodal(FusionNetwork):
    """K tokens, vanilla and mixture-of-experts blocks in turn, mean of the fused tokens, head."""

    def __init__(self, inputs: InputSpec, config: ModelConfig, settings: Any, baseline: Tensor) -> None:
        super().__init__(inputs, config, settings, baseline)
        ((_, self.sources),) = inputs.modalities.items()
        self.tokenizer = ModalityTokenizer({name: inputs.sources[name] for name in self.sources}, config)
        self.backbone = Backbone(1, config)
        self.apply(init_linear)  # as PRIME; before the head, which starts at zero
        self.head = HazardHead(config.dim, baseline)

    def forward(self, batch: Batch) -> Prediction:
        """Hazard logits of a batch."""
        tokens = self.tokenizer({name: batch.sources[name] for name in self.sources})  # (B, K, D)
        fused, _ = self.backbone(tokens.float()[:, None])  # (B, 1, K, D)
        return Prediction(self.head(fused.float().mean(dim=(1, 2))))

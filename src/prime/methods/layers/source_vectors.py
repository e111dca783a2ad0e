"""One vector a patient: the vectors of all sources, one after the other."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from prime.methods.layers.tokens import masked_mean
from prime.store.batch import Batch
from prime.store.inputs import InputSpec, SourceSpec


class SourceVectors(nn.Module):
    """A vector source gives its values, a sequence source the mean of its rows, each row normalised first.

    The normalisation has no weights of its own: the linear layer that reads the vector has them.
    """

    def __init__(self, inputs: InputSpec) -> None:
        super().__init__()
        self.specs: dict[str, SourceSpec] = {
            name: inputs.sources[name] for names in inputs.modalities.values() for name in names
        }
        self.width = sum(spec.dim for spec in self.specs.values())

    def forward(self, batch: Batch) -> Tensor:
        """(B, width), float32, in the order of modalities and their sources; zeros for an absent source."""
        parts: list[Tensor] = []
        for name, spec in self.specs.items():
            source = batch.sources[name]
            rows = source.values.float()  # (B, L, d)
            if spec.kind == "sequence":
                rows = F.layer_norm(rows, (spec.dim,))
            parts.append(masked_mean(rows, source.token_mask))  # (B, d)
        return torch.cat(parts, dim=1)

"""Decoders from a modality's tokens to its sources' principal components (see objectives/retention.py)."""

import torch
from torch import Tensor, nn

from prime.pretraining.principal import Components
from prime.store.batch import Batch, SourceBatch
from prime.store.inputs import InputSpec

CLIP = 5.0


def summarise_source(source: SourceBatch, centre: Tensor, loadings: Tensor) -> Tensor:
    """Components of each patient's mean row, (B, C), clipped to [-5, 5]; zero where the source is missing."""
    mask = source.token_mask[..., None]
    total = source.values.masked_fill(~mask, 0.0).sum(dim=1)
    mean = total / mask.sum(dim=1).clamp_min(1)
    scores = ((mean - centre) @ loadings).clamp(-CLIP, CLIP)
    return torch.where(source.token_mask.any(dim=1)[:, None], scores, 0.0)


class RetentionDecoder(nn.Module):
    """One linear decoder a source, from the mean of its modality's K tokens."""

    components: Tensor

    def __init__(self, inputs: InputSpec, summaries: dict[str, Components], dim: int) -> None:
        super().__init__()
        self.sources = [(m, s) for m, names in enumerate(inputs.modalities.values()) for s in names]
        self.width = max(summaries[s].loadings.shape[1] for _, s in self.sources)
        for i, (_, name) in enumerate(self.sources):
            self.register_buffer(f"centre_{i}", torch.from_numpy(summaries[name].centre))
            self.register_buffer(f"loadings_{i}", torch.from_numpy(summaries[name].loadings))
        counts = [summaries[s].loadings.shape[1] for _, s in self.sources]
        self.register_buffer("components", torch.tensor(counts))
        self.decoders = nn.ModuleList(nn.Linear(dim, self.width) for _ in self.sources)

    def forward(self, own: Tensor, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        """own (B, M, K, D). Returns decoded (B, S, C), targets (B, S, C) and present (B, S) bool."""
        decoded: list[Tensor] = []
        targets: list[Tensor] = []
        present: list[Tensor] = []
        with torch.autocast(own.device.type, enabled=False):
            for i, (modality, name) in enumerate(self.sources):
                source = batch.sources[name]
                scores = summarise_source(
                    source, self.get_buffer(f"centre_{i}"), self.get_buffer(f"loadings_{i}")
                )
                targets.append(nn.functional.pad(scores, (0, self.width - scores.shape[1])))
                decoded.append(self.decoders[i](own[:, modality].float().mean(dim=1)))
                present.append(source.token_mask.any(dim=1))
        return torch.stack(decoded, dim=1), torch.stack(targets, dim=1), torch.stack(present, dim=1)

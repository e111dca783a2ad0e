"""Retention: a modality's tokens decode to the principal components of its sources; ours, not the paper's.

The components are those within cancer types (`prime.pretraining.principal`), so that it is not enough to know
the cancer type.
"""

import numpy as np
import torch
from torch import Tensor, nn

from prime.catalogue.losses import LossSettings
from prime.model.prime import Prime
from prime.objectives.retention import retention_loss
from prime.pretraining.losses.interface import ForwardPass, PretrainingLoss, Tensors, TrainingData
from prime.pretraining.principal import LinearSummary, fit_components, patient_means
from prime.store.batch import Batch, SourceBatch
from prime.store.inputs import InputSpec
from prime.store.loading import gather_rows

CLIP = 5.0


def fit_summaries(data: TrainingData, components: int) -> dict[str, LinearSummary]:
    """Principal components of every source within cancer types, from the training patients only."""
    store, patients = data.store, data.patients
    types = np.unique(store.patients["cohort"].to_numpy(dtype=str), return_inverse=True)[1]
    summaries: dict[str, LinearSummary] = {}
    for name in store.sources:
        index = store.index(name)
        owners = patients[index[patients, 1] > 0]
        rows = data.scaling[name](store.values(name)[gather_rows(index, owners)])
        owner = np.repeat(np.arange(len(owners)), index[owners, 1])
        summaries[name] = fit_components(patient_means(rows, owner, len(owners)), types[owners], components)
    return summaries


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

    def __init__(self, inputs: InputSpec, summaries: dict[str, LinearSummary], dim: int) -> None:
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


class Retention(PretrainingLoss):
    """Squared error of the decoded components, in units of their variance within cancer types."""

    def __init__(self, settings: LossSettings, prime: Prime, data: TrainingData) -> None:
        super().__init__(settings, prime, data)
        summaries = fit_summaries(data, self.settings.components)
        self.decoder = RetentionDecoder(prime.inputs, summaries, prime.config.dim)

    def tensors(self, made: ForwardPass) -> Tensors:
        """decoded and target (B, S, C) of S sources; present (B, S) bool."""
        decoded, target, present = self.decoder(made.own, made.batch)
        return {"decoded": decoded, "target": target, "present": present}

    def term(self, rows: Tensors, temperature: Tensor) -> Tensor:
        """The mean over sources."""
        return retention_loss(rows["decoded"], rows["target"], rows["present"], self.decoder.components)

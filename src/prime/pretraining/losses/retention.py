"""Retention: a modality's tokens decode to the principal components of its sources; ours, not the paper's.

The components are those within cancer types (`prime.pretraining.principal`), and so is their centre: who
knows the cancer type alone has an error of one, as who guesses zero. Asked of a view's fused tokens, also of
modalities that the view hides, it teaches the conditional mean of what is missing.
"""

import numpy as np
import torch
from torch import Tensor, nn

from prime.catalogue.losses import LossSettings, RetentionSettings
from prime.model.prime import Prime
from prime.objectives.retention import retention_loss
from prime.pretraining.losses.interface import VIEWS, ForwardPass, PretrainingLoss, Tensors, TrainingData
from prime.pretraining.principal import LinearSummary, fit_components, no_moments
from prime.store.batch import Batch, SourceBatch
from prime.store.inputs import InputSpec
from prime.store.loading import scaled_rows
from prime.store.rows import patient_chunks, sums_by_patient

CLIP = 5.0


def fit_summaries(data: TrainingData, components: int) -> dict[str, LinearSummary]:
    """Principal components of every source within cancer types, from the training patients only."""
    store, patients = data.store, data.patients
    names, types = np.unique(store.patients["cohort"].to_numpy(dtype=str), return_inverse=True)
    summaries: dict[str, LinearSummary] = {}
    for name in store.sources:
        index = store.index(name)
        owners = patients[index[patients, 1] > 0]
        moments = no_moments(len(names), store.sources[name].dim)
        for part in patient_chunks(index, owners, store.sources[name].dim):
            some = owners[part]
            length = index[some, 1]
            sums = sums_by_patient(scaled_rows(store, data.scaling, name, some), length)
            moments.add(sums / length[:, None], types[some])
        summaries[name] = fit_components(moments, components)
    return summaries


def summarise_source(source: SourceBatch, centre: Tensor, loadings: Tensor) -> Tensor:
    """Components of each patient's mean row, (B, C), clipped to [-5, 5]; zero where the source is missing.

    centre (B, d), of each patient's cancer type; loadings (d, C).
    """
    scores = ((source.means() - centre) @ loadings).clamp(-CLIP, CLIP)
    return torch.where(source.token_mask.any(dim=1)[:, None], scores, 0.0)


class RetentionDecoder(nn.Module):
    """One linear decoder a source, from the mean of its modality's K tokens."""

    def __init__(self, inputs: InputSpec, summaries: dict[str, LinearSummary], dim: int) -> None:
        super().__init__()
        self.sources = [(m, s) for m, names in enumerate(inputs.modalities.values()) for s in names]
        width = max(summary.loadings.shape[1] for summary in summaries.values())
        self.decoders = nn.ModuleList(nn.Linear(dim, width) for _ in self.sources)

    def forward(self, tokens: Tensor) -> Tensor:
        """tokens (B, M, K, D) to decoded components (B, S, C) of S sources."""
        with torch.autocast(tokens.device.type, enabled=False):
            means = tokens.float().mean(dim=2)  # (B, M, D)
            decoded = [self.decoders[i](means[:, m]) for i, (m, _) in enumerate(self.sources)]
        return torch.stack(decoded, dim=1)


class RetentionTargets(nn.Module):
    """The components of each source within the cancer type. `components` (S,): how many each has."""

    components: Tensor

    def __init__(self, inputs: InputSpec, summaries: dict[str, LinearSummary]) -> None:
        super().__init__()
        self.sources = [s for names in inputs.modalities.values() for s in names]
        counts = [summaries[s].loadings.shape[1] for s in self.sources]
        self.width = max(counts)
        self.register_buffer("components", torch.tensor(counts))
        for i, name in enumerate(self.sources):
            self.register_buffer(f"centre_{i}", torch.from_numpy(summaries[name].centre))
            self.register_buffer(f"loadings_{i}", torch.from_numpy(summaries[name].loadings))

    def forward(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Targets (B, S, C) and present (B, S) bool of S sources."""
        targets: list[Tensor] = []
        present: list[Tensor] = []
        for i, name in enumerate(self.sources):
            source, loadings = batch.sources[name], self.get_buffer(f"loadings_{i}")
            with torch.autocast(loadings.device.type, enabled=False):
                centre = self.get_buffer(f"centre_{i}")[batch.cohort_codes]
                scores = summarise_source(source, centre, loadings)
            targets.append(nn.functional.pad(scores, (0, self.width - scores.shape[1])))
            present.append(source.token_mask.any(dim=1))
        return torch.stack(targets, dim=1), torch.stack(present, dim=1)


class Retention(PretrainingLoss):
    """Squared error of the decoded components, in units of their variance within cancer types."""

    settings: RetentionSettings

    def __init__(self, settings: LossSettings, prime: Prime, data: TrainingData) -> None:
        super().__init__(settings, prime, data)
        summaries = fit_summaries(data, self.settings.components)
        self.targets = RetentionTargets(prime.inputs, summaries)
        self.decoders = nn.ModuleDict(
            {stage: RetentionDecoder(prime.inputs, summaries, prime.config.dim) for stage in self.settings.of}
        )

    def tensors(self, made: ForwardPass) -> Tensors:
        """decoded (B, A, S, C) of A askings; target (B, S, C) and present (B, S) of S sources."""
        asked = {"tokens": made.own[:, None], "fused": made.by_patient(made.fused)}  # (B, V, M, K, D)
        decoded = [
            decoder(tokens)
            for stage, decoder in self.decoders.items()
            for tokens in asked[stage].unbind(dim=1)
        ]
        target, present = self.targets(made.batch)
        return {"decoded": torch.stack(decoded, dim=1), "target": target, "present": present}

    def term(self, rows: Tensors, temperature: Tensor) -> Tensor:
        """The mean over sources, and over the stages that are asked, whose views count alike."""
        counts = {"tokens": 1, "fused": VIEWS}
        errors = [
            retention_loss(decoded, rows["target"], rows["present"], self.targets.components)
            for decoded in rows["decoded"].unbind(dim=1)
        ]
        stages = torch.stack(errors).split([counts[stage] for stage in self.settings.of])
        return torch.stack([stage.mean() for stage in stages]).mean()

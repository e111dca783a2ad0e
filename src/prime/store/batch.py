"""The batch: the data of several patients, padded and masked, as every network gets them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

PATIENTS_AT_ONCE = 32  # whose rows are copied together


@dataclass(frozen=True)
class SourceBatch:
    """One source of B patients.

    Attributes:
        values: (B, L, d), rows of a source, padded to L: float16 where the store holds it so, else float32.
            Values in masked rows never matter.
        token_mask: (B, L) bool; True = a real row.
    """

    values: Tensor
    token_mask: Tensor

    @property
    def rows(self) -> Tensor:
        """(n, d) float32: the real rows, patient after patient."""
        return self.values[self.token_mask].float()

    def means(self) -> Tensor:
        """(B, d) float32: the mean of each patient's real rows, zero where there are none."""
        parts = zip(self.values.split(PATIENTS_AT_ONCE), self.token_mask.split(PATIENTS_AT_ONCE), strict=True)
        sums = [values.masked_fill(~mask[..., None], 0.0).float().sum(dim=1) for values, mask in parts]
        return torch.cat(sums) / self.token_mask.sum(dim=1, keepdim=True).clamp_min(1)


@dataclass(frozen=True)
class Batch:
    """B patients, their sources, and which modalities they have.

    Attributes:
        patient_ids: B identifiers.
        modalities: modality name to its source names; M = len(modalities), in a fixed order.
        sources: source name to its rows.
        cohort_codes: (B,) int64; number of the cancer type, for samplers and diagnostics, never an input.
    """

    patient_ids: tuple[str, ...]
    modalities: dict[str, tuple[str, ...]]
    sources: dict[str, SourceBatch]
    cohort_codes: Tensor

    @property
    def observed(self) -> Tensor:
        """(B, M) bool: a modality is observed when any of its sources has a real row."""
        columns = [
            torch.stack([self.sources[name].token_mask.any(dim=1) for name in names]).any(dim=0)
            for names in self.modalities.values()
        ]
        return torch.stack(columns, dim=1)  # (B, M)

    def keep(self, kept: Tensor) -> "Batch":
        """The batch with every modality hidden where `kept` (B, M) bool is False."""
        sources = dict(self.sources)
        for m, names in enumerate(self.modalities.values()):
            for name in names:
                source = sources[name]
                sources[name] = replace(source, token_mask=source.token_mask & kept[:, m, None])
        return replace(self, sources=sources)

    def select(self, modalities: Sequence[str]) -> "Batch":
        """The batch with only these modalities and their sources, in this order."""
        chosen = {name: self.modalities[name] for name in modalities}
        sources = {source: self.sources[source] for names in chosen.values() for source in names}
        return replace(self, modalities=chosen, sources=sources)

    def take(self, rows: Tensor) -> "Batch":
        """The patients at these rows (n,) int64, in this order, without padding that none of them needs."""
        sources: dict[str, SourceBatch] = {}
        for name, source in self.sources.items():
            mask = source.token_mask[rows]
            used = mask.any(dim=0).nonzero()  # the columns with a real row
            length = int(used.max()) + 1 if len(used) else 1
            sources[name] = SourceBatch(source.values[rows, :length], mask[:, :length])
        return Batch(
            tuple(self.patient_ids[i] for i in rows.tolist()),
            self.modalities,
            sources,
            self.cohort_codes[rows],
        )

    def to(self, device: torch.device | str) -> "Batch":
        """The batch on another device."""
        sources = {
            name: SourceBatch(
                s.values.to(device, non_blocking=True), s.token_mask.to(device, non_blocking=True)
            )
            for name, s in self.sources.items()
        }
        return replace(self, sources=sources, cohort_codes=self.cohort_codes.to(device))

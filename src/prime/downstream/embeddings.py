"""Each patient embedded once for each subset of modalities: the cache behind linear probes."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from prime.arrays import Indices
from prime.model.prime import Completed, Encoding, Prime, reliability_pool
from prime.precision import resolved
from prime.settings.evaluation import ReadoutConfig
from prime.store.loading import PatientLoader


@dataclass(frozen=True)
class EmbeddingCache:
    """Frozen embeddings of patients under patterns.

    Attributes:
        values: (rows, blocks, width) float32, one row for each distinct (patient, kept modalities).
        row: pattern name to (P,) int64 over the store's patients; -1 where nothing is left of a patient.
    """

    values: NDArray[np.float32]
    row: dict[str, Indices]

    def take(self, pattern: str, patients: Indices) -> NDArray[np.float32]:
        """(n, blocks, width) of patients who have something left in this pattern."""
        return self.values[self.row[pattern][patients]]


def read_out(encoding: Completed, config: ReadoutConfig) -> Tensor:
    """What a head reads: (B, blocks, width). All stages but "tokens" need a whole `Encoding`.

    Each stage of tokens gives one block a modality; "pooled" gives one block of width D, so it cannot be
    mixed with flattened tokens.
    """
    blocks: list[Tensor] = []
    for stage in config.stages:
        if stage == "pooled":
            assert isinstance(encoding, Encoding)
            reliable = encoding.observed[..., None].expand(encoding.fused.shape[:3])
            blocks.append(reliability_pool(encoding.fused, reliable)[:, None])
        else:
            tokens: Tensor = getattr(encoding, stage)  # (B, M, K, D)
            blocks.append(tokens.flatten(2) if config.pool == "flatten" else tokens.mean(dim=2))
    return torch.cat(blocks, dim=1)


def _subsets(
    observed: NDArray[np.bool_], patients: Indices, patterns: dict[str, tuple[bool, ...]]
) -> tuple[Indices, NDArray[np.bool_], dict[str, Indices]]:
    """Distinct (patient, kept) rows: patient of each row, kept (rows, M), and each pattern's row number."""
    bit: Indices = 1 << np.arange(observed.shape[1])
    keys: dict[str, Indices] = {
        name: (observed[patients] & np.array(keep)) @ bit for name, keep in patterns.items()
    }
    span = 1 << observed.shape[1]
    every = np.concatenate([patients * span + key for key in keys.values()])
    nonempty = np.concatenate([key > 0 for key in keys.values()])
    distinct, inverse = np.unique(every[nonempty], return_inverse=True)
    numbers = np.full(len(every), -1, dtype=np.int64)
    numbers[nonempty] = inverse
    rows: dict[str, Indices] = {}
    for name, part in zip(keys, np.split(numbers, len(keys)), strict=True):
        rows[name] = np.full(len(observed), -1, dtype=np.int64)
        rows[name][patients] = part
    kept: NDArray[np.bool_] = ((distinct % span)[:, None] & bit) > 0
    return distinct // span, kept, rows


def _chunks(count: int, size: int) -> Iterator[slice]:
    return (slice(start, min(start + size, count)) for start in range(0, count, size))


@torch.inference_mode()
def embed(
    model: Prime,
    loader: PatientLoader,
    observed: NDArray[np.bool_],
    patients: Indices,
    patterns: dict[str, tuple[bool, ...]],
    readout: ReadoutConfig,
    batch_size: int = 64,
) -> EmbeddingCache:
    """Embed `patients` under every pattern with the frozen network, each distinct subset once.

    A patient's modalities are tokenized once for all subsets. 64 patients, and 64 of their subsets, at a
    time: on processor cores, 256 patients with their reports take half as long again each. Where the head
    reads tokens before fusion alone, the backbone is not run.

    observed (P, M) bool over the store. A patient of whom a pattern leaves nothing gets row -1 there.
    """
    model.eval()
    device = next(model.parameters()).device
    bfloat16 = resolved(readout.precision, device.type) == "bf16-mixed"
    mixed = torch.autocast(device.type, torch.bfloat16, enabled=bfloat16)
    who, kept, rows = _subsets(observed, patients, patterns)
    present, owner = np.unique(who, return_inverse=True)
    parts: list[NDArray[np.float32]] = []
    for part in _chunks(len(present), batch_size):
        with mixed:
            own = model.tokenize(loader.batch(present[part]).to(device))
        mine = slice(*np.searchsorted(owner, [part.start, part.stop]).tolist())
        for some in _chunks(mine.stop - mine.start, batch_size):
            rows_of = slice(mine.start + some.start, mine.start + some.stop)
            seen = torch.from_numpy(kept[rows_of]).to(device)
            tokens = own[torch.from_numpy(owner[rows_of] - part.start).to(device)]
            with mixed:
                found = model.complete(tokens.masked_fill(~seen[..., None, None], 0.0), seen)
                encoding = found if set(readout.stages) == {"tokens"} else model.encode(found)
            parts.append(read_out(encoding, readout).float().cpu().numpy())
    return EmbeddingCache(np.concatenate(parts), rows)

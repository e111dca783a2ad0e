"""PRIME's tokens as blocks of a ridge: each modality's, own or imputed, by components within cancer types."""

import json
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from prime.arrays import Floats, Indices
from prime.downstream.embeddings import EmbeddingCache
from prime.files import sha256_text
from prime.methods.statistics.blocks import BlockEncoder, fit_block
from prime.methods.statistics.within_type import Types
from prime.splits.folds import Fold

SPECTRUM_POWER = 0.5


@dataclass(frozen=True)
class TokenBlocks:
    """The blocks of embedded patients under any pattern.

    Attributes:
        cache: their embeddings.
        types: (P,) cancer types.
        encoders: of each block of the readout.
        scale: (p,) of each feature.
    """

    cache: EmbeddingCache
    types: Types
    encoders: tuple[BlockEncoder, ...]
    scale: Floats

    def __call__(self, patients: Indices, pattern: str) -> Floats:
        """Features (n, p) of patients of whom the pattern leaves something."""
        blocks = self.cache.take(pattern, patients).astype(np.float64)  # (n, blocks, width)
        parts = [encoder(blocks[:, b], self.types[patients]) for b, encoder in enumerate(self.encoders)]
        return np.concatenate(parts, axis=1)


@dataclass(frozen=True)
class TokenReading:
    """How a head reads tokens.

    Attributes:
        embedded: the embeddings of folds with one number, and what identifies their network.
        components: of each block of the readout.
        scale: of every feature.
    """

    embedded: Callable[[tuple[Fold, ...]], tuple[EmbeddingCache, str]]
    components: int
    scale: float

    def blocks(self, folds: list[Fold], types: Types, training: Indices) -> TokenBlocks:
        """Blocks of everybody in the folds' cohorts, from encoders of those of them who are in `training`."""
        cache, network = self.embedded(tuple(folds))
        able = training[cache.row["all"][training] >= 0]
        key = sha256_text(json.dumps([network, self.components, able.tolist(), types.tolist()]))
        if key not in _encoders:
            while len(_encoders) >= ENCODERS_KEPT:
                _encoders.pop(next(iter(_encoders)))
            _encoders[key] = _fit_encoders(cache, types, able, self.components)
        encoders = _encoders[key]
        width = sum(encoder.loadings.shape[1] for encoder in encoders)
        return TokenBlocks(cache, types, encoders, np.full(width, self.scale))


ENCODERS_KEPT = 16  # of the folds and seeds of an evaluation, in a process
_encoders: dict[str, tuple[BlockEncoder, ...]] = {}


def _fit_encoders(
    cache: EmbeddingCache, types: Types, training: Indices, components: int
) -> tuple[BlockEncoder, ...]:
    values = cache.take("all", training).astype(np.float64)  # (n, blocks, width)
    blocks = range(values.shape[1])
    return tuple(fit_block(values[:, b], types[training], components, SPECTRUM_POWER) for b in blocks)

"""PRIME's tokens as blocks of a ridge: each modality's, own or imputed, by components within cancer types."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from prime.arrays import Floats, Indices
from prime.downstream.embeddings import EmbeddingCache
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
    """How a head reads tokens: `embedded` gives the embeddings of folds with one number."""

    embedded: Callable[[tuple[Fold, ...]], EmbeddingCache]
    components: int
    scale: float

    def blocks(self, folds: list[Fold], types: Types, training: Indices) -> TokenBlocks:
        """Blocks of everybody in the folds' cohorts, fitted on the patients of `training`."""
        cache = self.embedded(tuple(folds))
        values = cache.take("all", training).astype(np.float64)
        encoders = tuple(
            fit_block(values[:, b], types[training], self.components, SPECTRUM_POWER)
            for b in range(values.shape[1])
        )
        width = sum(encoder.loadings.shape[1] for encoder in encoders)
        return TokenBlocks(cache, types, encoders, np.full(width, self.scale))

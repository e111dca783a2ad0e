"""PRIME's tokens as blocks of a ridge: each modality's, own or imputed, by components within cancer types."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from prime.arrays import Floats, Indices
from prime.downstream.embeddings import EmbeddingCache
from prime.downstream.kept import Kept
from prime.methods.statistics.blocks import BlockEncoder, fit_block
from prime.methods.statistics.design import Design
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
class PatientFeatures:
    """What a head reads of patients: their design, and blocks of tokens where there are any."""

    design: Design
    tokens: TokenBlocks | None

    @property
    def scale(self) -> Floats:
        """(p,) of each feature."""
        return self.design.scale if self.tokens is None else np.append(self.design.scale, self.tokens.scale)

    def training(self, rows: Indices) -> Floats:
        """Features (n, p) of patients who train."""
        x = self.design.training(rows)
        return x if self.tokens is None else np.concatenate([x, self.tokens(rows, "all")], axis=1)

    def tested(self, rows: Indices, pattern: str, sources: tuple[str, ...]) -> Floats:
        """Features (n, p) of patients who are tested under a pattern that leaves these sources."""
        x = self.design.features(rows, sources)
        return x if self.tokens is None else np.concatenate([x, self.tokens(rows, pattern)], axis=1)


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
        facts = [network, self.components, able.tolist(), types.tolist()]
        encoders = _encoders(facts, lambda: fit_token_encoders(cache, types, able, self.components))
        return token_blocks(cache, types, encoders, self.scale)


ENCODERS_KEPT = 16  # of the folds and seeds of an evaluation, in a process
_encoders = Kept[tuple[BlockEncoder, ...]](ENCODERS_KEPT)


def token_blocks(
    cache: EmbeddingCache, types: Types, encoders: tuple[BlockEncoder, ...], scale: float
) -> TokenBlocks:
    """The blocks of embedded patients, all with one scale."""
    width = sum(encoder.loadings.shape[1] for encoder in encoders)
    return TokenBlocks(cache, types, encoders, np.full(width, scale))


def fit_token_encoders(
    cache: EmbeddingCache, types: Types, training: Indices, components: int
) -> tuple[BlockEncoder, ...]:
    """An encoder of each block of the readout, from patients who train, without outcomes."""
    values = cache.take("all", training).astype(np.float64)  # (n, blocks, width)
    blocks = range(values.shape[1])
    return tuple(fit_block(values[:, b], types[training], components, SPECTRUM_POWER) for b in blocks)

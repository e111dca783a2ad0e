"""Every source as a block of a few components, normalised within the cancer type: fitted without labels.

In one picture:

    source -> normal scores within its type (words: by rarity, centred) -> principal components over everyone,
    each with a power of its share of the first one's standard deviation -> block (n, k)
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from prime.arrays import Flags, Floats, Indices
from prime.methods.statistics.components import right_singular_vectors, weighted_words, word_rarity
from prime.methods.statistics.examples import Population
from prime.methods.statistics.gaussian import fill_missing, fit_covariance
from prime.methods.statistics.within_type import Types, WithinType, fit_within_type

LEAST_SHARE = 0.05  # of a type's patients who have a source; below, it is not filled in


@dataclass(frozen=True)
class BlockEncoder:
    """From the raw vectors of a source to its block.

    Attributes:
        rarity: (d,) of words, where the source counts words; None elsewhere.
        normalise: within the cancer type.
        loadings: (d, k); the block's first component has standard deviation one.
    """

    rarity: Floats | None
    normalise: WithinType
    loadings: Floats

    def __call__(self, values: Floats, types: Types) -> Floats:
        """Block (n, k) of raw vectors (n, d) of patients of types (n,); a missing number is neutral."""
        return self.standardise(values, types) @ self.loadings

    def standardise(self, values: Floats, types: Types) -> Floats:
        """Raw vectors (n, d) within their type, (n, d), zero where a number is missing."""
        ready = values if self.rarity is None else weighted_words(values, self.rarity)
        return self.normalise(ready, types)


def fit_block(values: Floats, types: Types, count: int, power: float, words: bool = False) -> BlockEncoder:
    """The encoder of a source, from the vectors (n, d) of training patients of types (n,) who have it.

    Args:
        values: raw; NaN where a number is missing.
        types: cancer types.
        count: components, at most.
        power: of a component's share of the first one's standard deviation that it keeps: 0 whitens.
        words: the source counts words.
    """
    rarity = word_rarity(values) if words else None
    ready = values if rarity is None else weighted_words(values, rarity)
    normalise = fit_within_type(ready, types, "centre" if words else "normal_scores")
    x = normalise(ready, types)
    loadings = right_singular_vectors(x, count)  # (d, k)
    deviation = (x @ loadings).std(axis=0)
    return BlockEncoder(rarity, normalise, loadings * (deviation / deviation[:1]) ** power / deviation)


@dataclass(frozen=True)
class Blocks:
    """The blocks of n patients side by side.

    Attributes:
        values: (n, p), zero where a block is missing.
        there: (n, p) bool: of a block that the patient has.
        types: (n,) cancer types.
        owner: (p,) the source of each column; those of a source stand together, largest component first.
    """

    values: Floats
    there: Flags
    types: Types
    owner: NDArray[np.str_]

    def take(self, rows: Indices) -> "Blocks":
        """Only these patients."""
        return replace(self, values=self.values[rows], there=self.there[rows], types=self.types[rows])

    def first(self, counts: dict[str, int]) -> "Blocks":
        """Only the first components of each source, at most so many."""
        names, starts, own = np.unique(self.owner, return_index=True, return_inverse=True)
        most = np.array([counts[str(name)] for name in names], dtype=np.int64)
        kept = np.arange(len(self.owner)) < (starts + most)[own]
        return Blocks(self.values[:, kept], self.there[:, kept], self.types, self.owner[kept])

    def keep(self, sources: tuple[str, ...]) -> "Blocks":
        """With every source hidden but these."""
        there = self.there & np.isin(self.owner, sources)
        return replace(self, values=np.where(there, self.values, 0.0), there=there)


def fit_blocks(
    population: Population, counts: dict[str, int], power: float, words: tuple[str, ...] = ()
) -> tuple[dict[str, BlockEncoder], Blocks]:
    """The encoders of a population's sources, fitted on its training patients, and everyone's blocks.

    A source that fewer than two of them have gets no encoder and no block.

    Args:
        population: P patients, labelled or not.
        counts: components of each source, at most.
        power: see `fit_block`.
        words: the sources that count words.
    """
    types = population.types
    trains = np.zeros(len(types), dtype=bool)
    trains[population.training] = True
    encoders: dict[str, BlockEncoder] = {}
    parts: dict[str, tuple[Indices, Floats]] = {}
    for name, read in population.sources.items():
        who, values = read()
        own = trains[who]
        if own.sum() < 2:
            continue
        encoders[name] = fit_block(values[own], types[who][own], counts[name], power, name in words)
        parts[name] = who, encoders[name](values, types[who])
    return encoders, _side_by_side(parts, types)


def encode_blocks(population: Population, encoders: dict[str, BlockEncoder]) -> Blocks:
    """The blocks of any population by encoders that were fitted elsewhere, in their order.

    A source that the population lacks is missing for everyone.
    """
    types = population.types
    parts: dict[str, tuple[Indices, Floats]] = {}
    for name, encoder in encoders.items():
        if name in population.sources:
            who, values = population.sources[name]()
            parts[name] = who, encoder(values, types[who])
        else:
            parts[name] = np.zeros(0, dtype=np.int64), np.zeros((0, encoder.loadings.shape[1]))
    return _side_by_side(parts, types)


def _side_by_side(parts: dict[str, tuple[Indices, Floats]], types: Types) -> Blocks:
    """The blocks of each source, given as who has it (n,) and values (n, k), for patients of types (P,)."""
    owner = np.array([name for name, (_, part) in parts.items() for _ in range(part.shape[1])], dtype=str)
    values = np.zeros((len(types), len(owner)))
    there = np.zeros((len(types), len(owner)), dtype=bool)
    for name, (who, part) in parts.items():
        place = np.ix_(who, np.flatnonzero(owner == name))
        values[place] = part
        there[place] = True
    return Blocks(values, there, types, owner)


@dataclass(frozen=True)
class Imputer:
    """What a Gaussian of all blocks expects of a missing block, given those that are there.

    Attributes:
        covariance: (p, p) of the blocks side by side.
        usual: by cancer type, (p,) bool: enough patients of the type have the block for it to be filled in.
    """

    covariance: Floats
    usual: dict[str, Flags]

    def __call__(self, blocks: Blocks) -> Floats:
        """Values (n, p) with missing blocks at their conditional mean, or zero where a type lacks them."""
        filled = fill_missing(self.covariance, blocks.values, blocks.there)
        nothing = np.zeros(len(blocks.owner), dtype=bool)
        usual = np.zeros(blocks.there.shape, dtype=bool)
        for name in np.unique(blocks.types):
            usual[blocks.types == name] = self.usual.get(str(name), nothing)
        return np.where(blocks.there | usual, filled, 0.0)


def fit_imputer(blocks: Blocks) -> Imputer:
    """The imputer, from the blocks of training patients, labelled or not."""
    some = blocks.there.any(axis=1)
    covariance = fit_covariance(blocks.values[some], blocks.there[some])
    names = np.unique(blocks.types)
    usual = {str(name): blocks.there[blocks.types == name].mean(axis=0) > LEAST_SHARE for name in names}
    return Imputer(covariance, usual)

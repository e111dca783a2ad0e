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
        ready = values if self.rarity is None else weighted_words(values, self.rarity)
        return self.normalise(ready, types) @ self.loadings


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
        owner: (p,) the source of each column.
    """

    values: Floats
    there: Flags
    types: Types
    owner: NDArray[np.str_]

    def take(self, rows: Indices) -> "Blocks":
        """Only these patients."""
        return replace(self, values=self.values[rows], there=self.there[rows], types=self.types[rows])

    def keep(self, sources: tuple[str, ...]) -> "Blocks":
        """With every source hidden but these."""
        there = self.there & np.isin(self.owner, sources)
        return replace(self, values=np.where(there, self.values, 0.0), there=there)


def encode_blocks(
    population: Population, counts: dict[str, int], power: float, words: tuple[str, ...] = ()
) -> Blocks:
    """Blocks of a population; the encoders are fitted on its training patients, labelled or not.

    Args:
        population: P patients.
        counts: components of each source, at most.
        power: see `fit_block`.
        words: the sources that count words.
    """
    types = population.types
    trains = np.zeros(len(types), dtype=bool)
    trains[population.training] = True
    parts: list[Floats] = [np.zeros((len(types), 0))]
    there: list[Flags] = [np.zeros((len(types), 0), dtype=bool)]
    owner: list[str] = []
    for name, read in population.sources.items():
        who, values = read()
        own = trains[who]
        if own.sum() < 2:
            continue
        encoder = fit_block(values[own], types[who][own], counts[name], power, name in words)
        part = np.zeros((len(types), encoder.loadings.shape[1]))
        part[who] = encoder(values, types[who])
        has = np.zeros(part.shape, dtype=bool)
        has[who] = True
        parts.append(part)
        there.append(has)
        owner += [name] * part.shape[1]
    return Blocks(
        np.concatenate(parts, axis=1), np.concatenate(there, axis=1), types, np.array(owner, dtype=str)
    )


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

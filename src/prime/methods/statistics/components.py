"""From a source's raw vectors to a few features: standardised principal components, and weighted word counts.

Everything is fitted on the patients who have the source, without their outcomes.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.linalg import eigh

from prime.arrays import Floats

_RANK = 1e-10  # components with less than this share of the first one's variance are none


@dataclass(frozen=True)
class Components:
    """A linear summary of vectors: (x - centre) @ loadings, with `filling` where a number is missing.

    Attributes:
        filling: (d,) float64.
        centre: (d,) float64.
        loadings: (d, k) float64, standardisation folded in; largest component first.
    """

    filling: Floats
    centre: Floats
    loadings: Floats

    def __call__(self, values: Floats) -> Floats:
        """Components of vectors (n, d), NaN where a number is missing: (n, k), without NaN."""
        return (np.where(np.isnan(values), self.filling, values) - self.centre) @ self.loadings

    def first(self, count: int) -> "Components":
        """The leading `count` components alone."""
        return Components(self.filling, self.centre, self.loadings[:, :count])


def fit_components(
    values: Floats, count: int, fill: Literal["mean", "median"] = "median", whiten: bool = True
) -> Components:
    """At most `count` principal components of standardised features.

    A missing number takes the mean or median of those there are. Constant features are left out.

    Args:
        values: (n, d), NaN where a number is missing.
        count: fewer come back where patients or features do not support them.
        fill: what a missing number becomes.
        whiten: whether each component is divided by its standard deviation.
    """
    known = ~np.isnan(values)
    some = known.any(axis=0)
    middle = np.nanmean if fill == "mean" else np.nanmedian
    filling = np.zeros(values.shape[1])
    filling[some] = middle(values[:, some], axis=0)
    filled = np.where(known, values, filling)
    centre, spread = filled.mean(axis=0), filled.std(axis=0)
    varying = spread > 1e-12 * np.maximum(np.abs(centre), 1e-300)
    scale = np.where(varying, spread, 1.0)
    x = np.where(varying, (filled - centre) / scale, 0.0)
    loadings = right_singular_vectors(x, count)  # (d, k)
    if whiten:
        loadings = loadings / (x @ loadings).std(axis=0)
    return Components(filling, centre, loadings / scale[:, None])


def right_singular_vectors(x: Floats, count: int) -> Floats:
    """The first right singular vectors of x (n, d): (d, k) with k <= count, from the smaller Gram matrix."""
    n, d = x.shape
    gram = x @ x.T if n < d else x.T @ x
    size = min(count, len(gram))
    values, vectors = eigh(gram, subset_by_index=[len(gram) - size, len(gram) - 1])
    strong = values[::-1] > _RANK * max(float(values[-1]), 1e-300)
    vectors = vectors[:, ::-1][:, strong]
    if n >= d:
        return vectors
    vectors = x.T @ vectors
    return vectors / np.linalg.norm(vectors, axis=0)


@dataclass(frozen=True)
class WordWeights:
    """Word counts to a few features: weighted by rarity, each text at length one, projected.

    Attributes:
        rarity: (d,) inverse document frequencies, zero for words that are left out.
        loadings: (d, k), right singular vectors.
    """

    rarity: Floats
    loadings: Floats

    def __call__(self, counts: Floats) -> Floats:
        """Features (n, k) of counts (n, d); a row of NaN for a row of NaN."""
        return weighted_words(counts, self.rarity) @ self.loadings


def fit_word_weights(counts: Floats, count: int, least: int) -> WordWeights:
    """Inverse document frequency, then singular value decomposition without centring (latent semantics).

    A word with c mentions in a text and in f of n texts weighs (1 + ln c) * (1 + ln((1 + n) / (1 + f)))
    there; every text is brought to length one. Source: Deerwester et al., "Indexing by latent semantic
    analysis", JASIS 1990.

    Args:
        counts: (n, d), not negative, without NaN.
        count: features to keep.
        least: words in fewer texts are left out.
    """
    rarity = word_rarity(counts, least)
    return WordWeights(rarity, right_singular_vectors(weighted_words(counts, rarity), count))


def word_rarity(counts: Floats, least: int = 2) -> Floats:
    """Inverse document frequency 1 + ln((1 + n) / (1 + f)), (d,), of counts (n, d); zero for rarer words."""
    texts = (counts > 0).sum(axis=0)
    return np.where(texts >= least, 1 + np.log((1 + len(counts)) / (1 + texts)), 0.0)


def weighted_words(counts: Floats, rarity: Floats) -> Floats:
    """Counts c (n, d) as (1 + ln c) * rarity, each text at length one; a row of NaN for a row of NaN."""
    mentioned = np.where(counts > 0, 1 + np.log(np.where(counts > 0, counts, 1.0)), counts)
    rows = mentioned * rarity
    length = np.sqrt((rows**2).sum(axis=1, keepdims=True))
    return rows / np.where(length == 0, 1.0, length)

"""Features normalised within the cancer type, so that what is left of them is not the type itself.

Fitted on training patients. A type with fewer than 20 of them, one that training did not have, and an unknown
type (an empty name) take the reference of everyone.
"""

from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from prime.arrays import Floats

LEAST_PATIENTS = 20
CUT = 6.0  # standard deviations
MOST_QUANTILES = 500  # of a feature that are kept

Scale = Literal["normal_scores", "z", "centre"]
Types = NDArray[np.str_]


class Reference(Protocol):
    """What a feature is compared with: (n, d) raw to (n, d) normalised, NaN where a number is missing."""

    def __call__(self, values: Floats) -> Floats: ...


@dataclass(frozen=True)
class Standard:
    """z scores, cut at six standard deviations; a constant feature becomes zero. centre, scale (d,)."""

    centre: Floats
    scale: Floats

    def __call__(self, values: Floats) -> Floats:
        """(n, d) to (n, d)."""
        return np.clip((values - self.centre) / self.scale, -CUT, CUT)


@dataclass(frozen=True)
class Centred:
    """Deviations from the mean. centre (d,)."""

    centre: Floats

    def __call__(self, values: Floats) -> Floats:
        """(n, d) to (n, d)."""
        return values - self.centre


@dataclass(frozen=True)
class NormalScores:
    """Normal quantiles of ranks among the training values (van der Waerden), as they suit heavy tails.

    quantiles: of each of d features, ascending, without NaN; all values where there are few.
    """

    quantiles: tuple[Floats, ...]

    def __call__(self, values: Floats) -> Floats:
        """(n, d) to (n, d); a feature without a training value becomes zero."""
        columns = np.ascontiguousarray(values.T)  # (d, n)
        twice = np.empty(columns.shape)  # the rank
        for row, known, x in zip(twice, self.quantiles, columns, strict=True):
            row[:] = _twice_the_rank(known, x)
        count = np.array([len(known) for known in self.quantiles])[:, None]
        scores = (twice / 2 + 0.5) / (count + 1.0)
        scores[np.isnan(columns)] = np.nan
        return ndtri(scores).T


def _twice_the_rank(known: Floats, x: Floats) -> NDArray[np.int64]:
    """How many of known (k,), ascending, are below each of x (n,), plus how many are not above it."""
    below = known.searchsorted(x, "left")
    if len(known) and (known.take(below, mode="clip") == x).any():  # a search takes longer than to look
        return below + known.searchsorted(x, "right")
    return 2 * below


@dataclass(frozen=True)
class WithinType:
    """The references of the types that have enough training patients, and that of everyone."""

    own: dict[str, Reference]
    pool: Reference

    def __call__(self, values: Floats, types: Types) -> Floats:
        """Values (n, d) of patients of these types (n,), normalised; what is missing becomes zero."""
        result = np.empty(values.shape)
        for name in np.unique(types):
            rows = types == name
            result[rows] = self.own.get(str(name), self.pool)(values[rows])
        return np.nan_to_num(result, nan=0.0)


def fit_within_type(values: Floats, types: Types, scale: Scale) -> WithinType:
    """The references of raw values (n, d), NaN where a number is missing, of patients of types (n,)."""
    own: dict[str, Reference] = {}
    for name in np.unique(types):
        rows = types == name
        if name and rows.sum() >= LEAST_PATIENTS:
            own[str(name)] = _reference(values[rows], scale)
    return WithinType(own, _reference(values, scale))


def _reference(values: Floats, scale: Scale) -> Reference:
    if scale == "normal_scores":
        return NormalScores(tuple(_quantiles(column[~np.isnan(column)]) for column in values.T))
    standard = _standard(values)
    return standard if scale == "z" else Centred(standard.centre)


def _quantiles(known: Floats) -> Floats:
    """Of known values (n,), all, ascending, or MOST_QUANTILES of them at even ranks."""
    ordered = np.sort(known)
    if len(ordered) <= MOST_QUANTILES:
        return ordered
    return ordered[((np.arange(MOST_QUANTILES) + 0.5) * len(ordered) / MOST_QUANTILES).astype(np.int64)]


def _standard(values: Floats) -> Standard:
    known = ~np.isnan(values)
    count = np.maximum(known.sum(axis=0), 1)
    centre = np.where(known, values, 0.0).sum(axis=0) / count
    spread = np.sqrt((np.where(known, values - centre, 0.0) ** 2).sum(axis=0) / count)
    varying = spread > 1e-9 * np.maximum(np.abs(centre), 1e-300)
    return Standard(centre, np.where(varying, spread, np.inf))

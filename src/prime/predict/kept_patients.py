"""Patients of a fit that a model folder keeps, so that similar ones can be named.

It holds them only where `prime fit` was asked to keep them: ids, outcomes and a few components of
what the head reads of them, under every pattern of what may be there.
"""

from dataclasses import dataclass

import numpy as np

from prime.arrays import Flags, Floats, Indices
from prime.downstream.token_blocks import PatientFeatures
from prime.methods.statistics.within_type import Types

COMPONENTS = 32
PAIRS = 500  # of a cancer type, drawn for the typical distance


@dataclass(frozen=True)
class PatternSpace:
    """Fitted patients who have all of a pattern, seen through it.

    Attributes:
        rows: (n,) their numbers among the kept patients.
        centre: (p,) of the features.
        loadings: (p, k) of the principal components of the features times the scale of their block.
        points: (n, k).
        unit: by cancer type, the median distance between two of its patients.
    """

    rows: Indices
    centre: Floats
    loadings: Floats
    points: Floats
    unit: dict[str, float]


@dataclass(frozen=True)
class KeptPatients:
    """Those of the fit who have a label.

    Attributes:
        ids, types: (n,).
        time_days: (n,) follow-up; of a task with a horizon that of its endpoint.
        event: (n,) 1 where the event was observed, else 0 (a label for a task with a horizon).
        spaces: by pattern; those alone in which somebody has everything.
    """

    ids: tuple[str, ...]
    types: tuple[str, ...]
    time_days: Floats
    event: Floats
    spaces: dict[str, PatternSpace]


def keep_patients(
    ids: list[str],
    types: Types,
    outcome: tuple[Floats, Flags],
    features: PatientFeatures,
    members: Indices,
    patterns: dict[str, tuple[Indices, tuple[str, ...]]],
) -> KeptPatients:
    """The labelled patients as neighbours of new ones.

    Args:
        ids, types: of all P patients.
        outcome: times and events (P,).
        features: of all.
        members: who has a label, sorted.
        patterns: name to the members who have all of it, and its sources.
    """
    time, event = outcome
    place = np.full(len(ids), -1)
    place[members] = np.arange(len(members))
    spaces: dict[str, PatternSpace] = {}
    for name, (rows, sources) in patterns.items():
        if len(rows):
            x = features.tested(rows, name, sources)
            spaces[name] = _space(x, features.scale, types[rows], place[rows])
    return KeptPatients(
        tuple(ids[i] for i in members),
        tuple(str(types[i]) for i in members),
        time[members],
        event[members].astype(np.float64),
        spaces,
    )


def _space(x: Floats, scale: Floats, types: Types, rows: Indices) -> PatternSpace:
    centre = x.mean(axis=0)
    weighted = (x - centre) * scale
    _, _, right = np.linalg.svd(weighted, full_matrices=False)
    loadings = scale[:, None] * right[:COMPONENTS].T
    points = (x - centre) @ loadings
    generator = np.random.default_rng(0)
    unit: dict[str, float] = {}
    for name in np.unique(types):
        own = points[types == name]
        pairs = generator.integers(0, len(own), (2, PAIRS))
        apart = np.linalg.norm(own[pairs[0]] - own[pairs[1]], axis=1)[pairs[0] != pairs[1]]
        unit[str(name)] = float(np.median(apart)) if len(apart) and np.median(apart) > 0 else 1.0
    return PatternSpace(rows, centre, loadings, points, unit)

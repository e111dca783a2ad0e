"""Competing events in a prognosis: heads of each cause, and hazards by cancer type and pattern."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from prime.arrays import Floats, Indices
from prime.methods.statistics.cause_hazards import CauseHazards
from prime.methods.statistics.cohort_heads import CohortHead
from prime.methods.statistics.within_type import Types

ANYONE = ""  # the hazards of cancer types that have none of their own


@dataclass(frozen=True)
class CompetingHead:
    """What a prognosis says of events of which one comes first.

    Attributes:
        names: of the C causes, the task's own first.
        heads: of those that compete with it.
        hazards: by cancer type (ANYONE for the others), by pattern.
    """

    names: tuple[str, ...]
    heads: tuple[CohortHead, ...]
    hazards: dict[str, dict[str, CauseHazards]]

    def scores(self, x: Floats, own: Floats, types: Types) -> Floats:
        """Scores (n, C) of features x (n, p), with the task's own (n,) first."""
        return np.stack([own, *(head(x, types) for head in self.heads)], axis=1)

    def incidence(self, scores: Floats, types: Types, days: Floats, pattern: str) -> Floats:
        """Cumulative incidence (n, C, h) by days (h,); NaN beyond what follow-up tells."""
        found = np.empty((*scores.shape, len(days)))
        names = np.array([str(t) if str(t) in self.hazards else ANYONE for t in types], dtype=object)
        for name in sorted(set(names.tolist())):
            rows = np.flatnonzero(names == name)
            found[rows] = self.hazards[name][pattern].incidence_at(scores[rows], days)
        return found


FitHazards = Callable[[Indices, Floats, Floats], CauseHazards]


def learn_hazards(
    scores: dict[str, Floats], groups: dict[str, Indices], ends: dict[str, Floats], fit: FitHazards,
    enough: Callable[[Indices], bool],
) -> dict[str, dict[str, CauseHazards]]:  # fmt: skip
    """The hazards of each group (cancer type) and pattern.

    Args:
        scores: by pattern, (P, C) of patients whom the heads were fitted without, NaN where there is none.
        groups: positions of the patients of each.
        ends: of each group, the ends of its bins in days.
        fit: from patients, their scores and the ends to hazards.
        enough: whether these patients tell hazards; else those with everything observed serve a pattern.
    """
    found: dict[str, dict[str, CauseHazards]] = {}
    for name, own in groups.items():
        whole = fit(own, scores["all"][own], ends[name])
        found[name] = {}
        for pattern, values in scores.items():
            rows = own[np.flatnonzero(np.isfinite(values[own]).all(axis=1))]
            found[name][pattern] = fit(rows, values[rows], ends[name]) if enough(rows) else whole
    return found

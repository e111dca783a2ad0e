"""Risk scores of one cohort or of several together, from features and the labels of one or more endpoints."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from prime.arrays import Flags, Floats, Indices
from prime.methods.statistics.shared_weights import (
    Evidence,
    cox_evidence,
    logistic_evidence,
    no_evidence,
    own_weights,
    shared_weights,
)
from prime.methods.statistics.within_type import Types

PARTS = 5  # for scores of patients who did not shape the head


@dataclass(frozen=True)
class EndpointLabels:
    """Labels of n patients at one endpoint.

    Attributes:
        weight: of this endpoint in the sum.
        known: (n,) bool: the patient has a label.
        time_days: (n,) float64; of a binary label it does not matter.
        event: (n,) bool.
        binary: whether it is a label at a horizon.
        entry_days: (n,) float64, delayed entry; None where all are at risk from the beginning.
    """

    weight: float
    known: Flags
    time_days: Floats
    event: Flags
    binary: bool
    entry_days: Floats | None = None

    def take(self, rows: Indices) -> "EndpointLabels":
        """The labels of these patients alone."""
        entry = None if self.entry_days is None else self.entry_days[rows]
        arrays = {"time_days": self.time_days[rows], "event": self.event[rows], "entry_days": entry}
        return replace(self, known=self.known[rows], **arrays)

    def evidence(self, x: Floats, rows: Indices) -> Evidence:
        """What these rows of features x (n, p) say of the weights."""
        mine = rows[self.known[rows]]
        if not len(mine):
            return no_evidence(x.shape[1])
        if self.binary:
            return logistic_evidence(x[mine], self.event[mine]).times(self.weight)
        entry = None if self.entry_days is None else self.entry_days[mine]
        return cox_evidence(x[mine], self.time_days[mine], self.event[mine], entry).times(self.weight)


@dataclass(frozen=True)
class CohortHead:
    """Weights from features to a log hazard or log odds ratio.

    Attributes:
        shared: (p,), for types without labels.
        own: (p,) of each type.
    """

    shared: Floats
    own: dict[str, Floats]

    def __call__(self, x: Floats, types: Types) -> Floats:
        """Scores (n,) of features x (n, p) of patients of types (n,)."""
        scores = x @ self.shared
        for name in np.unique(types):
            if str(name) in self.own:
                rows = types == name
                scores[rows] = x[rows] @ self.own[str(name)]
        return scores


FitHead = Callable[[Floats, Types, Sequence[EndpointLabels], Indices], CohortHead]


def evidence_by_type(
    x: Floats, types: Types, endpoints: Sequence[EndpointLabels], rows: Indices
) -> dict[str, Evidence]:
    """The sum over endpoints, by cancer type, of the labels of these rows."""
    found: dict[str, Evidence] = {}
    for name in np.unique(types[rows]):
        own = rows[types[rows] == name]
        total = no_evidence(x.shape[1])
        for endpoint in endpoints:
            total = total + endpoint.evidence(x, own)
        found[str(name)] = total
    return found


@dataclass(frozen=True)
class OwnHead:
    """One ridge for all that it is fitted on; several types have baseline hazards of their own."""

    penalty: float
    scale: Floats

    def __call__(
        self, x: Floats, types: Types, endpoints: Sequence[EndpointLabels], rows: Indices
    ) -> CohortHead:
        """Fit on the rows of x (n, p)."""
        total = no_evidence(x.shape[1])
        for evidence in evidence_by_type(x, types, endpoints, rows).values():
            total = total + evidence
        return CohortHead(own_weights(total, self.penalty, self.scale), {})


@dataclass(frozen=True)
class SharedHead:
    """Shared weights, and a deviation for each type; each has its own baseline hazards."""

    shared: float
    deviation: float
    scale: Floats

    def __call__(
        self, x: Floats, types: Types, endpoints: Sequence[EndpointLabels], rows: Indices
    ) -> CohortHead:
        """Fit on the rows of x (n, p)."""
        groups = evidence_by_type(x, types, endpoints, rows)
        return CohortHead(*shared_weights(groups, self.shared, self.deviation, self.scale))


def held_out_scores(
    fit: FitHead,
    x: Floats,
    types: Types,
    endpoints: Sequence[EndpointLabels],
    rows: Indices,
    seed: int,
    part: Indices | None = None,
) -> Floats:
    """Scores (len(rows),) of labelled patients, each from a head that was fitted without those of its part.

    `part` (len(rows),): numbers; five parts are drawn with `seed` where none are given.
    """
    if part is None:
        part = np.random.default_rng(seed).permutation(len(rows)) % PARTS
    scores = np.zeros(len(rows))
    for number in np.unique(part):
        held = rows[part == number]
        if len(held):
            head = fit(x, types, endpoints, rows[part != number])
            scores[part == number] = head(x[held], types[held])
    return scores

"""What classical models are fitted on: one vector a source and patient, and outcomes in time bins."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from prime.arrays import Floats, Indices
from prime.store.vectors import PatientVectors


@dataclass(frozen=True)
class Target:
    """Outcomes of n patients.

    Attributes:
        time_days: (n,) float64, above zero.
        event: (n,) bool: the event was observed; for a binary task, by its horizon.
        edges: (T + 1,) float64 in days, -inf and inf outside, from the fold's training patients.
        binary: the task asks for the event by a horizon; T is 1 and the times do not matter.
        entry_days: (n,) float64, delayed entry; None where all are at risk from the beginning.
    """

    time_days: Floats
    event: NDArray[np.bool_]
    edges: Floats
    binary: bool
    entry_days: Floats | None = None

    def take(self, rows: NDArray[np.int64]) -> "Target":
        """These patients alone."""
        entry = None if self.entry_days is None else self.entry_days[rows]
        return Target(self.time_days[rows], self.event[rows], self.edges, self.binary, entry)


@dataclass(frozen=True)
class Examples:
    """Patients with their outcomes."""

    vectors: PatientVectors
    target: Target

    def take(self, rows: NDArray[np.int64]) -> "Examples":
        """These patients alone."""
        return Examples(self.vectors.take(rows), self.target.take(rows))

    def join(self, other: "Examples") -> "Examples":
        """Both sets of patients, this one first, with this one's bins."""
        return Examples(
            self.vectors.join(other.vectors),
            Target(
                np.concatenate([self.target.time_days, other.target.time_days]),
                np.concatenate([self.target.event, other.target.event]),
                self.target.edges,
                self.target.binary,
                _joined_entry(self.target, other.target),
            ),
        )


def _joined_entry(a: Target, b: Target) -> Floats | None:
    """Entries of both; who has none was at risk from the beginning."""
    if a.entry_days is None and b.entry_days is None:
        return None
    parts = [np.zeros(len(t.event)) if t.entry_days is None else t.entry_days for t in (a, b)]
    return np.concatenate(parts)


@dataclass(frozen=True)
class Population:
    """P patients of all cancer types, labelled or not.

    Attributes:
        types: (P,) cancer types; an empty name where unknown.
        sources: each gives, when called, who has it (n,), sorted, and their vectors (n, d) float64, in which
            a missing number is NaN.
        covariates: (P,) float64 of each covariate of the clinical table, NaN where missing.
        training: whom a model may learn from, sorted; nobody whom the fold tests.
    """

    types: NDArray[np.str_]
    sources: dict[str, Callable[[], tuple[Indices, Floats]]]
    covariates: dict[str, Floats]
    training: Indices

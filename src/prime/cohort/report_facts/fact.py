"""A fact: a number that a rule finds in a report."""

from collections.abc import Callable
from dataclasses import dataclass

from prime.cohort.report_facts.prose import Prose

ABSENT = float("nan")


@dataclass(frozen=True)
class Fact:
    """A named number of a report.

    Attributes:
        name: in snake case, with its unit where it has one.
        meaning: one line, with what the values stand for.
        rule: from the prose of a report to a finite number, NaN where the report does not state it.
    """

    name: str
    meaning: str
    rule: Callable[[Prose], float]


def highest(values: list[float]) -> float:
    """The highest of the values, NaN where there are none."""
    return max(values, default=ABSENT)

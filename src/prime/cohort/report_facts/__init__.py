"""Facts of pathology reports: numbers that rules find in a text, NaN where it does not state them."""

import numpy as np
from numpy.typing import NDArray

from prime.cohort.report_facts.fact import Fact
from prime.cohort.report_facts.findings import FINDINGS
from prime.cohort.report_facts.grading import GRADING
from prime.cohort.report_facts.histology import HISTOLOGY
from prime.cohort.report_facts.markers import MARKERS
from prime.cohort.report_facts.nodes import NODES
from prime.cohort.report_facts.prose import prose
from prime.cohort.report_facts.sizes import SIZES
from prime.cohort.report_facts.staging import STAGING

FACTS: tuple[Fact, ...] = (*STAGING, *GRADING, *SIZES, *NODES, *FINDINGS, *MARKERS, *HISTOLOGY)


def facts_of(text: str) -> NDArray[np.float32]:
    """The facts of a report, (len(FACTS),) float32, NaN for what it does not state."""
    report = prose(text)
    return np.array([fact.rule(report) for fact in FACTS], dtype=np.float32)


__all__ = ["FACTS", "Fact", "facts_of"]

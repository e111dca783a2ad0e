"""Facts of report texts: a vector per patient that rules read, without an encoder."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from prime.cohort.readers.registry import reader
from prime.cohort.readers.report_texts import ReportTable, report_texts
from prime.cohort.report_facts import FACTS, facts_of
from prime.cohort.source import SourceRows
from prime.errors import InputError, some


class FactSource(ReportTable):
    """A table of report texts, read as the facts of prime.cohort.report_facts."""

    group_size: int = Field(default=8, ge=1)


@reader("facts", settings=FactSource)
def read_facts(config: FactSource, root: Path, where: str) -> SourceRows:
    """Read the facts; the features are those of FACTS in their order, NaN where a report does not state one.

    Raises:
        InputError: as report_texts, or a table without facts.
    """
    found = report_texts(config, root, where)
    facts = {patient: facts_of(text) for patient, text in found.texts.items()}
    without = [patient for patient, values in facts.items() if bool(np.isnan(values).all())]
    if len(without) == len(facts):
        path = root / config.path
        raise InputError(f"{where}: {path}: no report states a fact; check the column {config.text!r}")
    notes = list(found.notes)
    if without:
        notes.append(f"{len(without):,} reports state no fact ({some(without)}): counted as missing")
    stated = sum(int((~np.isnan(values)).sum()) for values in facts.values()) / (len(facts) - len(without))
    return SourceRows(
        kind="vector",
        dim=len(FACTS),
        feature_names=[fact.name for fact in FACTS],
        patients=_rows(facts),
        detected=f"{found.detected}, {len(FACTS)} facts, {stated:.1f} of them stated on average",
        notes=notes,
        groups=np.arange(len(FACTS), dtype=np.int64) // config.group_size,
    )


def _rows(facts: dict[str, NDArray[np.float32]]) -> Iterator[tuple[str, NDArray[np.float32]]]:
    """Yield the facts, (1, d), of each patient who has any."""
    for patient, values in facts.items():
        if not bool(np.isnan(values).all()):
            yield patient, values[None]

"""Report texts as counts of words: one vector a patient, without an encoder."""

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from prime.cohort.config import WordSource
from prime.cohort.readers.registry import Keep, reader
from prime.cohort.source import SourceRows
from prime.cohort.tables import read_table, require_columns
from prime.errors import InputError

WORD = re.compile(r"[^\W_]{2,}")  # two letters or digits or more


def word_files(config: WordSource, root: Path, where: str) -> list[Path]:
    """The report table."""
    return [root / config.path]


@reader("words", files=word_files)
def read_words(config: WordSource, root: Path, where: str, keep: Keep = None) -> SourceRows:
    """Count words, in lower case; the features are the words that most patients' reports hold.

    The patient is what stands before the first dot of the file name; several reports of a patient count as
    one. The features are chosen over all reports of the table, whatever `keep` says.

    Raises:
        InputError: a missing file or column, a row without a patient, or a table without words.
    """
    path = root / config.path
    counts = _counts(config, path, where)
    without = [patient for patient, found in counts.items() if not found]
    texts = {patient: found for patient, found in counts.items() if found}
    spread = Counter(word for found in texts.values() for word in found)
    words = sorted(spread, key=lambda word: (-spread[word], word))[: config.max_words]
    if not words:
        raise InputError(f"{where}: {path}: no report has a word; check the column {config.text!r}")
    return SourceRows(
        kind="vector",
        dim=len(words),
        feature_names=words,
        patients=_rows({p: c for p, c in texts.items() if keep is None or p in keep}, words),
        files=word_files(config, root, where),
        detected=f"{len(texts)} reports, {len(words)} of {len(spread)} words, in {spread[words[-1]]} or more",
        notes=[f"the report of {patient} has no word: counted as missing" for patient in without],
        groups=np.arange(len(words), dtype=np.int64) // config.group_size,
    )


def _counts(config: WordSource, path: Path, where: str) -> dict[str, Counter[str]]:
    """How often each patient's reports mention each word, patients sorted."""
    table = read_table(path, where, text=True)
    require_columns(table, [config.patient_id, config.text], path, where)
    found: dict[str, Counter[str]] = {}
    for row, (name, text) in enumerate(
        zip(table[config.patient_id], table[config.text], strict=True), start=1
    ):
        patient = str(name).split(".", 1)[0].strip()
        if not patient:
            raise InputError(f"{where}: {path}: row {row} has no patient in {config.patient_id}")
        found.setdefault(patient, Counter()).update(WORD.findall(str(text).lower()))
    return dict(sorted(found.items()))


def _rows(counts: dict[str, Counter[str]], words: list[str]) -> Iterator[tuple[str, NDArray[np.float32]]]:
    """Each patient's counts, (1, d)."""
    for patient, found in counts.items():
        yield patient, np.array([[found[word] for word in words]], dtype=np.float32)

"""Report texts as counts of words: a vector per patient that needs no encoder."""

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from prime.cohort.readers.registry import reader
from prime.cohort.readers.report_texts import ReportTable, report_texts
from prime.cohort.source import SourceRows
from prime.errors import InputError, some

WORD = re.compile(r"[^\W_]{2,}")  # two letters or digits or more


class WordSource(ReportTable):
    """A table of report texts, read as counts of its most common words.

    `max_length`: of phrases, in words; with 2, pairs of neighbouring words count like words.
    `vocabulary`: count these words and phrases, in this order, instead of the most common ones. A fitted
    model gives its own to the cohorts that it scores.
    """

    max_words: int = Field(default=1000, ge=1)
    max_length: int = Field(default=1, ge=1, le=3)
    group_size: int = Field(default=32, ge=1)
    vocabulary: tuple[str, ...] = ()

    @property
    def longest(self) -> int:
        """Words in the longest phrase that counts."""
        return max((len(phrase.split()) for phrase in self.vocabulary), default=self.max_length)


@reader("words", settings=WordSource)
def read_words(config: WordSource, root: Path, where: str) -> SourceRows:
    """Count words, in lower case; the features are those named, or those in the most patients' reports.

    Raises:
        InputError: as report_texts, or a table without words.
    """
    found = report_texts(config, root, where)
    counts = {patient: Counter(_phrases(text, config.longest)) for patient, text in found.texts.items()}
    without = [patient for patient, count in counts.items() if not count]
    spread = Counter(word for count in counts.values() for word in count)
    common = sorted(spread, key=lambda word: (-spread[word], word))[: config.max_words]
    words = list(config.vocabulary) or common
    if not common:
        path = root / config.path
        raise InputError(f"{where}: {path}: no report has a word; check the column {config.text!r}")
    notes = list(found.notes)
    if without:
        notes.append(f"{len(without):,} reports have no word ({some(without)}): counted as missing")
    return SourceRows(
        kind="vector",
        dim=len(words),
        feature_names=words,
        patients=_rows(counts, words),
        detected=f"{found.detected}, {_of(words, spread, bool(config.vocabulary))}",
        notes=notes,
        groups=np.arange(len(words), dtype=np.int64) // config.group_size,
    )


def _of(words: list[str], spread: Counter[str], given: bool) -> str:
    """Which words are counted, and how many patients' reports have them."""
    if given:
        return f"{len(words)} given words, {sum(word in spread for word in words)} of which occur"
    return f"{len(words)} of {len(spread)} words, in {spread[words[-1]]} or more"


def _phrases(text: str, longest: int) -> list[str]:
    """The words of a text in lower case, and the phrases of up to `longest` words."""
    words = WORD.findall(text.lower())
    found = list(words)
    for length in range(2, longest + 1):
        found += [" ".join(words[i : i + length]) for i in range(len(words) - length + 1)]
    return found


def _rows(counts: dict[str, Counter[str]], words: list[str]) -> Iterator[tuple[str, NDArray[np.float32]]]:
    """Yield the counts, (1, d), of each patient who has any word."""
    for patient, count in counts.items():
        if count:
            yield patient, np.array([[count[word] for word in words]], dtype=np.float32)

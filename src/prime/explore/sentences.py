"""The sentences of a report that counted: how the risk changes when one is left out.

Each sentence is left out in turn, the text is read again by the cohort's readers, and the patient, with all
else as it was, is scored again. What two sentences say alike is so credited to neither.
"""

import re
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from prime.cohort.config import CohortConfig
from prime.cohort.readers.facts import FactSource
from prime.cohort.readers.report import ReportSource
from prime.cohort.readers.report_texts import ReportTable, report_texts
from prime.cohort.readers.words import WordSource, read_words
from prime.cohort.report_facts import facts_of
from prime.explore.variants import Rows, with_rows
from prime.precision import fast_bfloat16
from prime.predict.model_folder import FittedModel
from prime.predict.predict import CPU, score_patients
from prime.serve.memory_store import part_of
from prime.store.store import Store
from prime.text_encoder import encoder_folder, last_hidden_states, load_encoder, token_batches

MOST = 40  # sentences of a report; neighbours are joined where there are more
SHORTEST = 15  # letters of a sentence; shorter ones belong to the one before
ALL_WORDS = 10**9
END = re.compile(r"(?<=[.!?;:])\s+(?=[A-Z0-9(\"'])|\n+")


@dataclass(frozen=True)
class Sentence:
    """A sentence, and what it adds to the risk: the risk with it less that without it."""

    text: str
    contribution: float


def split_sentences(text: str) -> list[str]:
    """The sentences of a report, in order; short ones joined to the one before, MOST at most."""
    found: list[str] = []
    for piece in (piece.strip() for piece in END.split(text)):
        if not piece:
            continue
        if found and (len(piece) < SHORTEST or len(found[-1]) < SHORTEST):
            found[-1] = f"{found[-1]} {piece}"
        else:
            found.append(piece)
    size = -(-len(found) // MOST)
    return [" ".join(found[i : i + size]) for i in range(0, len(found), size)] if found else []


class Reports:
    """The report texts of a cohort, read when they are first asked for."""

    def __init__(self, config: CohortConfig) -> None:
        self.root = Path(config.root)
        every = [(n, o) for _, n, o in config.every_source() if isinstance(o, ReportTable)]
        self.readers = {n: o for n, o in every if (o.path, o.text) == (every[0][1].path, every[0][1].text)}
        self._texts: dict[str, str] | None = None

    def text(self, patient: str) -> str:
        """A patient's report; empty where there is none. Raises InputError as `report_texts` does."""
        if not self.readers:
            return ""
        if self._texts is None:
            name, options = next(iter(self.readers.items()))
            self._texts = report_texts(options, self.root, f"source {name}").texts
        return self._texts.get(patient, "")


def sentences(model: FittedModel, store: Store, reports: Reports, row: int) -> list[Sentence]:
    """The sentences of the report of a patient (position in the store), in their order.

    Empty where there is no report, only one sentence, or no source that is read from it.
    """
    parts = split_sentences(reports.text(str(store.patients["patient_id"].iloc[row])))
    known = {name: options for name, options in reports.readers.items() if name in store.sources}
    if len(parts) < 2 or not known:
        return []
    texts = [" ".join(parts), *(" ".join(parts[:i] + parts[i + 1 :]) for i in range(len(parts)))]
    variants = part_of(store, np.full(len(texts), row))
    patients = variants.patients.assign(patient_id=[f"{i:04d}" for i in range(len(texts))])
    for name, options in known.items():
        variants = with_rows(variants, name, _reader(options, store, name, reports.root)(texts))
    found = score_patients(model, replace(variants, patients=patients), CPU, any_type=True).patients
    risk = found["risk"].to_numpy(dtype=np.float64)
    return [Sentence(text, float(risk[0] - risk[i])) for i, text in enumerate(parts, start=1)]


def _reader(
    options: ReportTable, store: Store, name: str, root: Path
) -> Callable[[Sequence[str]], list[Rows]]:
    """What makes rows (n, d) of texts, as the source's reader does."""
    if isinstance(options, FactSource):
        return lambda texts: [_unless_empty(facts_of(text)) for text in texts]
    if isinstance(options, WordSource):
        return lambda texts: _counts(texts, store.sources[name].feature_names or [], options)
    assert isinstance(options, ReportSource)
    return lambda texts: _encoded(texts, options, root)


def _unless_empty(facts: NDArray[np.float32]) -> Rows:
    """(1, d), or (0, d) where no fact is stated."""
    return facts[None] if not np.isnan(facts).all() else np.zeros((0, len(facts)), dtype=np.float32)


def _counts(texts: Sequence[str], words: Sequence[str], options: WordSource) -> list[Rows]:
    """(1, d) of each text: how often each of the cohort's words occurs; (0, d) where no word does."""
    names = [f"{place:04d}" for place in range(len(texts))]
    with tempfile.TemporaryDirectory(prefix="prime-explore-") as folder:
        table = pd.DataFrame({options.patient_id: names, options.text: list(texts)})
        table.to_csv(Path(folder) / "texts.csv", index=False)
        change = {"path": "texts.csv", "max_words": ALL_WORDS}
        found = read_words(options.model_copy(update=change), Path(folder), "reports")
        rows = {name: row[0] for name, row in found.patients}
    place = {word: number for number, word in enumerate(found.feature_names or ())}
    wanted = np.array([place.get(word, -1) for word in words], dtype=np.int64)
    nothing = np.zeros((0, len(words)), dtype=np.float32)
    return [
        np.where(wanted >= 0, rows[name][wanted], 0.0)[None] if name in rows else nothing for name in names
    ]


@lru_cache(maxsize=2)
def _encoder(folder: Path) -> tuple[Any, Any]:
    return load_encoder(folder, "reports")


def _encoded(texts: Sequence[str], options: ReportSource, root: Path) -> list[Rows]:
    """Tokens (n, d) of each text; nothing is kept on disk."""
    tokenizer, model = _encoder(encoder_folder(options.encoder, root, "reports"))
    ids = [tokenizer(text, truncation=True, max_length=options.max_tokens)["input_ids"] for text in texts]
    found: list[Rows] = [np.zeros((0, 0), dtype=np.float16)] * len(texts)
    for batch in token_batches([len(each) for each in ids]):
        vectors = last_hidden_states(model, [ids[i] for i in batch], fast_bfloat16())
        for place, tokens in zip(batch, vectors, strict=True):
            found[place] = tokens
    return found

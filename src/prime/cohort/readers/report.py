"""Report texts through a BERT-type encoder, one token a word piece, cached by content."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from prime.cohort.config import ReportSource
from prime.cohort.readers.registry import Keep, reader
from prime.cohort.source import SourceRows
from prime.cohort.tables import read_table, require_columns
from prime.errors import InputError
from prime.files import replacing, sha256_paths, sha256_text
from prime.progress import tracked
from prime.text_encoder import (
    encoder_files,
    encoder_folder,
    fast_bfloat16,
    hidden_size,
    last_hidden_states,
    load_encoder,
    token_batches,
)


def report_files(config: ReportSource, root: Path, where: str) -> list[Path]:
    """The report table and the encoder's configuration, vocabulary and weights."""
    return [root / config.path, *encoder_files(encoder_folder(config.encoder, root, where), where)]


@reader("report", files=report_files)
def read_reports(config: ReportSource, root: Path, where: str, keep: Keep = None) -> SourceRows:
    """Read and encode reports: a token is a word piece's last hidden state, special tokens included.

    The patient is what stands before the first dot of the file name; several reports of a patient are joined
    with a line break, in file order. A text is cut at max_tokens word pieces. Vectors are kept as float16 in
    the cache (`PRIME_CACHE`, else `~/.cache/prime`), so a second reading encodes nothing.

    Raises:
        InputError: a missing file, column or encoder, a file that is not UTF-8, or no text at all.
    """
    notes: list[str] = []
    texts = _texts(config, root / config.path, where, keep, notes)
    folder = encoder_folder(config.encoder, root, where)
    attributes = {"encoder": config.encoder}
    if config.trained_on is not None:
        attributes["trained_on"] = config.trained_on
    files = encoder_files(folder, where)
    cache = ReportCache(cache_folder(), sha256_paths(files), config.max_tokens, fast_bfloat16())
    dim = hidden_size(folder, where)
    return SourceRows(
        kind="sequence",
        dim=dim,
        feature_names=None,
        patients=_encoded(texts, folder, cache, where),
        files=[root / config.path, *files],
        detected=f"{len(texts)} reports, encoder {config.encoder}, {dim} features, {config.max_tokens} long",
        notes=notes,
        attributes=attributes,
    )


@dataclass(frozen=True)
class ReportCache:
    """Encoded texts on disk, each under the hash of the text, for one encoder and token limit.

    Attributes:
        base: the cache folder.
        encoder: hash of the encoder's files.
        max_tokens: where texts were cut.
        bfloat16: the precision the encoder ran in (float32 otherwise).
    """

    base: Path
    encoder: str
    max_tokens: int
    bfloat16: bool

    def path(self, text: str) -> Path:
        """Where the text's tokens are, or will be."""
        folder = f"{self.encoder[:16]}-{self.max_tokens}-{'bfloat16' if self.bfloat16 else 'float32'}"
        return self.base / "reports" / folder / f"{sha256_text(text)}.npy"

    def write(self, text: str, tokens: NDArray[np.float16]) -> None:
        """Keep a text's tokens (n, d)."""
        with replacing(self.path(text)) as temporary:
            np.save(temporary, tokens, allow_pickle=False)

    def read(self, text: str) -> NDArray[np.float32]:
        """A text's tokens (n, d) as float32. Raises InputError where the file is damaged."""
        path = self.path(text)
        try:
            return np.load(path, allow_pickle=False).astype(np.float32)
        except (OSError, ValueError, EOFError) as error:
            raise InputError(f"{path}: damaged cache file ({error}); delete it and run again") from None


def cache_folder() -> Path:
    """The cache folder: `PRIME_CACHE`, else `~/.cache/prime`."""
    return Path(os.environ.get("PRIME_CACHE") or "~/.cache/prime").expanduser()


def _texts(config: ReportSource, path: Path, where: str, keep: Keep, notes: list[str]) -> dict[str, str]:
    """Each patient's text, patients sorted; the empty ones are noted and left out."""
    table = read_table(path, where, text=True)
    require_columns(table, [config.patient_id, config.text], path, where)
    found: dict[str, list[str]] = {}
    for row, (name, text) in enumerate(
        zip(table[config.patient_id], table[config.text], strict=True), start=1
    ):
        patient = str(name).split(".", 1)[0].strip()
        if not patient:
            raise InputError(f"{where}: {path}: row {row} has no patient in {config.patient_id}")
        found.setdefault(patient, []).append(str(text).strip())
    several = sum(len(texts) > 1 for texts in found.values())
    if several:
        notes.append(f"{several} patients have several reports: joined")
    joined = {patient: "\n".join(text for text in texts if text) for patient, texts in sorted(found.items())}
    empty = [patient for patient, text in joined.items() if not text]
    notes += [f"the report of {patient} is empty: counted as missing" for patient in empty]
    kept = {p: text for p, text in joined.items() if text and (keep is None or p in keep)}
    if not kept and keep is None:
        raise InputError(f"{where}: {path}: every report is empty; check the column {config.text!r}")
    return kept


def _encoded(
    texts: dict[str, str], folder: Path, cache: ReportCache, where: str
) -> Iterator[tuple[str, NDArray[np.float32]]]:
    """Encode what the cache lacks, then yield each patient's tokens."""
    missing = [text for text in dict.fromkeys(texts.values()) if not cache.path(text).is_file()]
    if missing:
        _encode_into(missing, folder, cache, where)
    for patient, text in texts.items():
        yield patient, cache.read(text)


def _encode_into(texts: list[str], folder: Path, cache: ReportCache, where: str) -> None:
    """Encode texts in batches of like length, and keep each at once, so that a kill loses one batch."""
    tokenizer, model = load_encoder(folder, where)
    ids = [tokenizer(text, truncation=True, max_length=cache.max_tokens)["input_ids"] for text in texts]
    batches = token_batches([len(x) for x in ids])
    for batch in tracked(batches, f"{where}: encoding {len(texts)} reports", len(batches)):
        vectors = last_hidden_states(model, [ids[i] for i in batch], cache.bfloat16)
        for i, tokens in zip(batch, vectors, strict=True):
            cache.write(texts[i], tokens)

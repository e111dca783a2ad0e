"""Folders of a model's weights: on this machine, in the model hub's local cache, or fetched from the hub."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prime.errors import InputError

# How transformers opens a folder: without the network, and never running code that lies in it.
OPENED: Mapping[str, Any] = {"local_files_only": True, "trust_remote_code": False}


@dataclass(frozen=True)
class ModelFiles:
    """What is taken of a model from the hub, as patterns of file names.

    Attributes:
        weights: any one of these patterns is enough.
        others: what lies beside the weights.
        described: what a folder must hold, for messages.
    """

    weights: tuple[str, ...]
    others: tuple[str, ...]
    described: str


def model_folder(name: str, files: ModelFiles, where: str) -> Path:
    """The folder of a model: a local one, else the hub's snapshot, from its local cache before the network.

    A cached snapshot without weights, as other programs leave it, is completed from the network. Whether a
    local folder holds what it should is for the caller to see.

    Args:
        name: a folder, or `owner/model` on the hub.
        files: what is fetched.
        where: what a message begins with; it names the model.

    Raises:
        InputError: a path that is no folder, or a model that is neither cached nor to be fetched.
    """
    local = Path(name).expanduser()
    if local.is_dir():
        return local
    if local.exists() or local.is_absolute() or name.startswith((".", "~")):
        raise InputError(f"{where}: not a folder; give one with {files.described}")
    try:
        from huggingface_hub import snapshot_download
    except ImportError:
        raise InputError(
            f"{where}: no such folder, and the model hub needs pip install 'prime-prognosis[text]'"
        ) from None
    patterns = [*files.weights, *files.others]
    try:
        cached = Path(snapshot_download(name, allow_patterns=patterns, local_files_only=True))
        if any(any(cached.glob(pattern)) for pattern in files.weights):
            return cached
    except Exception:  # not in the hub's local cache; its client raises many kinds
        pass
    try:
        return Path(snapshot_download(name, allow_patterns=patterns))
    except Exception as error:
        raise InputError(
            f"{where}: neither a folder nor reachable on the hub ({type(error).__name__}); give a folder "
            f"with {files.described}"
        ) from None


def recorded_name(name: str) -> str:
    """A model's name as it is stored with features: of a local folder the last part, never a path of here."""
    local = Path(name).expanduser()
    return local.resolve().name if local.is_dir() else name

"""Folders of a model's weights: on this machine, in the model hub's local cache, or fetched from the hub."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prime.errors import InputError
from prime.libraries import quiet_progress_bars

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


def model_folder(
    name: str, files: ModelFiles, where: str, revision: str | None = None, extra: str = "text"
) -> Path:
    """The folder of a model: a local one, else the hub's snapshot, from its local cache before the network.

    A cached snapshot without weights, as other programs leave it, is completed from the network. Whether a
    local folder holds what it should is for the caller to see.

    Args:
        name: a folder, or `owner/model` on the hub.
        files: what is fetched.
        where: what a message begins with; it names the model.
        revision: a branch, tag or commit on the hub; its main branch by default.
        extra: of the package, which brings the hub's client.

    Raises:
        InputError: a path that is no folder, or a model that is neither cached nor to be fetched.
    """
    local = Path(name).expanduser()
    if local.is_dir():
        return local
    if local.exists() or local.is_absolute() or name.startswith((".", "~")):
        raise InputError(f"{where}: not a folder; give one with {files.described}")
    quiet_progress_bars()
    try:
        from huggingface_hub import snapshot_download
    except ImportError:
        raise InputError(
            f"{where}: no such folder, and the model hub needs pip install 'prime-prognosis[{extra}]'"
        ) from None
    patterns = [*files.weights, *files.others]
    try:
        cached = Path(
            snapshot_download(name, revision=revision, allow_patterns=patterns, local_files_only=True)
        )
        if any(any(cached.glob(pattern)) for pattern in files.weights):
            return cached
    except Exception:  # not in the hub's local cache; its client raises many kinds
        pass
    try:
        return Path(snapshot_download(name, revision=revision, allow_patterns=patterns))
    except Exception as error:
        raise InputError(
            f"{where}: neither a folder nor reachable on the hub ({hub_trouble(error)}); give a folder "
            f"with {files.described}"
        ) from None


def hub_trouble(error: Exception) -> str:
    """What the hub has against a request, in the words of its user."""
    from huggingface_hub import errors

    chain: list[BaseException] = [error]
    while chain[-1].__cause__ is not None:
        chain.append(chain[-1].__cause__)
    known = (errors.HfHubHTTPError, errors.OfflineModeIsEnabled)
    asked = next((one for one in chain if isinstance(one, known)), error)
    status = getattr(getattr(asked, "response", None), "status_code", None)
    if isinstance(asked, errors.OfflineModeIsEnabled):
        return "it is not asked while HF_HUB_OFFLINE is set, and its local cache has no such model"
    if isinstance(asked, errors.GatedRepoError):
        return "its owner must grant you access first; ask for it on the model's page"
    if isinstance(asked, errors.RevisionNotFoundError):
        return "the model has no such revision"
    if isinstance(asked, errors.RepositoryNotFoundError):
        return "it shows you no model of this name; check the name, or log in (hf auth login, or HF_TOKEN)"
    if status == 401:
        return "it refuses your token (401); log in again (hf auth login), or mend HF_TOKEN"
    if status == 403:
        return "your token may not do this there (403); take one that may, or another owner"
    return f"an error {status}" if status else type(asked).__name__


def recorded_name(name: str) -> str:
    """A model's name as it is stored with features: of a local folder the last part, never a path of here."""
    local = Path(name).expanduser()
    return local.resolve().name if local.is_dir() else name

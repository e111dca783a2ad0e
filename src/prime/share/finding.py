"""Where a fitted model is: a folder of this machine, or a name on the model hub."""

import re
from pathlib import Path

from prime.errors import InputError
from prime.hub import ModelFiles, model_folder
from prime.model.checkpoint import CONFIG, MANIFEST, WEIGHTS
from prime.predict.model_folder import ARRAYS, HEAD

HUB_NAME = re.compile(r"\w[\w.-]*/\w[\w.-]*")
CARD = "README.md"
PARTS = (WEIGHTS, ARRAYS, HEAD, CONFIG, MANIFEST)
FILES = ModelFiles((WEIGHTS,), (*PARTS[1:], CARD), "a fitted model (prime fit)")


def find_model(name: str | Path, revision: str | None = None) -> Path:
    """The folder of a fitted model; one of the hub comes from its local cache before the network.

    Args:
        name: a folder, or `owner/name` on the hub, with `@revision` where it is not the main branch.
        revision: the same, apart from the name.

    Raises:
        InputError: a revision of a folder, a model of the hub that is neither cached nor to be fetched, or
            one that is none of PRIME. Whether a folder is there, and holds a model, `load_model` says.
    """
    plain, _, at = str(name).partition("@")
    wanted, local = revision or at or None, Path(name).expanduser()
    if wanted is not None and Path(plain).expanduser().is_dir():
        raise InputError(f"{plain}: a folder of this machine has no revision {wanted!r}; leave it out")
    if local.exists() or not HUB_NAME.fullmatch(plain):
        return local
    found = model_folder(plain, FILES, str(name), wanted, "hub")
    missing = [file for file in PARTS if not (found / file).is_file()]
    if missing:
        raise InputError(f"{name}: no fitted model of PRIME on the hub: it has no {', '.join(missing)}")
    return found

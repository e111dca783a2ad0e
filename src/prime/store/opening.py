"""Opening a cohort's store, after packing it where it is missing or its files have changed."""

from collections.abc import Callable
from pathlib import Path

from prime.cohort.config import CohortConfig
from prime.errors import InputError
from prime.file_names import file_name
from prime.files import sha256_text
from prime.store.manifest import MANIFEST
from prime.store.packing import pack
from prime.store.store import Store

SHOWN_REASONS = 3


def default_store(config: CohortConfig) -> Path:
    """The default folder of a cohort's store: `runs/store-NAME-HASH` below the current folder.

    The hash is over the cohort's settings with absolute root, so that two cohorts never share a store.
    """
    return Path("runs") / f"store-{file_name(config.name)}-{sha256_text(config.model_dump_json())[:8]}"


def open_or_pack(config: CohortConfig, folder: Path, say: Callable[[str], None]) -> Store:
    """Open the store in `folder`; pack it first where there is none, and again where it is stale.

    `say` is called with one line where anything is packed. Raises InputError for what the readers refuse,
    and where the folder holds another cohort.
    """
    if (folder / MANIFEST).is_file():
        store = Store.open(folder)
        if store.manifest["name"] != config.name:
            raise InputError(
                f"{folder}: holds the cohort {store.manifest['name']!r}, not {config.name!r};"
                " name another folder for the store"
            )
        reasons = store.stale(config)
        if not reasons:
            return store
        more = len(reasons) - SHOWN_REASONS
        shown = "; ".join(reasons[:SHOWN_REASONS]) + (f"; and {more} more" if more > 0 else "")
        say(f"store {folder} is stale ({shown}): packing again")
    else:
        say(f"packing cohort {config.name} into {folder}")
    return Store.open(pack(config, folder))

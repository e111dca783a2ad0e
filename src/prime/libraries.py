"""How the libraries below us are told to behave."""

import logging
import os
import warnings
from contextlib import suppress
from importlib import import_module


def quiet_libraries() -> None:
    """Turn down notices that libraries print about themselves; their errors still come through."""
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # a hospital's cluster reports to nobody
    for name in ("lightning_fabric.utilities.rank_zero", "lightning_utilities.core.rank_zero"):
        logging.getLogger(name).setLevel(logging.ERROR)


def quiet_progress_bars() -> None:
    """Call before a library that draws its bars with tqdm, and draws none here, is imported.

    In a notebook without ipywidgets, tqdm warns on its first import that it will draw its bars as text.
    """
    with warnings.catch_warnings(), suppress(ImportError):
        warnings.simplefilter("ignore")
        import_module("tqdm.auto")

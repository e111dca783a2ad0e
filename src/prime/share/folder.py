"""A fitted model as a folder for others, or for oneself."""

import shutil
from pathlib import Path

from prime.errors import InputError
from prime.files import write_text
from prime.predict.model_folder import FittedModel, load_model, save_model
from prime.sealed import DIGESTS, SEAL
from prime.share.card import card_page
from prime.share.finding import CARD
from prime.share.without_patients import known_ids, require_no_ids, without_patients


def write_folder(model: FittedModel, out: Path, patients: bool = False, card: Path | None = None) -> None:
    """Write a model into a new folder, with a card.

    Args:
        model: read from a folder.
        out: must not hold anything.
        patients: keep ids, outcomes and rows of patients, for a folder that stays at home. Without them, that
            folder says of nobody whether they served the model.
        card: a card that its authors have finished; None writes one with blanks.

    Raises:
        InputError: `out` holds something, or an id of a patient would be left in the folder.
    """
    if out.exists() and any(out.iterdir()):
        raise InputError(f"{out}: holds something; name a new folder for the model")
    bare, manifest = without_patients(model)
    if patients:
        held = model.checkpoint.manifest
        bare, manifest = model, {key: held[key] for key in held if key not in (SEAL, DIGESTS)}
    try:
        save_model(out, bare, manifest)
        text = card_page(load_model(out)) if card is None else card.read_text(encoding="utf-8")
        write_text(out / CARD, text)
        if not patients:
            require_no_ids(out, known_ids(model))
    except InputError:
        shutil.rmtree(out, ignore_errors=True)
        raise


def finished_card(model: FittedModel, folder: Path) -> Path | None:
    """The card that stands in the folder of a model that travels already, as its authors left it."""
    card = folder / CARD
    return card if not model.knows_patients and card.is_file() else None

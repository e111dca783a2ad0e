"""Commands for models that leave the machine: push."""

from pathlib import Path
from typing import Annotated

from prime.arguments import Folder, about
from prime.errors import InputError


def push(
    model: Annotated[Folder, about("Folder of prime fit, or of an earlier --out.", "MODEL")],
    /,
    *,
    to: Annotated[str | None, about("Where on the model hub.", "OWNER/NAME")] = None,
    public: Annotated[bool, about("Everybody may read it (else it is private).")] = False,
    out: Annotated[Path | None, about("Write what would be sent into a new folder instead.", "DIR")] = None,
) -> None:
    """Send a fitted model, without its patients and with a card, to the model hub."""
    if (to is None) == (out is None):
        raise InputError("give one of --to owner/name and --out DIR")
    from prime.predict.model_folder import load_model
    from prime.share.finding import CARD
    from prime.share.folder import finished_card, write_folder
    from prime.share.push import push as send

    if to is not None:
        print(f"{to}: {'public' if public else 'private'}, {send(model, to, public)}")
        return
    assert out is not None
    loaded = load_model(model)
    write_folder(loaded, out, card=finished_card(loaded, model))
    print(f"{out}: holds no patient; finish {out / CARD}, then prime push {out} --to owner/name")

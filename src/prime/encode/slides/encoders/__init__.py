"""The encoders of tiles. An encoder with a name of its own is a module here and a line in NAMED; any other
name is a folder, or a model on the hub, in the layout of transformers or of timm.
"""

from collections.abc import Callable

from prime.encode.slides.encoders import colour, efficientnet, timm_models, transformers_models
from prime.encode.slides.encoders.interface import EncoderChoice, TileEncoder
from prime.hub import model_folder

NAMED: dict[str, Callable[[EncoderChoice], TileEncoder]] = {
    "colour": colour.find,
    efficientnet.NAME: efficientnet.find,
}


def find_encoder(choice: EncoderChoice) -> TileEncoder:
    """The encoder that the user names, not loaded yet. Raises InputError where something of it is missing."""
    if choice.name in NAMED:
        return NAMED[choice.name](choice)
    folder = model_folder(choice.name, transformers_models.FILES, f"encoder {choice.name}").resolve()
    layout = timm_models if timm_models.is_timm(folder) else transformers_models
    return layout.find(choice, folder)

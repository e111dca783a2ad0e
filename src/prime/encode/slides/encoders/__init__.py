"""The encoders of tiles. An encoder with a name of its own is a module here and a line in NAMED; any other
name is a folder, or a model on the hub, in the layout of transformers.
"""

from collections.abc import Callable

from prime.encode.slides.encoders import colour, transformers_models
from prime.encode.slides.encoders.interface import EncoderChoice, TileEncoder

NAMED: dict[str, Callable[[EncoderChoice], TileEncoder]] = {"colour": colour.find}


def find_encoder(choice: EncoderChoice) -> TileEncoder:
    """The encoder that the user names, not loaded yet. Raises InputError where something of it is missing."""
    return NAMED.get(choice.name, transformers_models.find)(choice)

"""The encoders of tiles. One with a name of its own is a file here and a line in NAMED; any other name is a
folder or hub name in the layout of transformers.
"""

from collections.abc import Callable

from prime.encode.slides.encoders import colour, transformers_models
from prime.encode.slides.encoders.interface import EncoderChoice, TileEncoder

NAMED: dict[str, Callable[[EncoderChoice], TileEncoder]] = {"colour": colour.find}


def find_encoder(choice: EncoderChoice) -> TileEncoder:
    """The encoder that the user names, not loaded yet. Raises InputError where it is not all there."""
    return NAMED.get(choice.name, transformers_models.find)(choice)

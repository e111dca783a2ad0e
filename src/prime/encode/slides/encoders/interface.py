"""The interface of encoders of tiles, before and after they are loaded."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from prime.encode.record import EncoderRecord

Pooling = Literal["cls", "mean", "cls+mean"]
Precision = Literal["float32", "bfloat16"]


@dataclass(frozen=True)
class EncoderChoice:
    """The user's choice of an encoder.

    Attributes:
        name: a name of NAMED, a folder, or a name on the model hub.
        licence, trained_on: of the weights, for the record; None: as known.
        side_px: side of a tile in pixels; None: the encoder's own.
    """

    name: str
    licence: str | None = None
    trained_on: str | None = None
    side_px: int | None = None


@dataclass(frozen=True)
class Pixels:
    """How tiles become a network's input: their side, and (value x scale - mean) / std of each channel."""

    side_px: int
    scale: float
    mean: tuple[float, ...]
    std: tuple[float, ...]


@dataclass(frozen=True)
class LoadedEncoder:
    """Takes tiles (b, px, px, 3) uint8 to features (b, dim) float32.

    Attributes:
        dim: number of features.
        feature_names: their names, empty where they have none.
        encode: the function; raises InputError for features that are not finite, or too little memory.
    """

    dim: int
    feature_names: tuple[str, ...]
    encode: Callable[[NDArray[np.uint8]], NDArray[np.float32]]


@dataclass(frozen=True)
class TileEncoder(ABC):
    """An encoder that is not loaded yet, small enough to be sent to other processes.

    Attributes:
        record: stored with its features.
        pixels: how tiles become its input.
    """

    record: EncoderRecord
    pixels: Pixels

    @abstractmethod
    def load(
        self,
        pooling: Pooling | None = None,
        precision: Precision = "float32",
        device: str = "cpu",
        threads: int = 1,
    ) -> LoadedEncoder:
        """Load it.

        Args:
            pooling: of a transformer's tokens: `cls` takes the class token, `mean` averages the image's
                tokens, `cls+mean` puts both one after the other; None: the checkpoint's own, else `cls` where
                there is such a token. An encoder without tokens has its own.
            precision: of the matrix products; features are float32 in any case.
            device: as torch names it, or `auto`: a GPU where there is one.
            threads: of this process.

        Raises:
            InputError: weights that are damaged or incomplete, or a choice that it does not take.
        """

"""An encoder without weights: statistics of the colours and stains of a tile.

It serves to try the pipeline without a checkpoint. It knows nothing of histology beyond the colours of the
two stains, and no study should use it.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from prime.encode.record import EncoderRecord
from prime.encode.slides.encoders.interface import EncoderChoice, LoadedEncoder, Pixels, TileEncoder

# Optical density of haematoxylin and eosin in red, green and blue: Ruifrok and Johnston, Anal Quant Cytol
# Histol 23, 2001. The third row is perpendicular to both.
STAINS = np.array([[0.650, 0.704, 0.286], [0.072, 0.990, 0.105]])
CHANNELS = ("red", "green", "blue", "haematoxylin", "eosin", "residual")
STATISTICS = ("mean", "std", "q10", "q50", "q90")
FEATURE_NAMES = tuple(f"{channel}_{statistic}" for channel in CHANNELS for statistic in STATISTICS)
RECORD = EncoderRecord("colour", "none", "none", "Apache-2.0", "nothing")
SIDE_PX = 224


class ColourEncoder(TileEncoder):
    """Has nothing to load, and ignores pooling, precision, device and threads."""

    def load(self, *_: Any, **__: Any) -> LoadedEncoder:
        """The function `colour_features`."""
        return LoadedEncoder(len(FEATURE_NAMES), FEATURE_NAMES, colour_features)


def find(choice: EncoderChoice) -> TileEncoder:
    """The encoder, for tiles of the side chosen."""
    return ColourEncoder(RECORD, Pixels(choice.side_px or SIDE_PX, 1.0, (0.0,), (1.0,)))


def unmixing() -> NDArray[np.float64]:
    """The (3, 3) matrix that takes optical densities (..., 3) to stain amounts (..., 3) from the right."""
    rows = STAINS / np.linalg.norm(STAINS, axis=1, keepdims=True)
    third = np.cross(rows[0], rows[1])
    return np.linalg.inv(np.vstack([rows, third / np.linalg.norm(third)])).astype(np.float64)


def colour_features(tiles: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Statistics of the colours (as shares of 255) and stains of tiles (b, h, w, 3): (b, 30) float32.

    Each of CHANNELS has its mean, standard deviation and 10, 50 and 90 % quantiles.
    """
    matrix = unmixing()
    return np.stack([_of_tile(tile, matrix) for tile in tiles])


def _of_tile(tile: NDArray[np.uint8], matrix: NDArray[np.float64]) -> NDArray[np.float32]:
    pixels = tile.reshape(-1, 3).astype(np.float64)
    density = -np.log10((pixels + 1.0) / 256.0)
    channels = np.concatenate([pixels / 255.0, density @ matrix], axis=1)
    quantiles = np.quantile(channels, [0.1, 0.5, 0.9], axis=0)
    rows = np.vstack([channels.mean(axis=0), channels.std(axis=0), quantiles])
    return rows.T.reshape(-1).astype(np.float32)

"""The options of `prime encode slides`, each in one place: its name, kind, words of help and default."""

from dataclasses import dataclass
from typing import Annotated, Literal

from cyclopts import Parameter

from prime.arguments import Above, Bound, Count, Licence, TrainedOn, Whole, about


@Parameter("*")
@dataclass(frozen=True)
class TileOptions:
    """How slides become tiles."""

    tile_um: Annotated[Above, about("A tile's side in um.", "UM")] = 256.0
    tile_px: Annotated[Count | None, about("A tile's side in pixels (the encoder's own).")] = None
    mpp: Annotated[Above | None, about("um per pixel of slides whose metadata state none.")] = None
    override_mpp: Annotated[bool, about("Use --mpp for every slide, whatever its metadata state.")] = False
    entropy: Annotated[Bound, about("Least entropy of a tile in bits, or off.")] = 5.0
    brightness: Annotated[Bound, about("A tile's mean grey value is below this, or off.")] = 240.0
    canny: Annotated[Bound, about("Least share of edge pixels, such as 0.02 (off).")] = None


@Parameter("*")
@dataclass(frozen=True)
class EncoderOptions:
    """How tiles become features."""

    encoder: Annotated[
        str | None,
        about(
            "Name on the model hub, a folder in the layout of transformers or timm, efficientnet-lite0"
            " (small, from the package index), or colour (no weights, to try it out).",
            "NAME",
        ),
    ] = None
    pooling: Annotated[
        Literal["cls", "mean", "cls+mean"] | None,
        about("How a ViT's tokens become one (the checkpoint's own, or cls)."),
    ] = None
    licence: Licence = None
    trained_on: TrainedOn = None
    precision: Annotated[Literal["float32", "bfloat16"], about("Arithmetic of the encoder.")] = "float32"
    device: Annotated[str, about("cpu, cuda, cuda:1, ... (a GPU if there is one).", "NAME")] = "auto"
    batch_size: Annotated[Count, about("Tiles encoded at once.")] = 64
    workers: Annotated[Count, about("Reading processes per slide.")] = 1


@Parameter("*")
@dataclass(frozen=True)
class ClusterOptions:
    """How features become centroids. These fields are what finished files are compared with."""

    clusters: Annotated[Count, about("Most centroids per patient or slide.", "K")] = 128
    scope: Annotated[
        Literal["patient", "slide"], about("Cluster a patient's slides together, or each slide.")
    ] = "patient"
    pad: Annotated[bool, about("Add zero rows up to K, and a mask, to the centroid files.")] = False
    seed: Annotated[Whole, about("Of k-means.")] = 42

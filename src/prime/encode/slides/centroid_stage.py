"""Second stage, one patient or slide: the features of its tiles become a file of centroids."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from prime.arrays import Indices
from prime.cohort.tile_links import TileLinks, joined
from prime.encode.slides.centroids import BATCH, MAX_ITER, centroids, padded
from prime.encode.slides.feature_files import TileFeatures, read_tiles
from prime.encode.slides.options import ClusterOptions
from prime.encode.token_file import write_token_file
from prime.encode.work import Piece
from prime.errors import InputError

VERSION = 2


def centroid_settings(options: ClusterOptions) -> dict[str, Any]:
    """What centroids depend on except the features, as JSON values."""
    return {"version": VERSION, "batch": BATCH, "max_iter": MAX_ITER, **asdict(options)}


def centroid_pieces(of_name: Mapping[str, Sequence[Path]], folder: Path) -> list[Piece]:
    """The work on each patient or slide: from its feature files to `NAME.h5` in `folder`."""
    return [Piece(name, tuple(paths), (folder / f"{name}.h5",)) for name, paths in of_name.items()]


def make_centroids(options: ClusterOptions, piece: Piece) -> dict[str, Any]:
    """Cluster the tiles of one patient or slide. Returns the numbers of tiles and centroids.

    The file has `features` (k, d) float32 and `counts` (k,) int64, the tiles of each centroid; if padded also
    `mask` (k,) boolean. Its group `links` says which tile of which slide belongs to which centroid
    (`prime.cohort.tile_links`), as far as the slides' files have coordinates.

    Raises:
        InputError: a file cannot be read, the slides have different encoders, or there is not a single tile.
    """
    slides = [read_tiles(path) for path in piece.inputs]
    names = [path.stem for path in piece.inputs]
    full = [(name, slide) for name, slide in zip(names, slides, strict=True) if len(slide.features)]
    if not full:
        raise InputError(
            f"{', '.join(names)}: no tile of tissue was kept; look at the overlay, or the filters"
        )
    _same_encoder(full)
    features = np.concatenate([slide.features for _, slide in full])
    rows, counts, of_tile = centroids(features, options.clusters, options.seed)
    datasets: dict[str, Any] = {"features": rows, "counts": counts}
    if options.pad:
        datasets["features"], datasets["mask"] = padded(rows, options.clusters)
        datasets["counts"] = np.pad(counts, (0, options.clusters - len(counts)))
    about = full[0][1].attributes | {
        "name": piece.name, "slides": ",".join(name for name, _ in full), "tiles": len(features),
        "clusters": options.clusters, "seed": options.seed, "scope": options.scope,
    }  # fmt: skip
    write_token_file(piece.outputs[0], datasets, about, _links(full, of_tile).datasets())
    return {"tiles": len(features), "centroids": len(rows)}


def _links(slides: list[tuple[str, TileFeatures]], of_tile: Indices) -> TileLinks:
    """The tiles of slides with coordinates, and the centroid (n,) of each tile of all slides, in order."""
    parts: list[TileLinks] = []
    first = 0
    for _, slide in slides:
        tokens = of_tile[first : first + len(slide.features)]
        first += len(tokens)
        if slide.coords is not None and slide.frame is not None:
            parts.append(TileLinks((slide.frame,), np.zeros_like(tokens), slide.coords, tokens))
    return joined(parts, [0] * len(parts))


def _same_encoder(slides: list[tuple[str, TileFeatures]]) -> None:
    """Raise InputError where features come from different encoders."""
    (first, one), *others = slides
    for name, slide in others:
        for what in ("encoder", "extractor", "weights_sha256"):
            ours, theirs = one.attributes.get(what), slide.attributes.get(what)
            if ours != theirs:
                raise InputError(
                    f"{first} and {name}: made by different encoders ({what} {ours!r} and {theirs!r}); "
                    f"keep one encoder per patient"
                )
        if slide.features.shape[1] != one.features.shape[1]:
            raise InputError(
                f"{first} has {one.features.shape[1]} features per tile, {name} {slide.features.shape[1]}; "
                f"keep one encoder per patient"
            )

"""A cohort whose slides are at hand: one patient with centroids of two slides, the others with tiles."""

import shutil
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
import yaml
from numpy.typing import NDArray

from prime.encode.slides.centroid_stage import make_centroids
from prime.encode.slides.feature_files import feature_writer
from prime.encode.slides.options import ClusterOptions
from prime.encode.work import Piece
from tests.encode.slide_files import tissue, write_slide
from tests.small_model import SmallModel

SIDE, WIDTH, HEIGHT = 32, 896, 640  # pixels of a tile, and of a slide
CENTROIDS, MOST = 20, 24  # tokens of that patient, and of anybody


@dataclass(frozen=True)
class SlideCohort:
    """The cohort file, its store, the folder of slides, and the patient who has centroids."""

    cohort: Path
    store: Path
    slides: Path
    patient: str
    names: tuple[str, str]
    tiles: tuple[NDArray[np.int64], NDArray[np.int64]]


def tile_corners(seed: int) -> NDArray[np.int64]:
    """Corners (n, 2) of tiles of a slide's tissue, by y, then x; a few are left out."""
    rng = np.random.default_rng(seed)
    grid = [
        (x, y)
        for y in range(HEIGHT // 4, 3 * HEIGHT // 4, SIDE)
        for x in range(WIDTH // 4, 3 * WIDTH // 4, SIDE)
    ]
    return np.array(grid, dtype=np.int64)[rng.random(len(grid)) < 0.85]


def make_slide_cohort(made: SmallModel, folder: Path) -> SlideCohort:
    """Give one of the unseen patients two slides, of whose tiles the file of tokens holds centroids."""
    shutil.copytree(made.unseen.parent, folder / "cohort")
    config = yaml.safe_load(made.unseen.read_text(encoding="utf-8"))
    del config["modalities"]["report"]  # which takes long to pack
    config["modalities"]["image"]["tiles"]["max_tokens"] = MOST
    (folder / "cohort" / "cohort.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    own = sorted((folder / "cohort" / "slides").glob("*.h5"))[1]
    patient = own.stem
    with h5py.File(own) as file:
        rows = file["features"][()].astype(np.float32)
    rng = np.random.default_rng(5)
    names = (f"{patient}-A", f"{patient}-B")
    tiles = (tile_corners(1), tile_corners(2))
    for number, (name, corners) in enumerate(zip(names, tiles, strict=True)):
        # tiles that lie together look alike: bands of the slide take after one of the patient's rows each
        band = (corners[:, 0] // 96 + corners[:, 1] // 128 + number) % min(12, len(rows))
        features = rows[band] + rng.normal(0, 0.05, (len(corners), rows.shape[1])).astype(np.float32)
        with feature_writer(folder / "tiles" / f"{name}.h5", rows.shape[1]) as file:
            file.append(features.astype(np.float32), corners)
            about = {"patch_size": SIDE, "patch_size_level0": SIDE, "level0_magnification": 40}
            about |= {"target_magnification": 20, "level0_width": WIDTH, "level0_height": HEIGHT}
            file.set_attributes({"encoder": "simulated"}, {**about, "patch_size": 256})
        write_slide(folder / "pictures" / f"{name}.tif", tissue(HEIGHT, WIDTH, number), levels=2)
    own.unlink()
    parts = tuple(folder / "tiles" / f"{name}.h5" for name in names)
    make_centroids(ClusterOptions(CENTROIDS), Piece(patient, parts, (own,)))
    made.packed(folder / "cohort" / "cohort.yaml", folder / "store")
    return SlideCohort(
        folder / "cohort" / "cohort.yaml", folder / "store", folder / "pictures", patient, names, tiles
    )

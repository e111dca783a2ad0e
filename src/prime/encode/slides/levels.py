"""The levels of a slide's pyramid: which of them show the same picture as the first, at one scale."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import openslide
from numpy.typing import NDArray
from PIL import Image

from prime.encode.slides.slide_file import open_slide
from prime.errors import InputError

EDGE_PX = 2.0  # a level's sides may differ by this from those of the first, divided by the downsample,
EDGE_SHARE = 0.0005  # or by this share of them; beyond that its pixels lie elsewhere
SPOTS = 12  # in each direction, where levels are compared
SPOT_PX = 256  # side of a spot at level 0
BLANK = 230.0  # mean grey value; darker spots hold something
FEWEST = 3  # spots that must differ; one may lie at the edge of tissue
DIFFERENT = 25.0  # grey values by which a spot may differ between levels


@dataclass(frozen=True)
class Levels:
    """Levels that are read, from the finest on, and why each of the others is not."""

    used: tuple[int, ...]
    reasons: tuple[str, ...] = ()


def same_shape(slide: openslide.OpenSlide) -> list[int]:
    """The levels with the aspect ratio of the first; OpenSlide knows one downsample for both directions."""
    found: list[int] = []
    for level, (scale, sides) in enumerate(zip(slide.level_downsamples, slide.level_dimensions, strict=True)):
        wanted = [side / scale for side in slide.dimensions]
        if all(
            abs(side - expected) <= max(EDGE_PX, EDGE_SHARE * expected)
            for side, expected in zip(sides, wanted, strict=True)
        ):
            found.append(level)
    return found


def judged_levels(path: Path) -> Levels:
    """The levels that show what level 0 shows, judged by the mean grey values of spots all over the slide.

    Spots that are blank in both do not count. A level is left out where most of the others differ, and three.

    Raises:
        InputError: the slide can't be opened, or level 0 is blank where another level shows something.
    """
    with open_slide(path) as slide:
        shaped, count = same_shape(slide), slide.level_count
    others = [level for level in range(count) if level not in shaped]
    reasons = [f"level {level} has another aspect ratio" for level in others]
    used = [0]
    first = _spots(path, 0) if len(shaped) > 1 else np.empty(0)
    for level in shaped[1:]:
        other = _spots(path, level)
        telling = np.isfinite(first) & np.isfinite(other) & (np.minimum(first, other) < BLANK)
        differs = telling & (np.abs(first - other) > DIFFERENT)
        if differs.sum() < FEWEST or 2 * differs.sum() <= telling.sum():
            used.append(level)
        elif np.nanmin(first) >= BLANK:
            raise InputError(f"{path}: level 0 is blank where level {level} shows tissue; copy it again")
        else:
            reasons.append(f"level {level} shows another picture than level 0")
    return Levels(tuple(used), tuple(reasons))


def _spots(path: Path, level: int) -> NDArray[np.float64]:
    """Mean grey values (SPOTS * SPOTS,) of a level at spots all over the slide, NaN where it is damaged."""
    found: list[float] = []
    slide = open_slide(path)
    try:
        width, height = slide.dimensions
        side = min(SPOT_PX, width, height)
        pixels = max(1, round(side / slide.level_downsamples[level]))
        for y in np.linspace(0, height - side, SPOTS).round().astype(int).tolist():
            for x in np.linspace(0, width - side, SPOTS).round().astype(int).tolist():
                try:
                    found.append(_mean_grey(slide.read_region((x, y), level, (pixels, pixels))))
                except openslide.OpenSlideError:  # after which OpenSlide reads nothing more from this handle
                    found.append(float("nan"))
                    slide.close()
                    slide = open_slide(path)
    finally:
        slide.close()
    return np.array(found)


def _mean_grey(region: Image.Image) -> float:
    flat = Image.new("RGB", region.size, (255, 255, 255))
    flat.paste(region, mask=region.getchannel("A"))
    return float(np.asarray(flat.convert("L"), dtype=np.float64).mean())

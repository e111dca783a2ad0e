"""How tiles become the input of a checkpoint of transformers, by its `preprocessor_config.json`."""

from pathlib import Path
from typing import Any

from prime.encode.slides.encoders.interface import Pixels
from prime.errors import InputError
from prime.parsing import read_json


def read_pixels(path: Path, name: str, side_px: int | None) -> Pixels:
    """Read side, scale, mean and std. Raises InputError where one is missing or not usable."""
    if not path.is_file():
        raise InputError(
            f"encoder {name}: no {path.name}, so it is unknown how it wants its pixels; add one with "
            f'"size", "image_mean" and "image_std" as on its model card'
        )
    found: dict[str, Any] = read_json(path)
    side = side_px or _side(found)
    normalise = found.get("do_normalize", True)
    mean = found.get("image_mean") if normalise else [0.0] * 3
    std = found.get("image_std") if normalise else [1.0] * 3
    rescale = found.get("rescale_factor", 1 / 255) if found.get("do_rescale", True) else 1.0
    if side is None or not (_three_numbers(mean) and _three_numbers(std)):
        raise InputError(
            f"encoder {name}: {path.name} needs size, image_mean and image_std of three channels; "
            f"found {', '.join(sorted(found))}"
        )
    return Pixels(side, float(rescale), tuple(map(float, mean or ())), tuple(map(float, std or ())))


def _side(found: dict[str, Any]) -> int | None:
    """The side of the network's input: after the crop, if there is one; None where it is not square."""
    size = found.get("crop_size") if found.get("do_center_crop") else None
    size = size or found.get("size")
    if isinstance(size, int):
        return size
    if not isinstance(size, dict):
        return None
    sides: set[Any] = {size[key] for key in ("height", "width", "shortest_edge") if key in size}
    return next(iter(sides)) if len(sides) == 1 else None


def _three_numbers(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 3 and all(isinstance(x, int | float) for x in value)

"""Where an encoder's weights are, what made them, and how it wants its tiles: read without loading them."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prime.encode.record import UNKNOWN, EncoderRecord
from prime.encode.slides import colour
from prime.errors import InputError
from prime.files import read_json, sha256_paths

HUB_FILES = ("config.json", "preprocessor_config.json", "README.md", "*.safetensors")
COLOUR_PX = 224
# What well-known encoders were trained on, after their model cards; anything else is the user's to say.
TRAINED_ON = {
    "owkin/phikon": "TCGA",
    "owkin/phikon-v2": "TCGA, CPTAC, GTEx and other public cohorts",
    "kaiko-ai/midnight": "TCGA",
    "facebook/dinov2-small": "LVD-142M",
    "facebook/dinov2-base": "LVD-142M",
    "facebook/dinov2-large": "LVD-142M",
    "google/vit-base-patch16-224-in21k": "ImageNet-21k",
    "microsoft/resnet-50": "ImageNet-1k",
}
LICENCE = re.compile(r"^license:\s*(\S+)", re.MULTILINE)


@dataclass(frozen=True)
class Pixels:
    """How tiles become the network's input: their side, and (value x scale - mean) / std a channel."""

    side_px: int
    scale: float
    mean: tuple[float, ...]
    std: tuple[float, ...]


@dataclass(frozen=True)
class Checkpoint:
    """An encoder: its record, its folder (None for `colour`), and how it wants its tiles."""

    record: EncoderRecord
    folder: Path | None
    pixels: Pixels


def find_encoder(
    name: str, licence: str | None = None, trained_on: str | None = None, side_px: int | None = None
) -> Checkpoint:
    """Find an encoder: `colour`, a folder in the layout of transformers, or a name on the model hub.

    The folder holds `config.json`, `preprocessor_config.json` and `*.safetensors`. What `licence` and
    `trained_on` leave open is taken from the model card (README.md) and from TRAINED_ON. `side_px` stands in
    for the side that the preprocessor states.

    Raises:
        InputError: neither a folder nor reachable on the hub, or a file is missing or says nothing usable.
    """
    if name == "colour":
        return Checkpoint(colour.RECORD, None, Pixels(side_px or COLOUR_PX, 1.0, (0.0,), (1.0,)))
    folder = _folder(name)
    weights = sorted(folder.glob("*.safetensors"))
    if not (folder / "config.json").is_file() or not weights:
        raise InputError(
            f"encoder {name}: expected config.json and *.safetensors there, as transformers saves them; "
            f"pickled weights (.bin, .pth, .pt) are not loaded"
        )
    record = EncoderRecord(
        encoder=folder.name if Path(name).is_dir() else name,
        weights=folder.name if Path(name).is_dir() else name,
        weights_sha256=sha256_paths([folder / "config.json", *weights]),
        licence=licence or _card_licence(folder),
        trained_on=trained_on or TRAINED_ON.get(name, UNKNOWN),
    )
    return Checkpoint(record, folder, _pixels(folder / "preprocessor_config.json", name, side_px))


def _folder(name: str) -> Path:
    """The local folder, or that of a snapshot from the hub: its cache first, then the network."""
    local = Path(name).expanduser()
    if local.is_dir():
        return local.resolve()
    if local.exists() or name.startswith((".", "~")) or local.is_absolute():
        raise InputError(f"encoder {name}: not a folder; give one with config.json and *.safetensors")
    try:
        from huggingface_hub import snapshot_download
    except ImportError:
        raise InputError(
            f"encoder {name}: no such folder, and the hub needs pip install 'prime-prognosis[encode]'"
        ) from None
    try:
        return Path(snapshot_download(name, allow_patterns=list(HUB_FILES), local_files_only=True))
    except Exception:  # not in the hub's local cache
        pass
    try:
        return Path(snapshot_download(name, allow_patterns=list(HUB_FILES)))
    except Exception as error:  # the hub's client raises many kinds
        raise InputError(
            f"encoder {name}: neither a folder nor reachable on the hub ({type(error).__name__}); give a "
            f"folder with config.json, preprocessor_config.json and *.safetensors, or `colour`"
        ) from None


def _card_licence(folder: Path) -> str:
    card = folder / "README.md"
    found = LICENCE.search(card.read_text(encoding="utf-8", errors="replace")) if card.is_file() else None
    return found.group(1) if found else UNKNOWN


def _pixels(path: Path, name: str, side_px: int | None) -> Pixels:
    """Read the preprocessor's side, scale, mean and std. Raises InputError where one is missing or odd."""
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
    """The side of the network's input: the crop's where it crops, else the size's; None where not square."""
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

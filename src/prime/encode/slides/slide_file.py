"""Opening a slide, and its resolution: micrometres (um) per pixel."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import openslide

from prime.errors import InputError

GIVEN = "--mpp"  # states a resolution where the user gave it
MPP_RANGE = (0.05, 20.0)  # um per pixel of scanners; other statements are not meant (72 dpi would be 353)
SQUARE = 0.05  # the sides of a pixel may differ by this share of their mean
UM_PER_UNIT = {"inch": 25_400.0, "centimeter": 10_000.0}
OME_SIZE = re.compile(r'PhysicalSize([XY])="([0-9.eE+-]+)"')
OME_UNIT = re.compile(r'PhysicalSize[XY]Unit="([^"]*)"')
APERIO_MPP = re.compile(r"\bMPP\s*=\s*([0-9.]+)")


@dataclass(frozen=True)
class Resolution:
    """Micrometres per pixel at level 0, and where that is stated (`--mpp` where the user gave it)."""

    mpp: float
    stated_by: str


def open_slide(path: Path) -> openslide.OpenSlide:
    """Open a slide. Raises InputError where OpenSlide can't read the file."""
    try:
        return openslide.OpenSlide(path)
    except openslide.OpenSlideUnsupportedFormatError:
        raise InputError(
            f"{path}: not a slide that OpenSlide reads (a TIFF must be tiled); copy it again or convert it"
        ) from None
    except openslide.OpenSlideError as error:
        raise InputError(f"{path}: damaged slide ({error}); copy it again") from None


def resolution(
    properties: Mapping[str, str], path: Path, given: float | None = None, override: bool = False
) -> Resolution:
    """A slide's resolution from its metadata, else the `given` one (with `override` always), in um per pixel.

    Searched in this order: OpenSlide's own properties, Aperio's MPP, the TIFF resolution tags, OME-XML, and
    `MPP = ` in the description. Values outside MPP_RANGE and pixels that are not square are passed over.

    Raises:
        InputError: the metadata state none and none is given.
    """
    for source, sides in [] if override else _stated(properties):
        mean = sum(sides) / len(sides)
        if MPP_RANGE[0] <= mean <= MPP_RANGE[1] and max(sides) - min(sides) <= SQUARE * mean:
            return Resolution(mean, source)
    if given is not None:
        return Resolution(given, GIVEN)
    power = properties.get("openslide.objective-power")
    hint = f" (it states an objective of {power}x)" if power else ""
    raise InputError(
        f"{path}: its metadata state no resolution{hint}; give micrometres per pixel with --mpp, "
        f"for example 0.5 for a scan at 20x or 0.25 at 40x"
    )


def _stated(properties: Mapping[str, str]) -> list[tuple[str, list[float]]]:
    """Every statement of the resolution: where it is made, and um per pixel of one side or both."""
    comment = properties.get("tiff.ImageDescription") or properties.get("openslide.comment") or ""
    unit = UM_PER_UNIT.get(properties.get("tiff.ResolutionUnit", ""))
    density = _numbers(properties, "tiff.XResolution", "tiff.YResolution")
    ome_unit = OME_UNIT.search(comment)
    in_um = ome_unit is None or ome_unit.group(1) in ("µm", "μm", "um", "&#181;m", "&#xB5;m")
    found = [
        ("openslide.mpp-x", _numbers(properties, "openslide.mpp-x", "openslide.mpp-y")),
        ("aperio.MPP", _numbers(properties, "aperio.MPP")),
        ("tiff.XResolution", [unit / value for value in density if value > 0] if unit else []),
        ("OME-XML", [_number(match.group(2)) for match in OME_SIZE.finditer(comment)][:2] if in_um else []),
        ("MPP in the description", [_number(value) for value in APERIO_MPP.findall(comment)][:1]),
    ]
    return [(source, sides) for source, sides in found if sides]


def _numbers(properties: Mapping[str, str], *names: str) -> list[float]:
    return [_number(properties[name]) for name in names if name in properties]


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return float("nan")

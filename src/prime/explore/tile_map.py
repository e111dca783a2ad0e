"""Maps of a patient's slides: tiles coloured by what their token adds to the risk, as SVG, and as GeoJSON."""

import base64
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from xml.etree.ElementTree import Element, SubElement, tostring

import numpy as np
from markupsafe import Markup

from prime.arrays import Floats, Indices
from prime.cohort.tile_links import MICROMETRES, SlideFrame
from prime.explore.charts import bar_chart
from prime.explore.slide_pictures import Picture, SlidePictures
from prime.explore.tokens import TokenTiles

LEVELS = 4  # shades of a colour, either way
LISTED = 12  # tokens of a table
MARGIN = 1.5  # tiles around a map
WAYS = ("worse", "better")  # classes of style.css
# For QuPath, which knows no themes: orange raises the risk, blue lowers it, grey is between.
WORSE, BETTER, NEITHER = (196, 79, 0), (0, 114, 178), (160, 165, 170)


@dataclass(frozen=True)
class TokenLine:
    """A token in the table: its number, what it adds to the risk, its tiles."""

    token: int
    contribution: float
    bar: Markup
    tiles: int


@dataclass(frozen=True)
class SlideMap:
    """A slide of the patient.

    Attributes:
        number: its place among the slides of the source.
        frame: what is known of it.
        tiles: how many are drawn.
        chart: the map, None without tiles.
        coords: (n, 2) upper left corners; token: (n,) of each tile.
        contributions: (k,) of the tokens; kind: what a token is.
        picture: the slide itself, where it is at hand; `without`: why not, where one was looked for.
    """

    number: int
    frame: SlideFrame
    tiles: int
    chart: Markup
    coords: Indices
    token: Indices
    contributions: Floats
    kind: str
    picture: Picture | None
    without: str

    @property
    def has_pixels(self) -> bool:
        """Whether places are known in pixels of level 0."""
        return self.frame.unit != MICROMETRES

    def geojson(self) -> str:
        """The tiles as GeoJSON that QuPath imports; see `geojson`."""
        return json.dumps(
            geojson(self.frame, self.coords, self.token, self.contributions, self.kind),
            separators=(",", ":"), allow_nan=False,
        )  # fmt: skip

    def inside(self) -> str:
        """The same as an address that holds it."""
        return "data:application/geo+json;base64," + base64.b64encode(self.geojson().encode()).decode()


@dataclass(frozen=True)
class SourceMaps:
    """A source of slides of a patient: its slides, and the tokens that moved the risk most."""

    source: str
    kind: str
    tokens: int
    together: int
    largest: float
    lines: tuple[TokenLine, ...]
    rest: float
    slides: tuple[SlideMap, ...]
    missing: str


def source_maps(found: TokenTiles, pictures: SlidePictures | None) -> SourceMaps:
    """What the page shows of a source; pictures are looked for where there is a folder of them."""
    values, links = found.contributions, found.links
    largest = float(np.abs(values).max(initial=0.0))
    counts = np.bincount(links.token, minlength=len(values))
    order = np.argsort(-np.abs(values), kind="stable")
    lines = tuple(
        TokenLine(t, float(values[t]), _bar(float(values[t]), largest), int(counts[t]))
        for t in order[:LISTED].tolist()
    )
    slides: list[SlideMap] = []
    for number, frame in enumerate(links.slides):
        own = links.slide == number
        if not own.any():
            continue
        coords, token = links.coords[own], links.token[own]
        picture, without = (None, "") if pictures is None else pictures.find(frame)
        chart = tile_map(frame, coords, token, values, found.kind)
        slides.append(
            SlideMap(number, frame, len(token), chart, coords, token, values, found.kind, picture, without)
        )
    rest = float(values[order[LISTED:]].sum())
    return SourceMaps(
        found.source, found.kind, len(values), found.together, largest, lines, rest, tuple(slides),
        found.missing,
    )  # fmt: skip


def _bar(value: float, largest: float) -> Markup:
    return bar_chart(value / largest if largest else 0.0, WAYS[int(value <= 0)])


def tile_map(frame: SlideFrame, coords: Indices, token: Indices, values: Floats, kind: str) -> Markup:
    """The tiles (n, 2) of a slide, coloured by the values (k,) of their tokens (n,); one shape a token.

    Colours are those of `shade`, with the largest value of the patient as the end of the scale.
    """
    low = coords.min(axis=0) - MARGIN * frame.side
    high = coords.max(axis=0) + (1 + MARGIN) * frame.side
    box = f"{low[0]:g} {low[1]:g} {high[0] - low[0]:g} {high[1] - low[1]:g}"
    svg = Element("svg", {"viewBox": box, "role": "img", "class": "tiles", "preserveAspectRatio": "xMidYMid"})
    SubElement(svg, "title").text = _summary(frame, token, values, kind)
    largest = float(np.abs(values).max(initial=0.0))
    for number in np.unique(token).tolist():
        own = coords[token == number]
        value = float(values[number])
        look = f"tile {shade(value, largest)}"
        path = SubElement(
            svg, "path", {"class": look, "data-token": str(number), "d": _squares(own, frame.side)}
        )
        count = f"{len(own):,} {'tiles' if len(own) > 1 else 'tile'}, " if kind != "tile" else ""
        SubElement(path, "title").text = f"{kind} {number + 1}: {count}{value:+.3f}"
    return Markup(tostring(svg, encoding="unicode"))


def shade(value: float, largest: float) -> str:
    """The classes of a value: `worse` or `better`, and `t0` to `t4` by its share of the largest one."""
    level = round(LEVELS * abs(value) / largest) if largest else 0
    return f"{WAYS[int(value <= 0)]} t{level}"


def _summary(frame: SlideFrame, token: Indices, values: Floats, kind: str) -> str:
    """What a screen reader says of a map: how many tiles, and how many raise or lower the risk."""
    largest = float(np.abs(values).max(initial=0.0))
    looks = [shade(float(value), largest) for value in values[token]]
    up, down = (sum(look.startswith(way) and not look.endswith("t0") for look in looks) for way in WAYS)
    behind = f" of {len(np.unique(token)):,} {kind}s" if kind != "tile" else ""
    return (
        f"Map of slide {frame.name}: {len(token):,} tiles{behind}; {up:,} raise the risk, {down:,} lower it, "
        f"{len(token) - up - down:,} hardly change it"
    )


def _squares(coords: Indices, side: int) -> str:
    """A path of squares at the corners (n, 2); those that touch in a row are one rectangle."""
    rows = coords[np.lexsort((coords[:, 0], coords[:, 1]))]
    touches = (np.diff(rows[:, 1]) == 0) & (np.diff(rows[:, 0]) == side)
    starts = np.flatnonzero(np.append(True, ~touches))
    lengths = np.diff(np.append(starts, len(rows)))
    return "".join(
        f"M{x},{y}h{side * n}v{side}h-{side * n}z"
        for (x, y), n in zip(rows[starts].tolist(), lengths.tolist(), strict=True)
    )


def geojson(frame: SlideFrame, coords: Indices, token: Indices, values: Floats, kind: str) -> dict[str, Any]:
    """The tiles (n, 2) of a slide as a FeatureCollection, a square each, in pixels of level 0.

    Each is a detection of QuPath with a name, a class, a colour and the measurements `adds to the risk` and
    the number of its token, from 1 as on the page.
    """
    largest = float(np.abs(values).max(initial=0.0))
    features: list[dict[str, Any]] = []
    for (x, y), number in zip(coords.tolist(), token.tolist(), strict=True):
        value, far = float(values[number]), frame.side
        ring = [[x, y], [x + far, y], [x + far, y + far], [x, y + far], [x, y]]
        name, colour = _class(value, largest)
        properties = {
            "objectType": "detection",
            "name": f"{kind} {number + 1}",
            "color": _mixed(colour, value, largest),
            "classification": {"name": name, "color": list(colour)},
            "measurements": {"adds to the risk": value, kind: number + 1},
        }
        shape = {"type": "Polygon", "coordinates": [ring]}
        features.append({"type": "Feature", "geometry": shape, "properties": properties})
    return {"type": "FeatureCollection", "features": features}


def _class(value: float, largest: float) -> tuple[str, Sequence[int]]:
    if shade(value, largest).endswith("t0"):
        return "hardly changes the risk", NEITHER
    return ("raises the risk", WORSE) if value > 0 else ("lowers the risk", BETTER)


def _mixed(colour: Sequence[int], value: float, largest: float) -> list[int]:
    """Between grey and a colour, by the share of the largest value."""
    share = abs(value) / largest if largest else 0.0
    return [round(n + share * (c - n)) for c, n in zip(colour, NEITHER, strict=True)]

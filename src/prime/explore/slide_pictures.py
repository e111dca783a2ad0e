"""Slides themselves, where their files are at hand: found by name, and cut into the tiles of a viewer."""

from collections import OrderedDict
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from threading import Lock
from typing import Any

from prime.cohort.tile_links import MICROMETRES, SlideFrame
from prime.errors import InputError
from prime.extras import need

TILE, OVERLAP = 254, 1  # pixels of the viewer's tiles
QUALITY = 80
MOST_OPEN = 4
SUFFIXES = (
    ".svs", ".tif", ".tiff", ".ndpi", ".mrxs", ".scn", ".bif", ".czi", ".svslide", ".vms", ".vmu", ".dcm",
)  # fmt: skip


@dataclass(frozen=True)
class Picture:
    """A slide that can be shown: pixels of level 0, and the levels of its pyramid of tiles."""

    path: Path
    width: int
    height: int
    levels: int


class SlidePictures:
    """The slides below a folder. A few are kept open.

    Raises InputError where there is no such folder, or the extra `encode` is not installed.
    """

    def __init__(self, folder: Path) -> None:
        need("prime explore --slides", "encode", "openslide", "PIL")
        if not folder.is_dir():
            raise InputError(f"--slides {folder}: no such folder")
        self._paths: dict[str, Path] = {}
        for path in sorted(folder.rglob("*")):
            if path.suffix.lower() in SUFFIXES and not path.name.startswith(".") and path.is_file():
                name = path.parent.name if path.suffix.lower() == ".dcm" else path.stem
                self._paths.setdefault(name, path)
        self._open: OrderedDict[Path, Any] = OrderedDict()
        self._lock = Lock()

    def __len__(self) -> int:
        return len(self._paths)

    def find(self, frame: SlideFrame) -> tuple[Picture | None, str]:
        """The slide of this name, or why it is not shown."""
        path = self._paths.get(frame.name)
        if path is None:
            return None, "no slide of this name in the folder of --slides"
        if frame.unit == MICROMETRES:
            return None, "places are known in um alone, not in pixels"
        try:
            zoom = self._zoom(path)
        except InputError as error:
            return None, str(error)
        width, height = zoom.level_dimensions[-1]
        if frame.width and (frame.width, frame.height) != (width, height):
            stated = f"{frame.width:,} by {frame.height:,}"
            return None, f"another slide: {width:,} by {height:,} pixels, the tiles are of one of {stated}"
        return Picture(path, width, height, zoom.level_count), ""

    def tile(self, picture: Picture, level: int, column: int, row: int) -> bytes | None:
        """A tile as JPEG; None where there is none."""
        import openslide

        zoom = self._zoom(picture.path)
        try:
            image = zoom.get_tile(level, (column, row))
        except ValueError:
            return None
        except openslide.OpenSlideError:
            raise InputError("a damaged place of the slide") from None
        memory = BytesIO()
        image.save(memory, "JPEG", quality=QUALITY)
        return memory.getvalue()

    def _zoom(self, path: Path) -> Any:
        """The slide's pyramid of tiles. Raises InputError where OpenSlide does not read it."""
        import openslide
        from openslide.deepzoom import DeepZoomGenerator

        with self._lock:
            if path in self._open:
                self._open.move_to_end(path)
                return self._open[path]
            try:
                slide = openslide.OpenSlide(path)
            except (openslide.OpenSlideError, OSError):
                raise InputError("not a slide that OpenSlide reads") from None
            self._open[path] = DeepZoomGenerator(slide, TILE, OVERLAP)
            if len(self._open) > MOST_OPEN:
                self._open.popitem(last=False)  # closed once nobody reads it any more
            return self._open[path]

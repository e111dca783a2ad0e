"""A patient's slides over HTTP: maps of their tiles, GeoJSON, and the slides themselves, tile by tile."""

from collections import OrderedDict
from collections.abc import Callable
from threading import Lock

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from prime.explore.cohort import Explored
from prime.explore.slide_pictures import SlidePictures
from prime.explore.tile_map import SlideMap, SourceMaps, source_maps
from prime.explore.tokens import SlideTokens, token_tiles
from prime.file_names import file_name
from prime.serve.limits import Desk

KEPT = 8  # patients whose maps are kept


class SlidePages:
    """Maps of the slides of each patient; those of the last few are kept."""

    def __init__(self, explored: Explored, pictures: SlidePictures | None) -> None:
        self.explored, self.pictures = explored, pictures
        self.tokens = SlideTokens(explored.config)
        self._kept: OrderedDict[int, tuple[SourceMaps, ...]] = OrderedDict()
        self._lock = Lock()

    def maps(self, row: int) -> tuple[SourceMaps, ...]:
        """The maps of a patient (position in the store); none without a model or a score."""
        model = self.explored.model
        told = self.explored.prediction(row)
        if model is None or told is None or told["status"] != "scored":
            return ()
        with self._lock:  # what a page and its pictures ask for at once is made once
            if row not in self._kept:
                found = token_tiles(model, self.explored.store, self.tokens, row)
                self._kept[row] = tuple(source_maps(each, self.pictures) for each in found)
                if len(self._kept) > KEPT:
                    self._kept.popitem(last=False)
            return self._kept[row]

    def slide(self, row: int, source: str, number: int) -> SlideMap:
        """One slide. Raises HTTPException 404 where there is none."""
        for own in self.maps(row):
            for slide in own.slides:
                if (own.source, slide.number) == (source, number):
                    return slide
        raise HTTPException(404, "no such slide")

    def geojson(self, row: int, source: str, number: int) -> tuple[str, str]:
        """The name of a slide, and its tiles as GeoJSON. Raises HTTPException 404 where there are none."""
        slide = self.slide(row, source, number)
        if not slide.has_pixels:
            raise HTTPException(404, "places are known in um alone, not in pixels")
        return slide.frame.name, slide.geojson()

    def tile(self, row: int, source: str, number: int, level: int, column: int, line: int) -> bytes:
        """A tile of a slide's picture as JPEG. Raises HTTPException 404 where there is none."""
        picture = self.slide(row, source, number).picture
        found = None
        if picture is not None and self.pictures is not None and level < picture.levels:
            found = self.pictures.tile(picture, level, column, line)
        if found is None:
            raise HTTPException(404, "no such tile")
        return found


def slide_routes(pages: SlidePages, desk: Desk, row_of: Callable[[Request], int]) -> list[Route]:
    """What answers for single slides; `row_of` gives the patient of a request, or raises HTTPException."""

    def asked(request: Request) -> tuple[int, str, int]:
        return row_of(request), str(request.path_params["source"]), int(request.path_params["number"])

    async def geojson(request: Request) -> Response:
        which = asked(request)
        name, text = await desk.do(lambda: pages.geojson(*which))
        headers = {"Content-Disposition": f'attachment; filename="{file_name(name)}.geojson"'}
        return Response(text, media_type="application/geo+json", headers=headers)

    async def tile(request: Request) -> Response:
        which = asked(request)
        level, column, line = (int(request.path_params[key]) for key in ("level", "column", "line"))
        content = await desk.do(lambda: pages.tile(*which, level, column, line))
        return Response(content, media_type="image/jpeg")

    place = "/patient/{row:int}/slides/{source}/{number:int}"
    return [
        Route(place + ".geojson", geojson),
        Route(place + "/{level:int}/{column:int}_{line:int}.jpg", tile),
    ]

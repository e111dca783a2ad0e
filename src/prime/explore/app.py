"""The explorer over HTTP: one page, what it asks for, and files to keep."""

import json
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import cached_property
from importlib.resources import files
from typing import Any

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Mount, Route

from prime import __version__
from prime.arrays import Indices
from prime.errors import InputError, bounded
from prime.explore.cohort import Explored, columns
from prime.explore.patient import PatientReport, report
from prime.explore.selection import SPLITS, select
from prime.explore.sentences import Reports, Sentence, sentences
from prime.explore.slide_pages import SlidePages, slide_routes
from prime.explore.slide_pictures import OVERLAP, TILE, SlidePictures
from prime.file_names import file_name
from prime.serve.guard import Guard, reason
from prime.serve.limits import Desk, Limits

SCRIPTS = ("explore.js", "map.js", "slides.js", "table.js", "openseadragon.min.js")
STATIC = {**dict.fromkeys(SCRIPTS, "text/javascript"), "style.css": "text/css"}
LIMITS = Limits(body=4 * 2**20, workers=2)
FILE_POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
MOST_LISTED = 20_000  # patients of a file


@dataclass(frozen=True)
class Pages:
    """What the explorer shows of a cohort, as HTML and JSON."""

    explored: Explored
    reports: Reports
    slides: SlidePages

    @cached_property
    def data(self) -> bytes:
        """The columns of everybody."""
        return json.dumps(columns(self.explored), allow_nan=False, separators=(",", ":")).encode()

    @cached_property
    def templates(self) -> Environment:
        """Templates in which every text from outside is escaped."""
        made = Environment(
            loader=PackageLoader("prime.explore"), autoescape=True, undefined=StrictUndefined,
            trim_blocks=True, lstrip_blocks=True,
        )  # fmt: skip
        names: dict[str, Any] = made.globals
        names |= {"style": Markup(static("style.css")), "policy": FILE_POLICY, "about": self.about}
        names |= {"tile": TILE, "overlap": OVERLAP}
        return made

    @property
    def about(self) -> dict[str, Any]:
        """What the heads of pages say."""
        explored = self.explored
        model = explored.model
        return {
            "cohort": explored.config.name,
            "patients": len(explored.ids),
            "scored": 0 if model is None else int((~np.isnan(explored.column("risk"))).sum()),
            "task": "" if model is None else model.description.task.name,
            "types": [] if model is None else list(model.description.cohorts),
            "survival": explored.is_survival,
            "has_model": model is not None,
            "has_umap": explored.findings.umap is not None,
            "endpoint": explored.endpoint,
            "version": __version__,
        }

    def page(self, template: str, **values: object) -> str:
        """A template as text."""
        return self.templates.get_template(template).render(**values)

    def sentences(self, row: int) -> list[Sentence]:
        """The sentences of a patient's report; none where a file or an encoder is not at hand."""
        if self.explored.model is None:
            return []
        try:
            return sentences(self.explored.model, self.explored.store, self.reports, row)
        except InputError:
            return []

    def slide_maps(self, row: int) -> str:
        """The slides of a patient, as a part of the page."""
        return self.page("slides.html.j2", maps=self.slides.maps(row), row=row, later=True)

    def patient_file(self, row: int) -> str:
        """A patient's report as a file that needs nothing else."""
        return self.page("patient_file.html.j2", it=self.patient(row, True), maps=self.slides.maps(row))

    def patient(self, row: int, with_sentences: bool = False) -> PatientReport:
        """The report of a patient."""
        return report(self.explored, row, self.sentences(row) if with_sentences else ())

    def listed(self, rows: Indices) -> list[dict[str, str]]:
        """Patients of a selection, for a file."""
        e = self.explored
        time, event = e.outcome
        risk = e.column("percentile")
        chance = 100 * e.column("survival_36m" if e.is_survival else "probability")
        return [
            {
                "id": e.ids[i],
                "type": e.types[i],
                "site": e.sites[i],
                "has": e.patterns[i],
                "risk": _text(risk[i], "{:.0f}"),
                "chance": _text(chance[i], "{:.0f} %"),
                "months": _text(time[i], "{:.1f}"),
                "event": {1.0: "yes", 0.0: "no"}.get(float(event[i]), ""),
            }
            for i in rows[:MOST_LISTED].tolist()
        ]


def _text(value: Any, form: str) -> str:
    return "" if np.isnan(value) else form.format(value)


def static(name: str) -> str:
    """A script or style of the page."""
    return files("prime.explore").joinpath("static", name).read_text(encoding="utf-8")


def build_app(
    explored: Explored, token: str, say: Callable[[str], None], pictures: SlidePictures | None = None
) -> Guard:
    """The explorer, below the path `/TOKEN/`; other paths are refused. `pictures`: slides at hand."""
    slides = SlidePages(explored, pictures)
    pages, desk = Pages(explored, Reports(explored.config), slides), Desk(LIMITS)

    @asynccontextmanager
    async def life(_: Starlette) -> AsyncGenerator[None]:
        yield
        desk.close()

    routes = [
        *_page_routes(pages),
        *_selection_routes(pages, desk),
        *_patient_routes(pages, desk),
        *slide_routes(slides, desk, lambda request: _row(request, explored)),
    ]
    mounts = [Mount(f"/{token}", routes=routes)]
    app = Starlette(routes=mounts, exception_handlers=_REFUSALS, lifespan=life)
    return Guard(app, LIMITS, say)


def _page_routes(pages: Pages) -> list[Route]:
    """The page, its scripts and styles, and the columns of everybody."""

    async def home(_: Request) -> Response:
        return HTMLResponse(pages.page("page.html.j2"))

    async def data(_: Request) -> Response:
        return Response(pages.data, media_type="application/json")

    async def asset(request: Request) -> Response:
        name = str(request.path_params["name"])
        if name not in STATIC:
            raise HTTPException(404, "no such file")
        return Response(static(name), media_type=STATIC[name])

    return [Route("/", home), Route("/data.json", data), Route("/static/{name}", asset)]


def _selection_routes(pages: Pages, desk: Desk) -> list[Route]:
    """What is said of a selection, and the same as a file."""
    explored = pages.explored

    async def selection(request: Request) -> Response:
        rows, split = await _asked(request, explored)
        found = await desk.do(lambda: select(explored, rows, split))
        return HTMLResponse(pages.page("selection.html.j2", found=found))

    async def selection_file(request: Request) -> Response:
        rows, split = await _asked(request, explored)

        def made() -> str:
            return pages.page(
                "selection_file.html.j2", found=select(explored, rows, split), listed=pages.listed(rows)
            )

        return _file(await desk.do(made), f"{explored.config.name}-selection")

    return [
        Route("/selection", selection, methods=["POST"]),
        Route("/selection/file", selection_file, methods=["POST"]),
    ]


def _patient_routes(pages: Pages, desk: Desk) -> list[Route]:
    """A patient's report, the parts of it that take longer, and all of it as a file."""
    explored = pages.explored

    def html(made: Callable[[int], str]) -> Callable[[Request], Awaitable[Response]]:
        async def answer(request: Request) -> Response:
            row = _row(request, explored)
            return HTMLResponse(await desk.do(lambda: made(row)))

        return answer

    def report_of(row: int) -> str:
        return pages.page("patient.html.j2", it=pages.patient(row), maps=(), later=True)

    def sentences_of(row: int) -> str:
        return pages.page("sentences.html.j2", sentences=pages.sentences(row))

    async def patient_file(request: Request) -> Response:
        row = _row(request, explored)
        return _file(await desk.do(lambda: pages.patient_file(row)), explored.ids[row])

    return [
        Route("/patient/{row:int}", html(report_of)),
        Route("/patient/{row:int}/sentences", html(sentences_of)),
        Route("/patient/{row:int}/slides", html(pages.slide_maps)),
        Route("/patient/{row:int}/file", patient_file),
    ]


async def _asked(request: Request, explored: Explored) -> tuple[Indices, str]:
    """The rows and the split that a request names. Raises HTTPException 422 for others."""
    try:
        found = await request.json()
        rows, split = np.unique(np.array(found["rows"], dtype=np.int64)), found["split"]
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
        raise HTTPException(422, "give rows and split") from None
    if split not in SPLITS or (len(rows) and not (0 <= rows[0] <= rows[-1] < len(explored.ids))):
        raise HTTPException(422, "no such rows, or no such split")
    return rows, split


def _row(request: Request, explored: Explored) -> int:
    row = int(request.path_params["row"])
    if row >= len(explored.ids):
        raise HTTPException(404, "no such patient")
    return row


def _file(text: str, name: str) -> Response:
    """A page to keep, which needs nothing else."""
    headers = {
        "Content-Disposition": f'attachment; filename="{file_name(name)}.html"',
        "Content-Security-Policy": FILE_POLICY,
    }
    return HTMLResponse(text, headers=headers)


async def _of_http(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    text = "open the address that prime explore printed" if error.detail == "Not Found" else error.detail
    return JSONResponse(reason(text), error.status_code)


async def _of_input(_: Request, error: Exception) -> Response:
    return JSONResponse(reason(bounded(str(error))), 422)


_REFUSALS = {HTTPException: _of_http, InputError: _of_input}

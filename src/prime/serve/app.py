"""The service: what is asked over HTTP, and what answers."""

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

import torch
from fastapi import Depends, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse, Response
from pydantic import ValidationError
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException

from prime import __version__
from prime.cohort.config import CohortConfig
from prime.errors import InputError, bounded
from prime.predict.model_folder import FittedModel
from prime.predict.predict import Predictions, score_patients
from prime.serve.answers import Record, answer
from prime.serve.card import card, digest
from prime.serve.form_schema import FORM
from prime.serve.guard import LOOPBACK, Guard, reason
from prime.serve.limits import Desk, Limits
from prime.serve.metrics import TEXT, Metrics
from prime.serve.requests import PredictRequest, Question, request_store
from prime.serve.uploads import Upload, uploaded_store
from prime.store.store import Store

_REASON = {"schema": {"type": "object", "properties": {"reason": {"type": "string"}}}}
REFUSALS: dict[int | str, dict[str, Any]] = {
    status: {"description": text, "content": {"application/json": _REASON}}
    for status, text in {
        400: "no JSON, or no form",
        401: "no token",
        408: "the body came too slowly",
        413: "too large",
        415: "another content type",
        422: "what is asked for can't be read by the model",
        503: "busy, or too long",
    }.items()
}
OPEN = ("/health",)  # paths that need no token
MOST_FILES = 1000  # of a form


@dataclass(frozen=True)
class Service:
    """A model, and how it is served.

    Attributes:
        model: what predicts.
        device: where.
        limits: bounds of size, time and number.
        template: a cohort file that says how uploaded files are read.
        token: that requests must bring; None for none.
        hosts: see `Guard`.
        say: takes a line of the log.
    """

    model: FittedModel
    device: torch.device
    limits: Limits
    template: CohortConfig | None = None
    token: str | None = None
    hosts: tuple[str, ...] | None = LOOPBACK
    say: Callable[[str], None] = print

    def score(self, store: Store, question: Question) -> Predictions:
        """Predictions of a store. Raises InputError for sources that are not the model's, or too many."""
        if len(store.patients) > self.limits.patients:
            raise InputError(
                f"{len(store.patients):,} patients; send {self.limits.patients:,} at once at most"
            )
        return score_patients(self.model, store, self.device, question.asked(), question.reasons)


def build_app(service: Service) -> Guard:
    """The service as an ASGI application."""
    metrics, desk = Metrics(), Desk(service.limits)
    metrics.watch(lambda: desk.in_hand)

    @asynccontextmanager
    async def life(_: FastAPI) -> AsyncGenerator[None]:
        yield
        desk.close()

    app = FastAPI(
        title="PRIME", version=__version__, lifespan=life, docs_url=None, redoc_url=None,
        description="Predictions of a fitted model. `prime predict` gives the same numbers.",
    )  # fmt: skip
    _add_refusals(app)
    _add_facts(app, service, metrics)
    _add_predictions(app, service, desk, metrics)
    return Guard(app, service.limits, service.say, metrics, service.hosts, service.token, OPEN)


def _add_refusals(app: FastAPI) -> None:
    """Every refusal is a JSON object with a reason."""

    async def of_http(_: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        text = "no such path; GET / lists them" if error.detail == "Not Found" else str(error.detail)
        return JSONResponse(reason(text), error.status_code, error.headers)

    async def of_schema(_: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        status = 400 if any(item["type"] == "json_invalid" for item in error.errors()) else 422
        return JSONResponse(reason(_faults(error.errors())), status)

    async def of_input(_: Request, error: Exception) -> Response:
        return JSONResponse(reason(bounded(str(error))), 422)

    app.add_exception_handler(HTTPException, of_http)
    app.add_exception_handler(RequestValidationError, of_schema)
    app.add_exception_handler(InputError, of_input)


def _faults(errors: Any, shown: int = 5) -> str:
    """What pydantic refused, by key; without what was found there."""
    lines = [_fault(item) for item in errors[:shown]]
    more = len(errors) - shown
    return bounded("; ".join(lines) + (f"; and {more:,} more" if more > 0 else ""))


def _fault(item: Any) -> str:
    if item["type"] == "json_invalid":
        return f"the body is no JSON: {item['ctx']['error']} at letter {item['loc'][-1]}"
    key = ".".join(str(part) for part in item["loc"] if part != "body")
    return f"{key or 'body'}: {item['msg']}"


def _add_facts(app: FastAPI, service: Service, metrics: Metrics) -> None:
    """What is known without a patient."""
    facts = card(service.model)
    page = files("prime.serve").joinpath("page.html").read_text(encoding="utf-8")

    @app.get("/health", summary="Whether the service answers")
    async def health() -> dict[str, str]:  # pyright: ignore[reportUnusedFunction]
        return {"status": "ok", "version": __version__}

    @app.get("/model", summary="The model card")
    async def model() -> dict[str, Any]:  # pyright: ignore[reportUnusedFunction]
        return facts

    @app.get("/metrics", summary="Counts and times, for Prometheus", response_class=Response)
    async def counted() -> Response:  # pyright: ignore[reportUnusedFunction]
        return Response(metrics.text(), media_type=TEXT)

    @app.get("/", include_in_schema=False)
    async def home() -> HTMLResponse:  # pyright: ignore[reportUnusedFunction]
        return HTMLResponse(page)


def _of_type(wanted: str) -> Callable[[Request], None]:
    def check(request: Request) -> None:
        if request.headers.get("content-type", "").partition(";")[0].strip().lower() != wanted:
            raise HTTPException(415, f"send Content-Type: {wanted}")

    return check


def _add_predictions(app: FastAPI, service: Service, desk: Desk, metrics: Metrics) -> None:
    """What is said of patients."""

    async def told(work: Callable[[], Record]) -> JSONResponse:
        found = await desk.do(work)
        for row in found["patients"]:
            metrics.patients.labels(row["status"]).inc()
        return JSONResponse({"model": digest(service.model), **found})

    @app.post(
        "/predict", summary="Predict patients from features", responses=REFUSALS,
        dependencies=[Depends(_of_type("application/json"))],
    )  # fmt: skip
    async def predict(body: PredictRequest) -> JSONResponse:  # pyright: ignore[reportUnusedFunction]
        if len(body.patients) > service.limits.patients:
            raise InputError(f"{len(body.patients):,} patients; send {service.limits.patients:,} at most")

        def work() -> Record:
            found = service.score(request_store(service.model, body), body)
            return answer(found, [patient.patient_id for patient in body.patients])

        return await told(work)

    @app.post(
        "/predict/files", summary="Predict patients from the files of a cohort", responses=REFUSALS,
        openapi_extra=FORM, dependencies=[Depends(_of_type("multipart/form-data"))],
    )  # fmt: skip
    async def predict_files(request: Request) -> JSONResponse:  # pyright: ignore[reportUnusedFunction]
        async with request.form(max_files=MOST_FILES, max_fields=20) as form:
            uploads, question = _sorted(form.multi_items())

            def work() -> Record:
                with uploaded_store(service.model, service.template, uploads) as store:
                    return answer(service.score(store, question))

            return await told(work)


def _sorted(items: list[tuple[str, UploadFile | str]]) -> tuple[list[Upload], Question]:
    """The files of a form, and what its other fields ask. Raises InputError for a field that is unknown."""
    uploads: list[Upload] = []
    fields: dict[str, list[str]] = {}
    for part, value in items:
        if isinstance(value, UploadFile):
            uploads.append(Upload(part, value.filename or "", value.file))
        else:
            fields.setdefault(part, []).append(value)
    given: dict[str, object] = {}
    for name, values in fields.items():
        given[name] = [_number(name, v) for v in values] if name == "months" else _number(name, values[-1])
    try:
        return uploads, Question.model_validate(given)
    except ValidationError as error:
        raise InputError(_faults(error.errors(include_input=False))) from None


def _number(name: str, text: str) -> float | int:
    try:
        return int(text) if text.isdecimal() else float(text)
    except ValueError:
        raise InputError(f"field {name!r:.50}: give a number; files need a file name") from None

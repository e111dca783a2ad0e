"""What a request for predictions may say, and the store that is made of it."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Annotated, Any

import numpy as np
import pandas as pd
from pydantic import Field, PlainValidator, TypeAdapter, ValidationError, WithJsonSchema
from pydantic_core import PydanticCustomError

from prime.errors import InputError, cut, some
from prime.predict.asked import Asked
from prime.predict.model_folder import FittedModel
from prime.serve.memory_store import MemoryStore, Rows, memory_store
from prime.settings.strict import Strict

FLOAT32_MAX = float(np.finfo(np.float32).max)
LONGEST_NAME = 200  # letters of an id

Number = Annotated[float, Field(strict=True, allow_inf_nan=False)]
_ROW = TypeAdapter(list[Number | None])
_ROWS = TypeAdapter(list[list[Number | None]])
_NAMED = TypeAdapter(dict[str, Number | None])

Raw = list[float | None] | list[list[float | None]] | dict[str, float | None]


def _read_features(value: object) -> Raw:
    """Numbers of a source in one of three layouts. Raises PydanticCustomError that says which is at fault."""
    if isinstance(value, dict):
        adapter, place = _NAMED, ("feature",)
    elif isinstance(value, list) and value and isinstance(value[0], list):
        adapter, place = _ROWS, ("row", "number")
    elif isinstance(value, list) and value:
        adapter, place = _ROW, ("number",)
    else:
        raise PydanticCustomError(
            "features", "give a list of numbers, a list of rows of numbers, or numbers by feature name"
        )
    try:
        return adapter.validate_python(value)
    except ValidationError as error:
        first = error.errors(include_input=False)[0]
        where = " ".join(f"{w} {_one_up(p)}" for w, p in zip(place, first["loc"], strict=False))
        raise PydanticCustomError(
            "features", "{where}: {what}", {"where": where, "what": first["msg"]}
        ) from None


def _one_up(place: int | str) -> str:
    return str(place + 1) if isinstance(place, int) else repr(cut(place))


_NULLABLE = {"anyOf": [{"type": "number"}, {"type": "null"}]}
Features = Annotated[
    Any,
    PlainValidator(_read_features),
    WithJsonSchema(
        {
            "description": "Of a vector source: numbers in the model's order, or by feature name; null where"
            " missing. Of a sequence source, or of several samples: rows of numbers.",
            "anyOf": [
                {"type": "array", "items": _NULLABLE},
                {"type": "array", "items": {"type": "array", "items": _NULLABLE}},
                {"type": "object", "additionalProperties": _NULLABLE},
            ],
        }
    ),
]


class PatientFeatures(Strict):
    """A patient: what is known, by source. Sources that the patient lacks are left out."""

    patient_id: str = Field(min_length=1, max_length=LONGEST_NAME)
    cancer_type: str = Field(default="", max_length=LONGEST_NAME)
    covariates: dict[str, Number | None] = Field(default_factory=dict)
    sources: dict[str, Features] = Field(default_factory=dict)


class Question(Strict):
    """What a prediction shall say; see `prime predict`."""

    months: list[Number] = Field(default=[12.0, 36.0, 60.0], min_length=1, max_length=100)
    level: Number = 0.9
    threshold: Number | None = None
    reasons: int = Field(default=0, ge=0, le=1000, strict=True)

    def asked(self) -> Asked:
        """As predictions take it. Raises InputError for values that no table can be made of."""
        try:
            return Asked(tuple(self.months), self.level, self.threshold)
        except InputError as error:
            raise InputError(str(error).removeprefix("--").replace("horizons", "months", 1)) from None


class PredictRequest(Question):
    """Patients, and what is asked of them. `encoders`: what the features of a source were made with."""

    patients: list[PatientFeatures] = Field(min_length=1)
    encoders: dict[str, str] = Field(default_factory=dict)


def request_store(model: FittedModel, request: PredictRequest) -> MemoryStore:
    """The patients of a request, by rising id, as a store of the model's sources.

    Raises InputError for an id twice, or a source, feature, covariate or shape that is not the model's.
    """
    given = sorted(request.patients, key=lambda patient: patient.patient_id)
    ids = [patient.patient_id for patient in given]
    twice = [a for a, b in pairwise(ids) if a == b]
    if twice:
        raise InputError(f"patients: {some(twice)} is there twice; give each patient once")
    inputs = model.checkpoint.model.inputs
    _refuse_unknown(request.encoders, list(inputs.sources), "encoders")
    rows: dict[str, list[Rows | None]] = {}
    for place, patient in enumerate(given):
        _refuse_unknown(patient.sources, list(inputs.sources), f"patient {cut(patient.patient_id)!r}")
        for source, features in patient.sources.items():
            where = f"patient {cut(patient.patient_id)!r}: source {source!r}"
            found = _rows(model, source, features, where)
            rows.setdefault(source, [None] * len(given))[place] = found
    columns: dict[str, Sequence[object]] = {
        "patient_id": ids, "cohort": [patient.cancer_type for patient in given],
    }  # fmt: skip
    for name in _covariates(model, given):
        columns[f"x_{name}"] = [_or_nan(patient.covariates.get(name)) for patient in given]
    typed = any(patient.cancer_type for patient in given)
    names = model.description.feature_names
    return memory_store(inputs, pd.DataFrame(columns), rows, names, request.encoders, typed)


def _refuse_unknown(given: Any, known: Sequence[str], where: str) -> None:
    unknown = [name for name in given if name not in known]
    if unknown:
        raise InputError(f"{where}: no source {unknown[0]!r:.100}; the model reads {', '.join(known)}")


def _covariates(model: FittedModel, given: Sequence[PatientFeatures]) -> tuple[str, ...]:
    """The covariates that the model reads. Raises InputError for one that it does not know."""
    read = model.prognosis.features.covariates
    known = () if read is None else tuple(read.names)
    for patient in given:
        unknown = [name for name in patient.covariates if name not in known]
        if unknown:
            raise InputError(
                f"patient {cut(patient.patient_id)!r}: no covariate {unknown[0]!r:.100}; the model reads "
                f"{', '.join(known) or 'none'}"
            )
    return known


def _or_nan(value: float | None) -> float:
    return np.nan if value is None else value


def _rows(model: FittedModel, source: str, given: Raw, where: str) -> Rows | None:
    """The rows (n, d) of a source of a patient; None where they hold no number.

    Raises InputError for another width, an unknown feature, a number that is too large, or a missing one in
    a sequence.
    """
    spec, names = model.checkpoint.model.inputs.sources[source], model.description.feature_names.get(source)
    if isinstance(given, dict):
        if names is None:
            raise InputError(f"{where}: its features have no names; give rows of {spec.dim} numbers")
        given = _in_order(given, names, set(model.description.empty.get(source, ())), where)
    rows: Any = given if isinstance(given[0], list) else [given]
    for number, row in enumerate(rows, start=1):
        if len(row) != spec.dim:
            raise InputError(f"{where}: row {number} has {len(row)} numbers, the model reads {spec.dim}")
    wide = np.array(rows, dtype=np.float64)
    if bool((np.abs(wide) > FLOAT32_MAX).any()):
        raise InputError(f"{where}: a number is too large for float32")
    missing = np.isnan(wide)
    if spec.kind == "sequence" and missing.any():
        raise InputError(f"{where}: row {int(missing.any(axis=1).argmax()) + 1} lacks a number")
    kept = ~missing.all(axis=1)
    return wide[kept].astype(np.float32) if kept.any() else None


def _in_order(
    given: dict[str, float | None], names: Sequence[str], ignored: set[str], where: str
) -> list[float | None]:
    """Numbers by feature name in the model's order; those that are not given are missing."""
    unknown = sorted(given.keys() - set(names) - ignored)
    if unknown:
        raise InputError(f"{where}: no feature {some(unknown)}; the model reads {some(list(names))}")
    return [given.get(name) for name in names]

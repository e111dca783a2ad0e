"""The cohort file (YAML): where the tables and features of a cohort are, and how to read them."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    BeforeValidator,
    Field,
    SerializeAsAny,
    SerializerFunctionWrapHandler,
    ValidationError,
    model_serializer,
    model_validator,
)
from pydantic_core import InitErrorDetails, PydanticCustomError

from prime.cohort.cells import value_key
from prime.cohort.covariates import Columns, Covariates, listed
from prime.cohort.readers import READERS
from prime.cohort.source import SourceConfig
from prime.errors import InputError
from prime.settings.strict import Strict, validation_message
from prime.settings.yaml_files import read_yaml

Unit = Literal["days", "weeks", "months", "years"]
Cell = str | int | float | bool


class EndpointConfig(Strict):
    """A time-to-event endpoint: its columns, its unit, and the values that mean event or censored.

    Of several columns the first with a known value counts. `event_time` are columns of the event's time where
    it is not in `time` (days to death beside days to the last follow-up). `entry` is when a patient came
    under observation (delayed entry), `zero` what time is counted from; both in the unit of `time`.
    """

    time: Columns
    event: Columns
    event_time: Annotated[tuple[str, ...], BeforeValidator(listed)] = ()
    event_values: tuple[Cell, ...] = (1,)
    censored_values: tuple[Cell, ...] = (0,)
    unit: Unit = "days"
    entry: str | None = None
    zero: str | None = None

    @model_serializer(mode="wrap")
    def _without_what_is_not_asked(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """An endpoint without entry and time zero looks as it did before there were any."""
        value: dict[str, Any] = handler(self)
        return {k: v for k, v in value.items() if v is not None or k not in ("entry", "zero")}

    @model_validator(mode="after")
    def _polarity(self) -> "EndpointConfig":
        both = {value_key(v) for v in self.event_values} & {value_key(v) for v in self.censored_values}
        if not self.event_values or both:
            raise ValueError("event_values and censored_values must be stated and must not share a value")
        return self


class ExcludeConfig(Strict):
    """Patients whose `column` holds one of `values` never serve evaluation."""

    column: str
    values: tuple[Cell, ...]
    reason: str = "excluded by the clinical table"


class ClinicalConfig(Strict):
    """The clinical table. Every format but `table` fills in column names that are not stated.

    `several_rows`: whether a patient's rows are joined or refused; by default as the format has it.
    """

    format: Literal["tcga-cdr", "table", "gdc", "cbioportal", "xena", "mcat", "survpath"]
    path: str
    sheet: str | None = None
    patient_id: str | None = None
    cohort: str | None = None
    site: str | None = None
    several_rows: Literal["refuse", "join"] | None = None
    endpoints: dict[str, EndpointConfig] = Field(default_factory=dict)
    exclude: tuple[ExcludeConfig, ...] = ()
    covariates: Covariates = ()

    @model_validator(mode="after")
    def _stated(self) -> "ClinicalConfig":
        if self.format == "table" and self.patient_id is None:
            raise ValueError("format `table` needs patient_id, the name of the column")
        for name in self.endpoints:
            if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", name):
                raise ValueError(f"endpoint {name!r}: use letters, digits and _")
            if name == "x":  # its columns would be those of covariates, x_event and x_time_days
                raise ValueError("endpoint 'x': columns that begin so are those of covariates; rename it")
        return self


def _by_reader(value: object) -> SourceConfig:
    """Validate a source's options as the settings of the reader that they name."""
    if isinstance(value, SourceConfig):
        return value
    options: dict[str, Any] = value if isinstance(value, dict) else {}
    name = options.get("reader")
    if not isinstance(name, str) or name not in READERS:
        wanted = PydanticCustomError(
            "reader", "name one of {known}", {"known": ", ".join(map(repr, READERS))}
        )
        fault = InitErrorDetails(type=wanted, loc=("reader",), input=name)
        raise ValidationError.from_exception_data("source", [fault])
    return READERS[name].settings.model_validate(options)


AnySource = Annotated[SerializeAsAny[SourceConfig], BeforeValidator(_by_reader)]


class CohortConfig(Strict):
    """A cohort: its clinical table and any number of named modalities, each with named sources."""

    name: str
    root: str = "."
    clinical: ClinicalConfig
    modalities: dict[str, dict[str, AnySource]]

    @model_validator(mode="after")
    def _names(self) -> "CohortConfig":
        if not self.modalities:
            raise ValueError("modalities: name at least one")
        seen: set[str] = set()
        for modality, sources in self.modalities.items():
            if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", modality):
                raise ValueError(f"modality {modality!r}: use letters, digits and _")
            if modality in ("all", "nothing"):
                raise ValueError(f"modality {modality!r}: a word of PRIME's own tables; rename it")
            if not sources:
                raise ValueError(f"modality {modality!r}: name at least one source")
            for source in sources:
                if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", source):
                    raise ValueError(f"source {source!r}: use letters, digits and _")
                if source.lower() == "manifest":
                    raise ValueError(f"source {source!r}: a store has a file of that name; rename it")
                if source in seen:
                    raise ValueError(f"source {source!r} is named twice; source names are unique in a cohort")
                seen.add(source)
        return self

    def with_vocabularies(self, words: Mapping[str, Sequence[str]]) -> "CohortConfig":
        """The cohort with the words of these lists counted, by source, where it counts words and names none.

        So a new cohort is counted as the one that a model was fitted on.
        """
        sources = {
            modality: {
                name: options.model_copy(update={"vocabulary": tuple(words[name])})
                if name in words and getattr(options, "vocabulary", None) == ()
                else options
                for name, options in own.items()
            }
            for modality, own in self.modalities.items()
        }
        return self.model_copy(update={"modalities": sources})

    def every_source(self) -> list[tuple[str, str, SourceConfig]]:
        """Modality, name and options of each source, in the order of the file."""
        return [
            (m, name, options) for m, sources in self.modalities.items() for name, options in sources.items()
        ]


def load_cohort(path: Path, root: str | None = None) -> CohortConfig:
    """Read and validate a cohort file, or the cohort file that an experiment file names.

    `root` overrides the file's own root folder; relative roots are taken from the YAML's folder.
    Raises InputError naming the key at fault.
    """
    raw = read_yaml(path)
    if isinstance(raw.get("cohort"), str) and "modalities" not in raw:  # an experiment file names its cohort
        return load_cohort(path.parent / Path(raw["cohort"]).expanduser(), root)
    try:
        config = CohortConfig.model_validate(raw)
    except ValidationError as error:
        raise InputError(validation_message(path, error)) from None
    base = Path(root).expanduser() if root is not None else (path.parent / Path(config.root).expanduser())
    if not base.is_dir():
        raise InputError(f"{path}: root: {base} is not a folder; give --root or correct the key")
    return config.model_copy(update={"root": str(base.resolve())})

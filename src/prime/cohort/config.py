"""The cohort file: one YAML that says where a cohort's tables and features are and how to read them."""

import re
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    FiniteFloat,
    ValidationError,
    model_validator,
)

from prime.cohort.cells import value_key
from prime.errors import InputError
from prime.settings.strict import Strict, validation_message
from prime.settings.yaml_files import read_yaml


class EndpointConfig(Strict):
    """One time-to-event endpoint: which columns hold it, in which unit, and what means 'event'."""

    time: str
    event: str
    event_values: tuple[str | int | float | bool, ...] = (1,)
    censored_values: tuple[str | int | float | bool, ...] = (0,)
    unit: Literal["days", "weeks", "months", "years"] = "days"

    @model_validator(mode="after")
    def _polarity(self) -> "EndpointConfig":
        both = {str(v).lower() for v in self.event_values} & {str(v).lower() for v in self.censored_values}
        if not self.event_values or both:
            raise ValueError("event_values and censored_values must be stated and must not share a value")
        return self


class ExcludeConfig(Strict):
    """Patients whose `column` holds one of `values` never serve evaluation."""

    column: str
    values: tuple[str, ...]
    reason: str = "excluded by the clinical table"


def _several(value: object) -> object:
    """A text alone is a list of one."""
    return (value,) if isinstance(value, str) else value


class CovariateConfig(Strict):
    """One number a patient, from a column of a clinical table; a column's name alone is the short form.

    Of several columns, the first with a known value counts. `values` says which number a cell's text stands
    for; without it the cells are numbers. `other` says what becomes of a cell that is neither known nor
    missing.
    """

    name: str = Field(min_length=1)
    column: Annotated[tuple[str, ...], BeforeValidator(_several), Field(min_length=1)]
    values: Annotated[dict[str | int | float | bool, FiniteFloat], Field(min_length=1)] | None = None
    other: Literal["error", "missing"] = "error"

    @model_validator(mode="before")
    @classmethod
    def _short(cls, value: Any) -> Any:
        return {"name": value, "column": value} if isinstance(value, str) else value

    @model_validator(mode="after")
    def _different(self) -> "CovariateConfig":
        keys = [value_key(text) for text in self.values or {}]
        twice = [key for number, key in enumerate(keys) if key in keys[:number]]
        if twice:
            raise ValueError(f"covariate {self.name!r}: values holds {twice[0]!r} twice; case does not count")
        return self


def _unique_names(covariates: tuple[CovariateConfig, ...]) -> tuple[CovariateConfig, ...]:
    names = [item.name for item in covariates]
    twice = [name for number, name in enumerate(names) if name in names[:number]]
    if twice:
        raise ValueError(f"covariate {twice[0]!r} is named twice; give each its own name")
    return covariates


Covariates = Annotated[tuple[CovariateConfig, ...], AfterValidator(_unique_names)]


class ClinicalConfig(Strict):
    """The clinical table. `tcga-cdr` fills in the column names of TCGA-CDR; `table` needs them stated."""

    format: Literal["tcga-cdr", "table"]
    path: str
    sheet: str | None = None
    patient_id: str | None = None
    cohort: str | None = None
    site: str | None = None
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
        return self


class VectorSource(Strict):
    """A table with one or several rows a patient; each row is a vector of numbers."""

    reader: Literal["vector"]
    path: str
    patient_id: str = "patient_id"
    ignore: tuple[str, ...] = ()
    instances: Literal["mean", "tokens"] = "mean"
    group_size: int = Field(default=32, ge=1)
    groups: str | None = None
    gene_list: str | None = None


class TokenSource(Strict):
    """A folder of HDF5 or `.pt` feature files (TRIDENT, CLAM, STAMP, marugoto), one or several a patient."""

    reader: Literal["h5", "pt"]
    path: str
    file_pattern: str = "*"
    patient_from: str = r"^(TCGA-[A-Za-z0-9]{2}-[A-Za-z0-9]{4})|^([^.]+)"
    slide_table: str | None = None
    dataset: str | None = None
    max_tokens: int = Field(default=128, ge=1)


class ReportSource(Strict):
    """A table of report texts (`patient_filename,text`) run through a BERT-type encoder."""

    reader: Literal["report"]
    path: str
    patient_id: str = "patient_filename"
    text: str = "text"
    encoder: str
    max_tokens: int = Field(default=200, ge=3)
    trained_on: str | None = None


class WordSource(Strict):
    """A table of report texts (`patient_filename,text`) as counts of its most common words."""

    reader: Literal["words"]
    path: str
    patient_id: str = "patient_filename"
    text: str = "text"
    max_words: int = Field(default=1000, ge=1)
    group_size: int = Field(default=32, ge=1)


class ClinicalSource(Strict):
    """Covariates of a clinical table as a row of numbers: clinical variables as a modality."""

    reader: Literal["clinical"]
    path: str
    sheet: str | None = None
    patient_id: str = "patient_id"
    covariates: Annotated[Covariates, Field(min_length=1)]


SourceConfig = Annotated[
    VectorSource | TokenSource | ReportSource | WordSource | ClinicalSource, Field(discriminator="reader")
]


class CohortConfig(Strict):
    """A cohort: its clinical table and any number of named modalities, each with named sources."""

    name: str
    root: str = "."
    clinical: ClinicalConfig
    modalities: dict[str, dict[str, SourceConfig]]

    @model_validator(mode="after")
    def _names(self) -> "CohortConfig":
        if not self.modalities:
            raise ValueError("modalities: name at least one")
        seen: set[str] = set()
        for modality, sources in self.modalities.items():
            if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", modality):
                raise ValueError(f"modality {modality!r}: use letters, digits and _")
            if not sources:
                raise ValueError(f"modality {modality!r}: name at least one source")
            for source in sources:
                if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", source):
                    raise ValueError(f"source {source!r}: use letters, digits and _")
                if source in seen:
                    raise ValueError(f"source {source!r} is named twice; source names are unique in a cohort")
                seen.add(source)
        return self


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

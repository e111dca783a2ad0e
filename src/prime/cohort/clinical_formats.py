"""Clinical tables whose columns are known: what each format's patient, type and endpoints are called.

Of several names the first that the table has counts. What a cohort file states itself wins.

- `tcga-cdr`: Liu et al., Cell 2018: `OS` and `OS.time` in days, 1 = event, and likewise PFI, DSS, DFI.
- `gdc`: `clinical.tsv` of the GDC portal, one row per diagnosis and treatment; old and new column names.
- `cbioportal`: `data_clinical_patient.txt`: comment lines, `0:LIVING`, months.
- `xena`: survival tables of UCSC Xena, one row per sample, days.
- `mcat`, `survpath`: one row per slide, months, `censorship` = 1 where the event was NOT observed.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from prime.cohort.config import ClinicalConfig, EndpointConfig, ExcludeConfig
from prime.errors import InputError

REDACTED = ExcludeConfig(column="Redaction", values=("Redacted",), reason="redacted")
CODES = ("OS", "PFI", "DSS", "DFI")


@dataclass(frozen=True)
class Layout:
    """What a format's columns are called.

    Attributes:
        patient_id, cohort, site: names of the column, by preference.
        endpoints: names with their columns, by preference; a name may stand twice.
        exclude: rules whose column may be there.
        several_rows: whether a patient may have several rows.
        comments: whether lines that begin with `#` stand above the header.
        sheet: of an xlsx.
    """

    patient_id: tuple[str, ...]
    endpoints: tuple[tuple[str, EndpointConfig], ...]
    cohort: tuple[str, ...] = ()
    site: tuple[str, ...] = ()
    exclude: tuple[ExcludeConfig, ...] = ()
    several_rows: bool = False
    comments: bool = False
    sheet: str | None = None


def _coded(code: str) -> tuple[str, EndpointConfig]:
    """An endpoint as TCGA-CDR and Xena write it."""
    return code.lower(), EndpointConfig(time=(f"{code}.time",), event=(code,), unit="days")


def _cbioportal(code: str) -> tuple[str, EndpointConfig]:
    yes = (1, "DECEASED", "Recurred/Progressed", "Recurred", "Progressed", "PROGRESSION")
    no = (0, "LIVING", "ALIVE", "DiseaseFree", "CENSORED")
    config = EndpointConfig(
        time=(f"{code}_MONTHS",),
        event=(f"{code}_STATUS",),
        event_values=yes,
        censored_values=no,
        unit="months",
    )
    return code.lower(), config


def _censored(name: str, ending: str) -> tuple[str, EndpointConfig]:
    config = EndpointConfig(
        time=(f"survival_months{ending}",), event=(f"censorship{ending}",),
        event_values=(0,), censored_values=(1,), unit="months",
    )  # fmt: skip
    return name, config


def _gdc(status: str, death: str, follow_up: tuple[str, ...]) -> tuple[str, EndpointConfig]:
    config = EndpointConfig(
        time=follow_up, event=(status,), event_time=(death,),
        event_values=("Dead",), censored_values=("Alive",), unit="days",
    )  # fmt: skip
    return "os", config


LAYOUTS: dict[str, Layout] = {
    "tcga-cdr": Layout(
        patient_id=("bcr_patient_barcode",), cohort=("type",), sheet="TCGA-CDR",
        endpoints=tuple(map(_coded, CODES)), exclude=(REDACTED,),
    ),
    "gdc": Layout(
        patient_id=("case_submitter_id", "cases.submitter_id", "bcr_patient_barcode", "submitter_id"),
        cohort=("project_id", "project.project_id", "cases.project.project_id"),
        endpoints=(
            _gdc("vital_status", "days_to_death", ("days_to_last_follow_up", "days_to_last_followup")),
            _gdc(
                "demographic.vital_status", "demographic.days_to_death",
                ("diagnoses.days_to_last_follow_up", "follow_ups.days_to_follow_up"),
            ),
        ),
        several_rows=True,
    ),
    "cbioportal": Layout(
        patient_id=("PATIENT_ID",), cohort=("CANCER_TYPE_ACRONYM", "CANCER_TYPE"),
        endpoints=tuple(map(_cbioportal, ("OS", "DSS", "PFS", "DFS", "PFI", "DFI", "EFS", "RFS"))),
        comments=True,
    ),
    "xena": Layout(
        patient_id=("_PATIENT", "sampleID", "sample"), cohort=("cancer type abbreviation", "_cohort"),
        endpoints=(
            *map(_coded, CODES),
            ("os", EndpointConfig(time=("_TIME_TO_EVENT",), event=("_EVENT",), unit="days")),
            ("os", EndpointConfig(time=("_OS",), event=("_OS_IND",), unit="days")),
        ),
        exclude=(REDACTED,), several_rows=True,
    ),
    "mcat": Layout(
        patient_id=("case_id",), site=("site",), endpoints=(_censored("os", ""),), several_rows=True
    ),
    "survpath": Layout(
        patient_id=("case_id",), site=("site",), several_rows=True,
        endpoints=(
            _censored("os", "_os"), _censored("os", ""),
            *(_censored(code, f"_{code}") for code in ("dss", "pfi", "dfi")),
        ),
    ),
}  # fmt: skip


def with_layout(config: ClinicalConfig, columns: Sequence[str], path: Path) -> ClinicalConfig:
    """The settings with the format's columns where the cohort file states none.

    Raises InputError where the table has none of the format's columns for patient or outcome.
    """
    layout = LAYOUTS.get(config.format)
    if layout is None:
        return config
    endpoints: dict[str, EndpointConfig] = {}
    for name, endpoint in layout.endpoints:
        if name not in endpoints and (found := _there(endpoint, columns)) is not None:
            endpoints[name] = found
    endpoints |= config.endpoints
    if not endpoints:
        wanted = "; ".join(" and ".join((*e.time, *e.event)) for _, e in layout.endpoints)
        raise InputError(
            f"clinical: {path}: no outcome as format {config.format} has it ({wanted}); found "
            f"{', '.join(map(repr, columns[:20]))}; is it {_title(config.format)}? Else use format: table"
        )
    patient = config.patient_id or _first(layout.patient_id, columns) or layout.patient_id[0]
    exclude = tuple(rule for rule in layout.exclude if rule.column in columns)
    return config.model_copy(
        update={
            "patient_id": patient,
            "cohort": config.cohort or _first(layout.cohort, columns),
            "site": config.site or _first(layout.site, columns),
            "endpoints": endpoints,
            "exclude": (*exclude, *config.exclude),
        }
    )


def _first(names: tuple[str, ...], columns: Sequence[str]) -> str | None:
    return next((name for name in names if name in columns), None)


def _there(endpoint: EndpointConfig, columns: Sequence[str]) -> EndpointConfig | None:
    """The endpoint with those of its columns that are there; None where the event or every time is not."""
    has = {
        part: tuple(name for name in getattr(endpoint, part) if name in columns)
        for part in ("time", "event", "event_time")
    }
    return endpoint.model_copy(update=has) if has["time"] and has["event"] else None


def _title(name: str) -> str:
    return {"tcga-cdr": "TCGA-CDR"}.get(name, f"a table of {name}")

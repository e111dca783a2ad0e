"""The clinical table: each patient's cohort, site, exclusion and time-to-event endpoints.

In the library `event` always means 1 = observed, 0 = censored; tables that code it otherwise are translated
here. TCGA-CDR (Liu et al., Cell 2018) has the columns `OS` and `OS.time`, and likewise PFI, DSS and DFI, in
days with 1 = event; `type` is the cancer type, and `Redaction` marks patients who were redacted.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from prime.cohort import barcode
from prime.cohort.cells import finite_number, is_missing, value_key
from prime.cohort.config import ClinicalConfig, EndpointConfig, ExcludeConfig
from prime.cohort.covariates import ClinicalRows, clinical_rows, covariate, covariate_columns, read_cells
from prime.errors import InputError

DAYS = {"days": 1.0, "weeks": 7.0, "months": 30.4375, "years": 365.25}
WHERE = "clinical"
CDR_ENDPOINTS = {
    name.lower(): EndpointConfig(time=f"{name}.time", event=name) for name in ("OS", "PFI", "DSS", "DFI")
}
CDR_REDACTED = ExcludeConfig(column="Redaction", values=("Redacted",), reason="redacted")


@dataclass(frozen=True)
class ClinicalTable:
    """The clinical table as read.

    Attributes:
        frame: one row per patient: patient_id, cohort, site (text, may be empty), excluded (bool),
            exclude_reason, `{endpoint}_time_days` and `{endpoint}_event` (float64, NaN missing, event
            1 = observed) for each endpoint, and `x_{name}` (float64, NaN missing) for each covariate.
        endpoints: their names.
        notes: what was missing or left out, one line each.
        file: the table that was read.
    """

    frame: pd.DataFrame
    endpoints: list[str]
    notes: list[str]
    file: Path


def read_clinical(config: ClinicalConfig, root: Path | str) -> ClinicalTable:
    """Read the clinical table.

    A patient may lack any endpoint: a time without an event, or an event without a time, counts as missing
    and is noted. A time of zero is kept.

    Raises:
        InputError: a missing file or column, another encoding than UTF-8, an empty table, a patient twice, an
            event value that is not declared, a time that is negative or no number, or an unknown value of a
            covariate.
    """
    path = Path(root) / config.path
    config = _resolved(config, path)
    cells = read_cells(path, WHERE, config.sheet)
    if config.format == "tcga-cdr":
        config = _with_cdr_endpoints(config, cells, path)
    assert config.patient_id is not None
    table = clinical_rows(cells, config.patient_id, _needed(config), path, WHERE)
    columns: dict[str, object] = {
        "patient_id": table.ids,
        "cohort": _text(cells, config.cohort),
        "site": _sites(config, cells, table.ids),
    }
    columns["excluded"], columns["exclude_reason"] = _excluded(config.exclude, table)
    for name, endpoint in config.endpoints.items():
        columns[f"{name}_time_days"], columns[f"{name}_event"] = _endpoint(name, endpoint, table)
    for item in config.covariates:
        columns[f"x_{item.name}"] = covariate(item, table)
    return ClinicalTable(pd.DataFrame(columns), list(config.endpoints), table.notes, path)


def _resolved(config: ClinicalConfig, path: Path) -> ClinicalConfig:
    if config.format == "table":
        return config
    if config.patient_id is None:
        config = config.model_copy(update={"patient_id": "bcr_patient_barcode"})
    if config.cohort is None:
        config = config.model_copy(update={"cohort": "type"})
    if config.sheet is None and path.suffix.lower() == ".xlsx":
        config = config.model_copy(update={"sheet": "TCGA-CDR"})
    return config


def _with_cdr_endpoints(config: ClinicalConfig, cells: pd.DataFrame, path: Path) -> ClinicalConfig:
    """Add TCGA-CDR's endpoints and redactions, as far as the columns exist; the config's own win."""
    found = {n: e for n, e in CDR_ENDPOINTS.items() if e.time in cells.columns and e.event in cells.columns}
    endpoints = found | config.endpoints
    if not endpoints:
        raise InputError(
            f"clinical: {path}: none of the columns OS and OS.time, PFI, DSS, DFI; is it TCGA-CDR?"
        )
    exclude = config.exclude
    if CDR_REDACTED.column in cells.columns:
        exclude = (CDR_REDACTED, *exclude)
    return config.model_copy(update={"endpoints": endpoints, "exclude": exclude})


def _needed(config: ClinicalConfig) -> list[str]:
    names = [config.cohort, config.site]
    names += [column for e in config.endpoints.values() for column in (e.time, e.event)]
    names += [e.column for e in config.exclude] + covariate_columns(config.covariates)
    return [name for name in names if name is not None]


def _text(cells: pd.DataFrame, column: str | None) -> list[str]:
    if column is None:
        return [""] * len(cells)
    return ["" if is_missing(value) else str(value).strip() for value in cells[column]]


def _sites(config: ClinicalConfig, cells: pd.DataFrame, ids: list[str]) -> list[str]:
    if config.site is not None or config.format == "table":
        return _text(cells, config.site)
    return [barcode.site(patient) if barcode.is_tcga(patient) else "" for patient in ids]


def _excluded(rules: Iterable[ExcludeConfig], table: ClinicalRows) -> tuple[NDArray[np.bool_], list[str]]:
    excluded = np.zeros(len(table.ids), dtype=np.bool_)
    reasons = [""] * len(table.ids)
    for rule in rules:
        hits = [
            row for row, value in enumerate(table.cells[rule.column]) if str(value).strip() in rule.values
        ]
        for row in hits:
            reasons[row] = reasons[row] or rule.reason
            excluded[row] = True
        if hits:
            table.notes.append(f"{len(hits)} patients never serve evaluation: {rule.reason} ({rule.column})")
    return excluded, reasons


def _endpoint(
    name: str, config: EndpointConfig, table: ClinicalRows
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Times in days and events (n,) each; both NaN where either is missing."""
    times = _times(config, table)
    events = _events(config, table)
    for have, lack, what in ((times, events, "a time but no event"), (events, times, "an event but no time")):
        half = ~np.isnan(have) & np.isnan(lack)
        if half.any():
            first = table.ids[int(half.argmax())]
            table.notes.append(
                f"{name}: {int(half.sum())} patients have {what} (first {first}): counted as missing"
            )
    missing = np.isnan(times) | np.isnan(events)
    return np.where(missing, np.nan, times), np.where(missing, np.nan, events)


def _times(config: EndpointConfig, table: ClinicalRows) -> NDArray[np.float64]:
    times = np.full(len(table.ids), np.nan)
    for row, value in enumerate(table.cells[config.time]):
        if is_missing(value):
            continue
        number = finite_number(value)
        if number is None:
            raise InputError(f"{table.at(row)}: {config.time} is {str(value)!r}, not a finite number")
        if number < 0:
            raise InputError(
                f"{table.at(row)}: {config.time} is negative ({value}); correct it or leave it empty"
            )
        times[row] = number
    return times * DAYS[config.unit]


def _events(config: EndpointConfig, table: ClinicalRows) -> NDArray[np.float64]:
    meaning = {value_key(v): 1.0 for v in config.event_values} | {
        value_key(v): 0.0 for v in config.censored_values
    }
    events = np.full(len(table.ids), np.nan)
    for row, value in enumerate(table.cells[config.event]):
        key = value_key(value)
        if key in meaning:
            events[row] = meaning[key]
        elif not is_missing(value):
            raise InputError(
                f"{table.at(row)}: {config.event} is {str(value)!r}, neither an event value "
                f"({', '.join(map(repr, config.event_values))}) nor a censored one "
                f"({', '.join(map(repr, config.censored_values))}); list it in one of the two"
            )
    return events

"""The clinical table: each patient's cohort, site, exclusion and time-to-event endpoints.

In the library `event` always means 1 = observed, 0 = censored; tables that code it otherwise are translated
here. `prime.cohort.clinical_formats` knows the columns of tables that many have.
"""

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from prime.arrays import Floats
from prime.cohort import barcode
from prime.cohort.cells import code_for_missing, distinct, finite_number, is_missing, value_key
from prime.cohort.clinical_formats import LAYOUTS, with_layout
from prime.cohort.config import ClinicalConfig, EndpointConfig, ExcludeConfig
from prime.cohort.covariates import (
    ClinicalRows,
    covariate,
    covariate_columns,
    read_cells,
    refuse_twice,
)
from prime.cohort.endpoint_names import DAYS, LONGEST_YEARS, YEAR, judge_names, judge_times
from prime.cohort.joined_rows import join_rows
from prime.cohort.patient_names import spellings, spelt_twice
from prime.cohort.tables import patient_ids, require_columns
from prime.errors import InputError, some

WHERE = "clinical"
_DEATH = re.compile(r"death|died|deceased")


@dataclass(frozen=True)
class ClinicalTable:
    """The clinical table as read.

    Attributes:
        frame: one row per patient: patient_id, cohort, site (text, may be empty), excluded (bool),
            exclude_reason, `{endpoint}_time_days` and `{endpoint}_event` (float64, NaN missing, event
            1 = observed) for each endpoint, `{endpoint}_entry_days` where it names an entry, and `x_{name}`
            (float64, NaN missing) for each covariate.
        endpoints: their names.
        notes: what was missing or left out, one line each.
        file: the table that was read.
        settings: of each endpoint, its columns and unit.
        warnings: what is likely a mistake: a name or times that contradict the unit, a rule that hits nobody.
        typed: whether a column states the cancer type; else everybody has the cohort's name.
    """

    frame: pd.DataFrame
    endpoints: list[str]
    notes: list[str]
    file: Path
    settings: dict[str, EndpointConfig] = field(default_factory=dict[str, EndpointConfig])
    warnings: list[str] = field(default_factory=list[str])
    typed: bool = True


def read_clinical(config: ClinicalConfig, root: Path | str, name: str = "") -> ClinicalTable:
    """Read the clinical table.

    A patient may lack any endpoint: a time without an event, or an event without a time, counts as missing
    and is noted. A time of zero is kept. Where no column states the cancer type, everybody is of the cohort
    `name`.

    Raises:
        InputError: a missing file or column, another encoding than UTF-8, an empty table, a patient twice
            (unless rows are joined), an event value that is not declared, a time that is negative, no number
            or beyond 120 years, columns whose names contradict a unit or a coding that nobody stated, or an
            unknown value of a covariate.
    """
    path = Path(root) / config.path
    layout = LAYOUTS.get(config.format)
    sheet = config.sheet
    if sheet is None and layout is not None and path.suffix.lower() == ".xlsx":
        sheet = layout.sheet
    cells = read_cells(path, WHERE, sheet, layout is not None and layout.comments)
    config = with_layout(config, [str(column) for column in cells.columns], path)
    joins = config.several_rows == "join" or (
        config.several_rows is None and layout is not None and layout.several_rows
    )
    table = _rows(config, cells, path, joins)
    types = _types(config, table, name)
    columns: dict[str, object] = {
        "patient_id": table.ids,
        "cohort": types or [name] * len(table.ids),
        "site": _sites(config, table),
    }
    columns["excluded"], columns["exclude_reason"] = _excluded(config.exclude, table)
    for key, endpoint in config.endpoints.items():
        table.warnings.extend(judge_names(key, endpoint, f"{WHERE}: {path}"))
        found = _endpoint(key, endpoint, table)
        columns[f"{key}_time_days"], columns[f"{key}_event"] = found.days, found.event
        if found.entry is not None:
            columns[f"{key}_entry_days"] = found.entry
    for item in config.covariates:
        columns[f"x_{item.name}"] = covariate(item, table)
    return ClinicalTable(
        pd.DataFrame(columns),
        list(config.endpoints),
        table.notes,
        path,
        config.endpoints,
        table.warnings,
        bool(types),
    )


def _rows(config: ClinicalConfig, cells: pd.DataFrame, path: Path, joins: bool) -> ClinicalRows:
    """The used columns, one row per patient."""
    assert config.patient_id is not None
    needed = list(dict.fromkeys(_needed(config)))
    require_columns(cells, [config.patient_id, *needed], path, WHERE)
    ids = [str(x) for x in patient_ids(cells[config.patient_id], path, WHERE)]
    cells, notes = cells[needed], list[str]()
    if joins:
        times = {c for e in config.endpoints.values() for c in (*e.time, *e.event_time)}
        agreeing = set(needed) - times - set(covariate_columns(config.covariates))
        cells, ids, notes = join_rows(cells, ids, times, agreeing, f"{WHERE}: {path}")
    else:
        refuse_twice(ids, path, WHERE)
    return ClinicalRows(cells, ids, path, WHERE, notes)


def _needed(config: ClinicalConfig) -> list[str]:
    names = [config.cohort, config.site]
    names += [c for e in config.endpoints.values() for c in (*e.time, *e.event, *e.event_time)]
    names += [c for e in config.endpoints.values() for c in (e.entry, e.zero)]
    names += [e.column for e in config.exclude] + covariate_columns(config.covariates)
    return [name for name in names if name is not None]


def _text(table: ClinicalRows, column: str) -> list[str]:
    codes, values, _ = distinct(table.cells[column].to_numpy(dtype=object))
    texts = ["" if is_missing(value) else str(value).strip() for value in values]
    return [texts[code] for code in codes]


def _types(config: ClinicalConfig, table: ClinicalRows, name: str) -> list[str]:
    """The cancer types, empty where a patient's is not known; no list where nobody's is."""
    if config.cohort is None:
        return []
    types = _text(table, config.cohort)
    if any(types):
        _judge_spellings("cancer types", types, table)
        return types
    table.warnings.append(
        f"column {config.cohort!r} states nobody's cancer type: all are of one type, {name!r}"
    )
    return []


def _judge_spellings(what: str, names: list[str], table: ClinicalRows) -> None:
    twice = [spellings(group) for group in spelt_twice(dict.fromkeys(filter(None, names)))]
    if twice:
        table.warnings.append(f"{what} in two spellings ({some(twice)}) count as different ones; use one")


def _sites(config: ClinicalConfig, table: ClinicalRows) -> list[str]:
    if config.site is not None:
        sites = _text(table, config.site)
        _judge_spellings("sites", sites, table)
        return sites
    if config.format == "table":
        return [""] * len(table.ids)
    return [barcode.site(patient) if barcode.is_tcga(patient) else "" for patient in table.ids]


def _excluded(rules: Iterable[ExcludeConfig], table: ClinicalRows) -> tuple[NDArray[np.bool_], list[str]]:
    excluded = np.zeros(len(table.ids), dtype=np.bool_)
    reasons = [""] * len(table.ids)
    for rule in rules:
        cells = [str(value) for value in table.cells[rule.column]]
        wanted = {value_key(value) for value in rule.values}
        hits = [row for row, value in enumerate(cells) if value_key(value) in wanted]
        for row in hits:
            reasons[row] = reasons[row] or rule.reason
            excluded[row] = True
        found = list(dict.fromkeys(value for value in cells if not is_missing(value)))
        if hits:
            table.notes.append(f"{len(hits)} patients never serve evaluation: {rule.reason} ({rule.column})")
        elif found or rule.column not in {r.column for layout in LAYOUTS.values() for r in layout.exclude}:
            table.warnings.append(
                f"exclude: no patient has {' or '.join(repr(str(value)) for value in rule.values)} in "
                f"{rule.column} (it holds {some(found) or 'nothing'}): nobody is excluded by this rule"
            )
    return excluded, reasons


@dataclass(frozen=True)
class _Outcomes:
    """Times in days, events and delayed entries in days (n,) each; NaN where any of them is missing."""

    days: Floats
    event: Floats
    entry: Floats | None


def _endpoint(name: str, config: EndpointConfig, table: ClinicalRows) -> _Outcomes:
    """An endpoint; missing where a part of it is, or parts contradict each other."""
    times, of_death = _times(config.time, table)
    events = _events(config, table)
    if config.event_time:
        event_times, _ = _times(config.event_time, table)
        of_death = ~np.isnan(event_times)
        times = np.where(events == 1.0, event_times, times)
    against = (events == 0.0) & of_death
    if against.any():
        table.warnings.append(
            f"{name}: {int(against.sum())} patients have a time of the event and are censored (first "
            f"{table.ids[int(against.argmax())]}): one contradicts the other, counted as missing"
        )
        times, events = np.where(against, np.nan, times), np.where(against, np.nan, events)
    for have, lack, what in ((times, events, "a time but no event"), (events, times, "an event but no time")):
        half = ~np.isnan(have) & np.isnan(lack)
        if half.any():
            first = table.ids[int(half.argmax())]
            table.notes.append(
                f"{name}: {int(half.sum())} patients have {what} (first {first}): counted as missing"
            )
    missing = np.isnan(times) | np.isnan(events)
    _refuse_endless(config, np.where(missing, np.nan, times * DAYS[config.unit]), table)
    if (code := code_for_missing(times)) is not None:
        table.warnings.append(
            f"{name}: {int((times == code).sum())} patients have the time {code:g}, far beyond all others: "
            "does it stand for missing? Leave such cells empty"
        )
    times, entry, lost = _from_zero(name, config, np.where(missing, np.nan, times), table)
    missing |= lost
    days = np.where(missing, np.nan, times * DAYS[config.unit])
    table.warnings.extend(judge_times(name, config.unit, days))
    late = None if entry is None else np.where(missing, np.nan, entry * DAYS[config.unit])
    return _Outcomes(days, np.where(missing, np.nan, events), late)


def _from_zero(
    name: str, config: EndpointConfig, times: Floats, table: ClinicalRows
) -> tuple[Floats, Floats | None, NDArray[np.bool_]]:
    """Times and entries (n,) counted from the stated time zero, in the unit; whom that leaves without either.

    Who entered before time zero was under observation then. Who has no entry, or none before the time, was
    never seen at risk.
    """
    known, lost = ~np.isnan(times), np.zeros(len(times), dtype=np.bool_)
    entry = None if config.entry is None else _times((config.entry,), table)[0]
    if config.zero is not None:
        zero = _times((config.zero,), table, below=True)[0]
        lost |= _left_out(name, known & np.isnan(zero), f"no time zero ({config.zero})", table)
        early = known & (times <= zero)
        lost |= _left_out(name, early, f"no follow-up beyond time zero ({config.zero})", table)
        times = times - zero
        entry = None if entry is None else np.maximum(entry - zero, 0.0)
    if entry is not None:
        lost |= _left_out(name, known & ~lost & np.isnan(entry), f"no entry ({config.entry})", table)
        late = known & ~lost & (entry >= times)
        lost |= _left_out(name, late, f"an entry ({config.entry}) that is not before the time", table)
        used = known & ~lost
        table.notes.append(
            f"{name}: {int((used & (entry > 0)).sum())} of {int(used.sum())} patients came under observation "
            f"late ({config.entry}); they count as at risk from then on"
        )
    return times, entry, lost


def _left_out(name: str, who: NDArray[np.bool_], what: str, table: ClinicalRows) -> NDArray[np.bool_]:
    """`who` (n,), with a warning about them."""
    if who.any():
        table.warnings.append(
            f"{name}: {int(who.sum())} patients have {what} (first {table.ids[int(who.argmax())]}): counted "
            f"as missing"
        )
    return who


def _refuse_endless(config: EndpointConfig, days: Floats, table: ClinicalRows) -> None:
    beyond = np.flatnonzero(days > LONGEST_YEARS * YEAR)
    if len(beyond):
        row = int(beyond[0])
        raise InputError(
            f"{table.at(row)}: {' or '.join((*config.event_time, *config.time))} is "
            f"{days[row] / DAYS[config.unit]:g} {config.unit}, which is {days[row] / YEAR:.0f} years; "
            f"correct the unit, or the cell"
        )


def _times(
    columns: tuple[str, ...], table: ClinicalRows, below: bool = False
) -> tuple[Floats, NDArray[np.bool_]]:
    """The first known time (n,) in the column's unit, NaN where there is none; which are a day of death.

    `below`: it may be negative.
    """
    times = np.full(len(table.ids), np.nan)
    of_death = np.zeros(len(table.ids), dtype=np.bool_)
    for column in columns:
        rows = np.flatnonzero(np.isnan(times))
        codes, values, first = distinct(table.cells[column].to_numpy(dtype=object)[rows])
        firsts = [int(row) for row in rows[first]]
        found = [_time(v, column, table, row, below) for v, row in zip(values, firsts, strict=True)]
        times[rows] = np.array(found, dtype=np.float64)[codes]
        of_death[rows] = len(columns) > 1 and _DEATH.search(column.lower()) is not None
    return times, of_death & ~np.isnan(times)


def _time(value: object, column: str, table: ClinicalRows, row: int, below: bool) -> float:
    """A cell of a column of times, NaN where it is missing."""
    if is_missing(value):
        return math.nan
    number = finite_number(value)
    if number is None:
        raise InputError(f"{table.at(row)}: {column} is {str(value)!r}, not a finite number")
    if number < 0 and not below:
        raise InputError(f"{table.at(row)}: {column} is negative ({value}); correct it or leave it empty")
    return number


def _events(config: EndpointConfig, table: ClinicalRows) -> Floats:
    """1 = observed, 0 = censored, NaN unknown, (n,): of the first column with a known value."""
    meaning = {value_key(v): 1.0 for v in config.event_values} | {
        value_key(v): 0.0 for v in config.censored_values
    }
    words = any(isinstance(value, bool) for value in (*config.event_values, *config.censored_values))
    hint = " (bare yes and no are read as True and False: put words in quotes)" if words else ""
    events = np.full(len(table.ids), np.nan)
    for column in config.event:
        rows = np.flatnonzero(np.isnan(events))
        codes, values, first = distinct(table.cells[column].to_numpy(dtype=object)[rows])
        for value, row in zip(values, rows[first], strict=True):
            if value_key(value) not in meaning and not is_missing(value):
                raise InputError(
                    f"{table.at(row)}: {column} is {str(value)!r}, neither an event value "
                    f"({', '.join(map(repr, config.event_values))}) nor a censored one "
                    f"({', '.join(map(repr, config.censored_values))}); list it in one of the two{hint}"
                )
        found = [meaning.get(value_key(value), math.nan) for value in values]
        events[rows] = np.array(found, dtype=np.float64)[codes]
    return events

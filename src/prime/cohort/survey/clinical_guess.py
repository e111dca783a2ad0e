"""Which table is the clinical one, and what its columns mean, from their names and cells."""

import re
from dataclasses import dataclass, field

import numpy as np

from prime.cohort.cells import finite_number, value_key
from prime.cohort.clinical_formats import LAYOUTS
from prime.cohort.endpoint_names import named_turned, named_unit
from prime.cohort.readers.annotated_files import OBS_NAMES
from prime.cohort.survey.heads import Head
from prime.errors import cut

PATIENT = re.compile(
    r"(?:bcr_)?(?:patient|case|subject|submitter|identifier|id)(?:.*(?:id|barcode))?|.*patient.*id"
)
TYPE = re.compile(r"(?:cancer|tumou?r|disease)?[ _.]*(?:type|code)|(?:cancer|disease|project|cohort|study).*")
SITE = re.compile(r"(?:site|hospital|cent(?:er|re)|institution)(?:[ _.]?(?:id|code|name))?$")
TIME = re.compile(r"time|days?|months?|years?|weeks?|follow|surviv|duration")
NO_TIME = re.compile(r"age|birth|year_of|index|collection")
EVENT = re.compile(r"event|status|censor|dead|death|died|deceased|vital|relapse|progress|recur|alive")
CODE = re.compile(r"(?<![a-z])(os|pfs|pfi|dss|dfs|dfi|rfs|efs|css|ttp)(?![a-z])")
YES = frozenset(
    ["1.0", "dead", "deceased", "died", "yes", "event", "progressed", "progression", "relapsed", "recurred"]
)
NO = frozenset(["0.0", "alive", "living", "no", "censored", "none", "diseasefree"])
ORDER = ("tcga-cdr", "cbioportal", "gdc", "survpath", "mcat", "xena")
MOST_YEARS, MOST_MONTHS = 40.0, 400.0  # the largest time of a column whose name states no unit


@dataclass
class ClinicalGuess:
    """A clinical table as it was recognised.

    Attributes:
        head: its first rows.
        format: of the cohort file.
        patient: the patients' column.
        keys: further keys of the cohort file, as lines, each with its remark.
        endpoints: their names.
        recognised: how many known columns speak for it.
    """

    head: Head
    format: str
    patient: str
    keys: list[str] = field(default_factory=list[str])
    endpoints: list[str] = field(default_factory=list[str])
    recognised: int = 0


def known_format(head: Head) -> ClinicalGuess | None:
    """The table as one of the known formats; None where it is none of them."""
    for name in ORDER:
        layout = LAYOUTS[name]
        patient = next((column for column in layout.patient_id if column in head.columns), None)
        found = {
            code
            for code, endpoint in layout.endpoints
            if set(endpoint.event) <= set(head.columns) and set(endpoint.time) & set(head.columns)
        }
        if name == "survpath" and not any(column.startswith("censorship_") for column in head.columns):
            continue
        if patient is not None and found:
            return ClinicalGuess(head, name, patient, endpoints=sorted(found), recognised=100 + len(found))
    return None


def own_format(head: Head) -> ClinicalGuess | None:
    """The table by its column names; None where it has no patients or no outcome."""
    patient = patient_column(head)
    if patient is None:
        return None
    pairs = _pairs(head)
    lines = ["endpoints:"]
    names: list[str] = []
    for name, (time, event) in pairs.items():
        coding = _coding(head, event)
        if coding is None:
            continue
        yes, no = coding
        unit = named_unit(time)
        remark = f"named so in {time!r}" if unit else "guess: from the size of the times"
        unit = unit or _unit_by_size(head, time)
        lines += [
            f"  {name}: # guess: by the columns' names",
            f"    time: {quoted(time)}",
            f"    event: {quoted(event)}",
            f"    event_values: {_listed(yes)} # guess: means that the event was observed",
            f"    censored_values: {_listed(no)} # guess",
            f"    unit: {unit} # {remark}",
        ]
        names.append(name)
    if not names:
        return None
    guess = ClinicalGuess(head, "table", patient, endpoints=names, recognised=len(names))
    for key, pattern in (("cohort", TYPE), ("site", SITE)):
        column = _column(head, pattern, {patient, *(c for pair in pairs.values() for c in pair)})
        if column is not None:
            what = "cancer type" if key == "cohort" else "hospital"
            guess.keys.append(f"{key}: {quoted(column)} # guess: the {what}; remove the line if it is not")
    guess.keys += lines
    return guess


def why_not(head: Head) -> str:
    """Why a table was not taken for the clinical one."""
    if len(head.columns) == 1:
        return f"one column only; are its fields separated by another sign? {cut(head.columns[0], 40)!r}"
    if patient_column(head) is None:
        return "no column is named for patients"
    unknown = [
        f"{event!r} holds {', '.join(head.values(event)[:4])}"
        for _, event in _pairs(head).values()
        if _coding(head, event) is None
    ]
    if unknown:
        return f"{'; '.join(unknown)}: which of them means the event is not known"
    events = [column for column in head.columns if EVENT.search(column.lower())]
    times = [c for c in head.columns if TIME.search(c.lower()) and not NO_TIME.search(c.lower())]
    words = [
        column for column in times if column not in events and head.known(column) and not head.numeric(column)
    ]
    if words:
        return f"{words[0]!r} is named for a time and holds {cut(head.known(words[0])[0])!r}, no number"
    return "no columns are named for a time and an event"


def patient_column(head: Head) -> str | None:
    """The column of patients by its name; of an unnamed index where it holds words."""
    named = [column for column in head.columns if PATIENT.fullmatch(column.lower())]
    best = [column for column in named if "patient" in column.lower() or "case" in column.lower()]
    unnamed = [
        c for c in head.columns if c.startswith(("Unnamed: ", "__index_level_")) and not head.numeric(c)
    ]
    names = [column for column in head.columns if column == OBS_NAMES]  # of AnnData
    return next(iter([*best, *named, *unnamed, *names]), None)


def quoted(text: str) -> str:
    """A text as YAML reads it back in any case."""
    return "'" + text.replace("'", "''") + "'"


def _listed(values: list[str]) -> str:
    return (
        "["
        + ", ".join(value if finite_number(value) is not None else quoted(value) for value in values)
        + "]"
    )


def _column(head: Head, pattern: re.Pattern[str], taken: set[str]) -> str | None:
    """A column of few words with such a name."""
    for column in head.columns:
        few = 0 < len(head.values(column)) <= max(40, len(head.cells) // 5)
        if (
            column not in taken
            and pattern.fullmatch(column.lower())
            and few
            and not EVENT.search(column.lower())
        ):
            return column
    return None


def _pairs(head: Head) -> dict[str, tuple[str, str]]:
    """Columns of time and event of each endpoint, by the code in their names; else the only two there are."""
    events = [c for c in head.columns if EVENT.search(c.lower()) and 1 <= len(head.values(c)) <= 2]
    codes = [c for c in head.columns if CODE.fullmatch(c.lower()) and 1 <= len(head.values(c)) <= 2]
    events += [column for column in codes if column not in events]
    times = [
        column
        for column in head.columns
        if head.numeric(column) and column not in events
        if (TIME.search(column.lower()) or CODE.fullmatch(column.lower()))
        and not NO_TIME.search(column.lower())
    ]
    found: dict[str, tuple[str, str]] = {}
    for time in times:
        code = CODE.search(time.lower())
        partner = [e for e in events if code and (own := CODE.search(e.lower())) and own[1] == code[1]]
        if code and partner:
            found.setdefault(code[1], (time, partner[0]))
    plain = [event for event in events if not CODE.search(event.lower())]
    if not found and times and (events := plain or events):
        found["os"] = (times[0], events[0])
    return found


def _coding(head: Head, event: str) -> tuple[list[str], list[str]] | None:
    """The values that mean observed, and censored; None where the words are not known."""
    values = head.values(event)
    yes = [value for value in values if value_key(value) in YES]
    no = [value for value in values if value_key(value) in NO]
    if len(yes) + len(no) != len(values) or not yes:
        return None
    if named_turned(event) and value_key(yes[0]) == "1.0":
        yes, no = no or ["0"], yes
    return yes, no or ["0"]


def _unit_by_size(head: Head, time: str) -> str:
    largest = float(np.max([finite_number(cell) or 0.0 for cell in head.known(time)]))
    return "years" if largest <= MOST_YEARS else "months" if largest <= MOST_MONTHS else "days"

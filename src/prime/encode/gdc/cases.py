"""Clinical data from the GDC's /cases: kept as received, and overall survival derived from them."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, cast

from prime.cohort import barcode
from prime.encode.gdc.kinds import CLINICAL
from prime.encode.gdc.query import find_cases
from prime.encode.gdc.server import Server
from prime.errors import InputError
from prime.files import write_json
from prime.parsing import read_json

COLUMNS = ["patient_id", "type", "site", "vital_status", "os_days", "os_event", "age", "sex", "note"]
Case = dict[str, Any]


def fetch_cases(server: Server, projects: Sequence[str], folder: Path) -> int:
    """Write the cases of each project to `folder/clinical/PROJECT.json`, unless that file is there.

    No projects: all of TCGA. Returns the number of cases received. Raises InputError, see Server.hits.
    """
    wanted = [project for project in projects if not case_file(folder, project).is_file()]
    if projects and not wanted:
        return 0
    of_project: dict[str, list[Case]] = {}
    for case in find_cases(server, wanted):
        of_project.setdefault(project_of(case), []).append(case)
    for project, cases in of_project.items():
        if not case_file(folder, project).is_file():
            write_json(case_file(folder, project), cases)
    return sum(map(len, of_project.values()))


def case_file(folder: Path, project: str) -> Path:
    """The file with a project's cases. Raises InputError for a name that no project has."""
    if not project.replace("-", "").replace("_", "").isalnum():
        raise InputError(f"project {project!r}: expected a name such as TCGA-BRCA")
    return folder / CLINICAL / f"{project}.json"


def read_cases(folder: Path) -> list[Case]:
    """All cases of a fetched folder. Raises InputError where there are none, or a file is damaged."""
    paths = sorted((folder / CLINICAL).glob("*.json"))
    if not paths:
        raise InputError(
            f"{folder / CLINICAL}: no clinical data; fetch it (prime gdc fetch --data clinical), or name "
            f"a table with --clinical"
        )
    cases: list[Case] = []
    for path in paths:
        found = read_json(path)
        if not isinstance(found, list) or not all(_is_case(case) for case in cast(list[object], found)):
            raise InputError(f"{path}: not a list of the GDC's cases; delete it and fetch it again")
        cases += cast(list[Case], found)
    return cases


def _is_case(value: object) -> bool:
    """Whether it has a barcode and a project, as every case does."""
    try:
        return bool(project_of(cast(Case, value)) and cast(Case, value)["submitter_id"])
    except (KeyError, TypeError):
        return False


def project_of(case: Case) -> str:
    """The case's project, such as TCGA-BRCA."""
    return str(case["project"]["project_id"])


def clinical_row(case: Case) -> dict[str, str | float]:
    """One patient's row: times in days from the index date (diagnosis), `os_event` 1 = died, 0 = censored.

    Died: time is `demographic.days_to_death`. Alive: the last day of `follow_ups.days_to_follow_up` and
    `diagnoses.days_to_last_follow_up`. Where the status or the time is not known, or the time is negative,
    both cells stay empty and `note` says why. `age` in years at the index date.
    """
    demographic: dict[str, Any] = case.get("demographic") or {}
    status = str(demographic.get("vital_status") or "")
    event, time, note = _survival(case, demographic, status)
    patient = str(case["submitter_id"])
    return {
        "patient_id": patient,
        "type": project_of(case).removeprefix("TCGA-"),
        "site": barcode.site(patient) if barcode.is_tcga(patient) else "",
        "vital_status": status,
        "os_days": "" if time is None else time,
        "os_event": "" if time is None else event,
        "age": _or_empty(_number(demographic.get("age_at_index"))),
        "sex": str(demographic.get("gender") or demographic.get("sex_at_birth") or ""),
        "note": note,
    }


def _survival(case: Case, demographic: Case, status: str) -> tuple[int, float | None, str]:
    """Event, time in days or None, and why it is None."""
    if status == "Dead":
        event, what = 1, "days_to_death"
        time = _number(demographic.get("days_to_death"))
    elif status == "Alive":
        event, what = 0, "any follow-up"
        time = max(_follow_ups(case), default=None)
    else:
        return 0, None, f"vital status is {status or 'not stated'}"
    if time is None:
        return event, None, f"{status.lower()}, without {what}"
    return (event, time, "") if time >= 0 else (event, None, f"{what} is negative ({time:g})")


def _follow_ups(case: Case) -> Iterable[float]:
    """Every day, counted from the index date, on which the patient was known to be alive."""
    for group, name in (("follow_ups", "days_to_follow_up"), ("diagnoses", "days_to_last_follow_up")):
        for item in cast(list[Case], case.get(group) or []):
            day = _number(item.get(name))
            if day is not None:
                yield day


def _number(value: object) -> float | None:
    """A number of the GDC; null where unknown."""
    return float(value) if isinstance(value, int | float) else None


def _or_empty(value: float | None) -> float | str:
    return "" if value is None else value

"""What the name and the numbers of an endpoint's columns say about their unit and their coding."""

import re

import numpy as np

from prime.arrays import Floats
from prime.cohort.config import EndpointConfig, Unit
from prime.days import MONTH, YEAR
from prime.errors import InputError

DAYS: dict[Unit, float] = {"days": 1.0, "weeks": 7.0, "months": MONTH, "years": YEAR}
LONGEST_YEARS = 120.0  # nobody is followed for longer
LONG_YEARS, LONG_MEDIAN_YEARS = 60.0, 20.0
SHORT_DAYS, SHORT_MEDIAN_DAYS = 365.0, 90.0  # the longest follow-up, and the median
FIRST_YEAR, LAST_YEAR = 1900, 2100  # a calendar
JUDGED = 20  # patients with an outcome, from whom on the times as a whole are judged

_UNITS: dict[Unit, re.Pattern[str]] = {
    "days": re.compile(r"days?"),
    "weeks": re.compile(r"weeks?|(?<![a-z])wks?(?![a-z])"),
    "months": re.compile(r"months?|(?<![a-z])(?:mos?|mths?)(?![a-z])"),
    "years": re.compile(r"years?|(?<![a-z])yrs?(?![a-z])"),
}
_TURNED = re.compile(r"censor|alive|living|surviv(?!.*(?:status|event))")


def named_unit(column: str) -> Unit | None:
    """The unit in a column's name (`OS_MONTHS`, `days_to_death`), None where there is not exactly one."""
    found: list[Unit] = [unit for unit, pattern in _UNITS.items() if pattern.search(column.lower())]
    return found[0] if len(found) == 1 else None


def named_turned(column: str) -> bool:
    """Whether a column's name says that 1 means no event: censorship, alive, overall_survival."""
    return _TURNED.search(column.lower()) is not None


def judge_names(name: str, endpoint: EndpointConfig, where: str) -> list[str]:
    """Warnings about columns whose names contradict what is stated of them.

    Raises InputError, which begins with `where`, for a name that contradicts what nobody stated.
    """
    warnings: list[str] = []
    starts = [column for column in (endpoint.entry, endpoint.zero) if column is not None]
    for column in (*endpoint.time, *endpoint.event_time, *starts):
        unit = named_unit(column)
        if unit is None or unit == endpoint.unit:
            continue
        if "unit" not in endpoint.model_fields_set:
            raise InputError(
                f"{where}: endpoint {name}: column {column!r} is named for {unit}, but no unit is stated and "
                f"it would be read as days; write unit: {unit}, or unit: days if its name is wrong"
            )
        warnings.append(f"{name}: column {column!r} is named for {unit} and is read as {endpoint.unit}")
    stated = {"event_values", "censored_values"} & endpoint.model_fields_set
    for column in filter(named_turned, endpoint.event):
        if not stated:
            raise InputError(
                f"{where}: endpoint {name}: column {column!r} is named for those without the event, and no "
                f"values are stated; write event_values: [0] and censored_values: [1] if 1 means NOT "
                f"observed (CLAM, MCAT, SurvPath), else event_values: [1] and censored_values: [0]"
            )
        if any(str(value) in ("1", "1.0", "True") for value in endpoint.event_values):
            warnings.append(
                f"{name}: column {column!r} is named for those without the event, and 1 is read as the event"
            )
    return warnings


def judge_times(name: str, unit: Unit, days: Floats) -> list[str]:
    """Warnings about times (n,) in days, NaN missing, that no cohort of patients has, as stated in `unit`."""
    known = days[~np.isnan(days)]
    if len(known) < JUDGED:
        return []
    stated = known / DAYS[unit]
    if bool(((stated >= FIRST_YEAR) & (stated <= LAST_YEAR) & (stated % 1 == 0)).all()):
        return [
            f"{name}: all times are whole numbers from {stated.min():.0f} to {stated.max():.0f}; are these"
            " calendar years? State the time from diagnosis"
        ]
    median, longest = float(np.median(known)), float(known.max())
    if longest > LONG_YEARS * YEAR or median > LONG_MEDIAN_YEARS * YEAR:
        return [
            f"{name}: follow-up has a median of {median / YEAR:.1f} years and reaches {longest / YEAR:.0f} "
            f"years; are these really {unit}?"
        ]
    if longest < SHORT_DAYS or median < SHORT_MEDIAN_DAYS:
        return [
            f"{name}: follow-up has a median of {median:.0f} days and ends after {longest:.0f} days; are "
            f"these really {unit}?"
        ]
    return []

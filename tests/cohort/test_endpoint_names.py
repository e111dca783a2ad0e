"""What names and sizes of an endpoint's columns say against what is stated of them."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from prime.cohort.config import ClinicalConfig
from prime.cohort.endpoint_names import judge_times, named_turned, named_unit
from prime.cohort.endpoints import ClinicalTable, read_clinical
from prime.errors import InputError


@pytest.mark.parametrize(
    ("column", "unit"),
    [
        ("OS_MONTHS", "months"), ("survival_months", "months"), ("os_mo", "months"), ("fu (mos)", "months"),
        ("days_to_death", "days"), ("OS.time", None), ("os_days", "days"), ("daystofollowup", "days"),
        ("time_yrs", "years"), ("FollowUpYears", "years"), ("weeks", "weeks"), ("OS", None), ("t", None),
        ("mode", None), ("days_or_months", None),
    ],
)  # fmt: skip
def test_units_in_names(column: str, unit: str | None) -> None:
    assert named_unit(column) == unit


@pytest.mark.parametrize(
    ("column", "turned"),
    [
        ("censorship", True), ("Censored", True), ("os_censor", True), ("alive", True),
        ("overall_survival", True),
        ("survival_status", False), ("vital_status", False), ("OS", False), ("event", False), ("dead", False),
        ("Overall Survival Status", False), ("death_event", False),
    ],
)  # fmt: skip
def test_names_of_those_without_the_event(column: str, turned: bool) -> None:
    assert named_turned(column) == turned


def read(folder: Path, columns: dict[str, list[Any]], **endpoint: Any) -> ClinicalTable:
    table = pd.DataFrame({"id": [f"p{i}" for i in range(len(next(iter(columns.values()))))], **columns})
    table.to_csv(folder / "c.csv", index=False)
    time, event = columns
    settings = {"time": time, "event": event, **endpoint}
    config = {"format": "table", "path": "c.csv", "patient_id": "id", "endpoints": {"os": settings}}
    return read_clinical(ClinicalConfig.model_validate(config), folder)


def test_a_column_of_months_is_not_read_as_days(tmp_path: Path) -> None:
    columns = {"OS_MONTHS": [10.0, 20.0], "dead": [0, 1]}
    with pytest.raises(InputError, match=r"'OS_MONTHS' is named for months, but no unit is stated.*: months"):
        read(tmp_path, columns)
    assert read(tmp_path, columns, unit="months").warnings == []
    assert "named for months and is read as days" in read(tmp_path, columns, unit="days").warnings[0]


def test_censorship_is_not_read_as_the_event(tmp_path: Path) -> None:
    columns = {"t": [10.0, 20.0], "censorship": [0, 1]}
    with pytest.raises(InputError, match=r"'censorship' is named for those without.*censored_values: \[1\]"):
        read(tmp_path, columns)
    turned = read(tmp_path, columns, event_values=[0], censored_values=[1])
    assert turned.frame["os_event"].tolist() == [1, 0]
    assert turned.warnings == []
    stated = read(tmp_path, columns, event_values=[1], censored_values=[0])
    assert "1 is read as the event" in stated.warnings[0]


@pytest.mark.parametrize("unit", ["months", "years"])
def test_days_declared_as_something_longer_are_refused(tmp_path: Path, unit: str) -> None:
    days = [*range(100, 3000, 100), 4500]
    with pytest.raises(InputError, match=rf"is .* {unit}, which is \d+ years; correct the unit, or the cell"):
        read(tmp_path, {"t": days, "dead": [1] * len(days)}, unit=unit)


@pytest.mark.parametrize(
    ("unit", "days", "alarm"),
    [
        ("days", np.linspace(30, 3000, 60), False),
        ("days", np.linspace(1, 130, 60), True),  # months
        ("days", np.linspace(0.1, 12, 60), True),  # years
        ("weeks", 7 * np.linspace(30, 4000, 60), True),  # days
        ("years", 365.25 * np.linspace(0.1, 45, 60), True),
        ("days", np.linspace(1, 130, 10), False),  # too few patients to judge
        ("days", np.full(60, np.nan), False),
    ],
)
def test_follow_up_that_no_cohort_has_is_a_warning(unit: Any, days: np.ndarray, alarm: bool) -> None:
    found = judge_times("os", unit, days)
    assert bool(found) == alarm
    assert not found or f"are these really {unit}?" in found[0]


def test_a_rule_of_exclusion_matches_equal_spellings_and_says_when_it_hits_nobody(tmp_path: Path) -> None:
    table = pd.DataFrame(
        {"id": list("abcd"), "flag": [1.0, 0, np.nan, 1], "state": ["REDACTED", "", "ok", ""]}
    )
    table.to_csv(tmp_path / "c.csv", index=False)
    rules = [{"column": "flag", "values": ["1"]}, {"column": "state", "values": ["Redacted"]}]
    rules += [{"column": "state", "values": ["withdrawn"]}]
    config = {"format": "table", "path": "c.csv", "patient_id": "id", "exclude": rules}
    found = read_clinical(ClinicalConfig.model_validate(config), tmp_path)
    assert found.frame["excluded"].tolist() == [True, False, False, True]
    (warning,) = found.warnings
    assert warning.startswith("exclude: no patient has 'withdrawn' in state (it holds REDACTED, ok): nobody")


def test_without_a_type_column_everybody_is_of_one_cohort(tmp_path: Path) -> None:
    pd.DataFrame({"id": ["a", "b"]}).to_csv(tmp_path / "c.csv", index=False)
    config = ClinicalConfig(format="table", path="c.csv", patient_id="id")
    assert read_clinical(config, tmp_path, "my_hospital").frame["cohort"].tolist() == ["my_hospital"] * 2

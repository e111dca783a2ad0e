"""Sample sizes in the check of a cohort."""

import io
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from prime.cohort.check.check import check, render
from prime.cohort.check.sample_size import HORIZON_DAYS, check_sample_sizes
from prime.cohort.config import load_cohort
from prime.cohort.endpoints import ClinicalTable
from prime.demo.simulate import simulate
from prime.evaluation.sample_size import NAGELKERKE, survival_r2_maximum, survival_sample_size


def clinical(**columns: list[object]) -> ClinicalTable:
    frame = pd.DataFrame(columns)
    frame["patient_id"] = [f"p{i}" for i in range(len(frame))]
    return ClinicalTable(frame, ["os"], [], Path("clinical.csv"))


def test_only_patients_who_can_serve_are_counted() -> None:
    table = clinical(
        cohort=["A"] * 6 + ["B"],
        os_time_days=[400.0, 600.0, 500.0, 0.0, 500.0, np.nan, 3000.0],
        os_event=[1.0, 1.0, 0.0, 1.0, 1.0, np.nan, 0.0],
        excluded=[False, False, False, False, True, False, False],
    )
    has_any = np.array([True, True, True, True, True, True, False])
    found = check_sample_sizes(table, has_any)
    assert [(item.cohort, item.patients, item.events) for item in found] == [("all", 3, 2), ("A", 3, 2)]
    mean, rate = 500.0, 2 / 1500.0
    size = survival_sample_size(10, rate, mean, mean)  # nobody is followed for three years
    assert (found[1].horizon_days, found[1].needed) == (mean, size.patients)
    assert found[1].needed_events == round(size.patients * 2 / 3)
    assert found[1].most == 0


def test_the_most_parameters_are_those_of_the_first_criterion_at_the_usual_assumption() -> None:
    rng = np.random.default_rng(0)
    table = clinical(
        cohort=["A"] * 900,
        os_time_days=list(rng.exponential(900, 900) + 1),
        os_event=[float(e) for e in rng.random(900) < 0.3],
        excluded=[False] * 900,
    )
    (found,) = check_sample_sizes(table, np.ones(900, bool))
    assert found.horizon_days == HORIZON_DAYS
    r2 = NAGELKERKE * survival_r2_maximum(found.events / 900, 1.0)
    most = min(-900 * (1 - s) * np.log(1 - r2 / s) for s in (0.9, 0.15 / 0.2))
    assert found.most == int(most)
    assert (found.most >= 10) == (found.needed <= 900)


def test_the_check_prints_and_saves_them(tmp_path: Path) -> None:
    report = check(load_cohort(simulate(tmp_path / "cohort", 120, 0)), progress=False)
    everybody = report.sample_sizes[0]
    assert everybody.cohort == "all"
    assert 0 < everybody.events <= everybody.patients <= report.patients
    assert report.to_json()["sample_sizes"][0] == asdict(everybody)
    console = Console(file=io.StringIO(), width=160)
    render(report, console)
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert "Riley's criteria" in text
    assert f"{everybody.needed:,}" in text


@pytest.mark.parametrize("event", [0.0, np.nan])
def test_without_events_nothing_is_said(event: float) -> None:
    table = clinical(cohort=["A"], os_time_days=[5.0], os_event=[event], excluded=[False])
    assert check_sample_sizes(table, np.ones(1, bool)) == []

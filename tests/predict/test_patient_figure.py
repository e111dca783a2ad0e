"""One figure a patient: its numbers are those of the tables, for every kind of task."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from prime.predict.asked import Asked
from prime.predict.fit import fit
from prime.predict.model_folder import FittedModel, load_model
from prime.predict.patient_figure import grid_months, patient_figures
from prime.predict.predict import Predictions, predict, score_patients
from prime.render.figure import Figure, Panel
from prime.store.store import Store
from tests.made_up import evaluation_settings, write_checkpoint, write_store

TASKS: dict[str, dict[str, Any]] = {
    "survival": {},
    "binary": {"horizon_days": 400},
    "competing": {"competing": ["death"]},
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("figures")
    store = with_deaths(write_store(folder / "cohort", 240))
    write_checkpoint(folder / "run", store, [str(p) for p in store.patients["patient_id"]])
    for name, task in TASKS.items():
        config = evaluation_settings(
            tasks=[{"name": "os", "endpoint": "os", **task}],
            probe={"components": 3, "ridge": [0.1], "missing_heads": "shared"},
        )
        fit(store, config, folder / "run", ("A", "B"), folder / name)
    return folder


def with_deaths(store: Store) -> Store:
    frame = store.patients.copy()
    rng = np.random.default_rng(1)
    frame["death_time_days"] = frame["os_time_days"] * rng.choice([0.4, 1.0, 2.0], len(frame))
    frame["death_event"] = rng.integers(0, 2, len(frame)).astype(float)
    return replace(store, patients=frame, manifest={**store.manifest, "endpoints": ["os", "death"]})


def drawn(folder: Path, name: str) -> tuple[FittedModel, Predictions, dict[str, Figure]]:
    model = load_model(folder / name)
    months = grid_months(model)
    place = folder / "new"
    new = Store.open(place / "store") if place.exists() else write_store(place, 20, seed=5)
    found = score_patients(model, new, asked=Asked(months) if months else Asked(), top=4)
    assert found.reasons is not None
    figures = dict(patient_figures(model, months, found.patients, found.tests, found.reasons))
    assert list(figures) == found.patients.loc[found.patients["status"] == "scored", "patient_id"].tolist()
    return model, found, figures


def panels_of(figure: Figure) -> list[Panel]:
    return [panel for panel in figure.panels if isinstance(panel, Panel)]


def test_the_curve_is_that_of_the_table(folder: Path) -> None:
    model, found, figures = drawn(folder, "survival")
    months = grid_months(model)
    for _, row in found.patients[found.patients["cohort"] == "A"].iterrows():
        curve, *_ = panels_of(figures[row["patient_id"]])
        band, own = curve.series
        values = [row[f"survival_{m:g}m"] for m in months if not np.isnan(row[f"survival_{m:g}m"])]
        np.testing.assert_allclose(own.y[1:], values)
        assert own.y[0] == 1
        assert own.low is not None
        assert own.high is not None
        assert all(a <= b <= c for a, b, c in zip(own.low, own.y, own.high, strict=True))
        assert band.low is not None
        assert len(band.y) == len(months) + 1


def test_bars_and_tests_are_those_of_the_tables(folder: Path) -> None:
    _, found, figures = drawn(folder, "survival")
    assert found.reasons is not None
    for _, row in found.patients.iterrows():
        _, shares, features, tests = panels_of(figures[row["patient_id"]])
        total = sum(y for series in shares.series for y in series.y)
        assert total == pytest.approx(row["risk"])
        mine = found.reasons[found.reasons["patient_id"] == row["patient_id"]]
        own = mine[mine["source"] != ""]
        bars = {x: y for series in features.series for x, y in zip(series.x, series.y, strict=True)}
        np.testing.assert_allclose([bars[k] for k in range(len(own))], own["contribution"])
        lacking = found.tests[found.tests["patient_id"] == row["patient_id"]]
        assert list(tests.categories) == ["now", *(f"with {name}" for name in lacking["test"])]
        low = tests.series[0].low
        assert low is not None
        np.testing.assert_allclose(low[1:], lacking["risk_low"].to_numpy(dtype=float))


def test_other_kinds_of_tasks_have_an_outlook_of_their_own(folder: Path) -> None:
    _, found, figures = drawn(folder, "binary")
    for _, row in found.patients[found.patients["cohort"] != "C"].iterrows():
        outlook = panels_of(figures[row["patient_id"]])[0]
        assert outlook.series[0].y[0] == pytest.approx(row["probability"])
    _, found, figures = drawn(folder, "competing")
    for _, row in found.patients[found.patients["cohort"] == "A"].iterrows():
        outlook = panels_of(figures[row["patient_id"]])[0]
        assert [series.label for series in outlook.series] == ["os first", "death first"]
        sums = np.array(outlook.series[0].y) + np.array(outlook.series[1].y)
        assert (sums <= 1 + 1e-9).all()


def test_a_type_without_survival_has_a_figure_without_a_curve(folder: Path) -> None:
    _, found, figures = drawn(folder, "survival")
    other = found.patients[found.patients["cohort"] == "C"]["patient_id"].iloc[0]
    assert panels_of(figures[other])[0].empty()


def test_files_carry_the_patients_names(folder: Path, tmp_path: Path) -> None:
    new = write_store(tmp_path / "few", 4, seed=9)
    frame = new.patients.copy()
    frame.loc[0, "patient_id"] = "../a/b"
    odd = replace(new, patients=frame)
    predict(folder / "survival", odd, tmp_path / "p.csv", figures=tmp_path / "pictures")
    names = sorted(path.name for path in (tmp_path / "pictures").iterdir())
    assert len(names) == 4
    assert {"p001.svg", "p002.svg", "p003.svg"} < set(names)
    for path in (tmp_path / "pictures").iterdir():
        assert re.match(r"<svg", path.read_text(encoding="utf-8"))
    assert not (tmp_path / "a").exists()


def test_long_names_are_cut_and_stay_different(folder: Path) -> None:
    model, found, _ = drawn(folder, "survival")
    assert found.reasons is not None
    long = found.reasons.assign(feature=lambda table: table["feature"].where(table["source"] == "", "x" * 60))
    figures = dict(patient_figures(model, grid_months(model), found.patients, found.tests, long))
    for figure in figures.values():
        names = panels_of(figure)[2].categories
        assert len(set(names)) == len(names)
        assert max(map(len, names)) < 32

"""A validation where another event can come first."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from lifelines import AalenJohansenFitter

from prime.errors import InputError
from prime.predict.asked import Asked
from prime.predict.fit import fit
from prime.predict.model_folder import load_model
from prime.predict.predict import score_patients
from prime.render.figure import Panel
from prime.store.store import Store
from prime.validation.competing import Competing, competing_rows, incidence_figure, read_competing
from prime.validation.labelled import read_labelled
from prime.validation.performance import Draws
from prime.validation.recalibrate import recalibrate
from prime.validation.validate import validate
from tests.made_up import evaluation_settings
from tests.validation.conftest import Work


def with_deaths(store: Store) -> Store:
    """Deaths: half of those without an event die at the end of follow-up, others later, some before it."""
    frame = store.patients.copy()
    rng = np.random.default_rng(0)
    time, event = frame["os_time_days"].to_numpy(), frame["os_event"].to_numpy() == 1
    frame["death_time_days"] = time * np.where(
        event, rng.choice([0.5, 2.0], len(time)), rng.choice([1, 1.5], len(time))
    )
    frame["death_event"] = (rng.random(len(time)) < 0.7).astype(float)
    manifest = {**store.manifest, "endpoints": ["os", "death"]}
    return replace(store, patients=frame, manifest=manifest)


def test_the_event_that_came_first_counts(work: Work) -> None:
    store = with_deaths(work.store)
    labelled = read_labelled(work.model, store)
    _, found = read_competing(labelled, store, "death")
    frame = store.patients.iloc[labelled.rows]
    for i, (_, row) in enumerate(frame.iterrows()):
        died, first = row["death_event"] == 1, row["death_time_days"]
        end, event = row["os_time_days"], row["os_event"] == 1
        if died and (first < end if event else first <= end):
            assert (found.cause[i], found.time[i]) == (2, first)
        else:
            assert (found.cause[i], found.time[i]) == (int(event), end)
    assert {0, 1, 2} == set(found.cause.tolist())


def test_the_observed_risk_is_the_cumulative_incidence_of_lifelines(work: Work) -> None:
    store = with_deaths(work.store)
    labelled = read_labelled(work.model, store)
    _, other = read_competing(labelled, store, "death")
    rows = competing_rows(labelled, other, [200.0, 400.0], Draws(20, 0))
    fitted = AalenJohansenFitter(calculate_variance=False, seed=0).fit(
        other.time, other.cause, event_of_interest=1
    )
    for _, row in rows.iterrows():
        assert row["incidence"] == pytest.approx(
            float(fitted.predict(row["horizon_days"])), abs=2e-3
        )  # its jitter
        assert row["incidence"] < row["one_minus_kaplan_meier"]
        ratio = row["incidence"] / labelled.chance(row["horizon_days"]).mean()
        assert row["observed_expected"] == pytest.approx(ratio)
        assert row["low"] < row["observed_expected"] < row["high"]
        assert row["events"] == ((other.cause == 1) & (other.time <= row["horizon_days"])).sum()


def test_the_page_has_a_section_on_it(work: Work, tmp_path: Path) -> None:
    store = with_deaths(work.store)
    page = validate(work.model_dir, store, tmp_path, (1,), draws=Draws(0), competing="death")
    text = page.read_text(encoding="utf-8")
    assert "os where death can come first" in text
    assert "Which event comes first" in text
    assert len(pd.read_csv(tmp_path / "competing" / "competing.csv")) == 1


def test_curves_of_both_events_leave_room_for_those_free_of_either(work: Work) -> None:
    store = with_deaths(work.store)
    labelled = read_labelled(work.model, store)
    figure = incidence_figure(*read_competing(labelled, store, "death"))
    last = [[series.y[-1] for series in panel.series] for panel in figure.panels]  # type: ignore[union-attr]
    assert np.shape(last) == (2, 3)
    assert (np.sum(last, axis=0) <= 1 + 1e-9).all()


def test_what_competes_must_be_another_endpoint_that_does(work: Work) -> None:
    store = with_deaths(work.store)
    labelled = read_labelled(work.model, store)
    for name in ("os", "pfi"):
        with pytest.raises(InputError, match="choose another endpoint of the cohort: death"):
            read_competing(labelled, store, name)
    never = replace(store, patients=store.patients.assign(death_event=0.0))
    with pytest.raises(InputError, match="first for nobody"):
        read_competing(labelled, never, "death")


# A model that itself predicts which event comes first -------------------------------------------------------


@pytest.fixture(scope="module")
def of_causes(work: Work, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("causes")
    config = evaluation_settings(
        tasks=[{"name": "os", "endpoint": "os", "competing": ["death"]}],
        probe={"components": 3, "ridge": [0.1], "missing_heads": "shared"},
    )
    run = work.model_dir.parent / "run"
    fit(with_deaths(work.store), config, run, ("A", "B"), folder / "model")
    return folder / "model"


def test_its_cumulative_incidence_is_judged_beside_aalen_johansen(
    work: Work, of_causes: Path, tmp_path: Path
) -> None:
    store = with_deaths(work.store)
    page = validate(of_causes, store, tmp_path, (0.5, 1), draws=Draws(0))
    text = page.read_text(encoding="utf-8")
    assert "This model predicts which event comes first" in text
    rows = pd.read_csv(tmp_path / "competing" / "competing.csv")
    model = load_model(of_causes)
    labelled = read_labelled(model, store)
    table = score_patients(model, store, asked=Asked((6.0, 12.0)), any_type=True).patients
    mine = table.iloc[labelled.rows]
    for k, months in enumerate((6, 12)):
        assert rows["predicted"][k] == pytest.approx(mine[f"incidence_os_{months}m"].mean(), rel=1e-6)
        assert rows["incidence"][k] < rows["one_minus_kaplan_meier"][k]
    assert labelled.causes is not None
    assert np.isnan(labelled.causes.at(1e6)).all()
    figure = incidence_figure(labelled, Competing.of_model(labelled))
    for number, panel in enumerate(figure.panels):
        assert isinstance(panel, Panel)
        predicted = [series for series in panel.series if series.label.endswith("predicted")]
        assert len(predicted) == 3
        cuts = np.quantile(labelled.risk, [1 / 3, 2 / 3])
        lowest = np.searchsorted(cuts, labelled.risk, side="left") == 0
        year = labelled.causes.at(365.25 / 2)[lowest, number].mean()
        at = np.flatnonzero(np.isclose(np.array(predicted[0].x), 0.5))[0]
        assert predicted[0].y[at] == pytest.approx(year)


def test_what_a_model_of_causes_is_not_judged_with(work: Work, of_causes: Path, tmp_path: Path) -> None:
    store = with_deaths(work.store)
    choices: list[dict[str, Any]] = [{"competing": "death"}, {"landmark_years": 1.0}]
    for options in choices:
        with pytest.raises(InputError, match=r"a model of competing events \(os, death\)"):
            validate(of_causes, store, tmp_path, (1,), draws=Draws(0), **options)
    with pytest.raises(InputError, match="which is not recalibrated"):
        recalibrate(of_causes, store, tmp_path / "local")

"""A validation where another event can come first."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from lifelines import AalenJohansenFitter

from prime.errors import InputError
from prime.store.store import Store
from prime.validation.competing import competing_rows, incidence_figure, read_competing
from prime.validation.labelled import read_labelled
from prime.validation.performance import Draws
from prime.validation.validate import validate
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
    found = read_competing(labelled, store, "death")
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
    other = read_competing(labelled, store, "death")
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
    figure = incidence_figure(labelled, read_competing(labelled, store, "death"))
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

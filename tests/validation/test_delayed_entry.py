"""Validation and recalibration on patients of whom half came under observation late."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from lifelines import AalenJohansenFitter, CoxPHFitter, KaplanMeierFitter

from prime.errors import InputError
from prime.evaluation.lower_bounds import death_weights, depth_quantiles
from prime.evaluation.metrics import concordance
from prime.predict.fit import fit
from prime.predict.model_folder import load_model
from prime.render.figure import Panel
from prime.store.store import Store
from prime.validation.calibration_figure import calibration_figure
from prime.validation.clinical import added_value, clinical_table
from prime.validation.competing import UNLIKE, competing_rows, incidence_figure, read_competing
from prime.validation.decisions import UNDEFINED, decision_rows, decision_table
from prime.validation.labelled import from_landmark, read_labelled
from prime.validation.performance import Draws
from prime.validation.recalibrate import fit_recalibration, recalibrate
from prime.validation.validate import validate
from tests.late_outcomes import with_deaths, with_entry
from tests.made_up import evaluation_settings
from tests.validation.conftest import Work, with_covariates

HALF = 182.625


@pytest.fixture(scope="module")
def late(work: Work) -> Store:
    store = with_entry(work.store)
    return replace(store, patients=store.patients.assign(x_age=with_covariates(store)["x_age"]))


@pytest.fixture(scope="module")
def out(work: Work, late: Store, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("late")
    validate(work.model_dir, late, folder, (0.5,), draws=Draws(10))
    return folder


def test_metrics_know_of_entries_or_have_no_value_and_a_reason(work: Work, late: Store, out: Path) -> None:
    rows = pd.read_csv(out / "performance" / "performance.csv").set_index("metric")
    labelled = read_labelled(work.model, late)
    time, event, entry = labelled.time, labelled.event, labelled.entry
    assert entry is not None
    np.testing.assert_array_equal(entry, late.patients["os_entry_days"].to_numpy()[labelled.rows])
    chance = labelled.chance(HALF)
    assert rows.loc["c_index", "value"] == pytest.approx(
        concordance(time, event, labelled.risk, entry=entry).value
    )
    frame = pd.DataFrame(
        {
            "line": np.log(-np.log1p(-chance)), "time": np.minimum(time, HALF),
            "event": event & (time <= HALF), "entry": entry,
        }
    )[entry < HALF]  # fmt: skip
    fitted = CoxPHFitter().fit(frame, "time", "event", entry_col="entry", fit_options={"precision": 1e-12})
    slope = rows.loc["calibration_slope", "value"]
    assert slope == pytest.approx(float(fitted.params_["line"]), abs=1e-6)
    # events while under observation, over those that the model expects from the entry on
    expected = 0.0
    for i in range(len(time)):
        one = replace(labelled, table=labelled.table.iloc[[i]], time=time[[i]], event=event[[i]])
        start, end = (-np.log1p(-one.chance(min(day, HALF))[0]) for day in (float(entry[i]), float(time[i])))
        expected += end - start if entry[i] < HALF else 0.0
    observed = (event & (time <= HALF)).sum()
    assert rows.loc["observed_expected", "value"] == pytest.approx(observed / expected)
    assert rows["low"]["observed_expected"] < observed / expected < rows["high"]["observed_expected"]
    for name in ("ipcw_c_index", "auc", "brier", "scaled_brier"):
        assert rows["value"].isna()[name]
        assert rows.loc[name, "reason"] == "delayed entry: weights for censoring do not hold"


def test_calibration_and_decisions_take_kaplan_meier_from_the_entry_on(
    work: Work, late: Store, out: Path
) -> None:
    labelled = read_labelled(work.model, late)
    assert labelled.entry is not None
    fitted = KaplanMeierFitter().fit(labelled.time, labelled.event, entry=labelled.entry)
    risk = 1 - fitted.predict(HALF)
    decisions = pd.read_csv(out / "decisions" / "decisions.csv")
    mine = decisions[(decisions["pattern"] == "everyone") & (decisions["threshold"] == 0.2)].iloc[0]
    assert mine["treat_all"] == pytest.approx(risk - 0.25 * (1 - risk), abs=1e-6)
    assert np.isfinite(mine["net_benefit"])
    panel = calibration_figure(labelled, [HALF]).panels[0]
    assert isinstance(panel, Panel)
    points = panel.series[2]
    chance = labelled.chance(HALF)
    group = np.searchsorted(np.quantile(chance, [1 / 3, 2 / 3]), chance)
    for k, observed in enumerate(points.y):
        own = KaplanMeierFitter().fit(
            labelled.time[group == k], labelled.event[group == k], entry=labelled.entry[group == k]
        )
        assert observed == pytest.approx(1 - own.predict(HALF), abs=1e-6)


def test_the_page_says_so(late: Store, out: Path) -> None:
    facts = json.loads((out / "performance" / "manifest.json").read_text(encoding="utf-8"))
    table = pd.read_csv(out / "predictions.csv")
    count = int((table["entry_days"] > 0).sum())
    assert any(f"{count} of 140 patients came under observation late" in note for note in facts["notes"])
    page = (out / "report.html").read_text(encoding="utf-8")
    assert "events over those expected from each patient" in page
    assert "delayed entry: weights for censoring do not hold" in page
    assert "those who died before their entry too" in page


def test_the_clinical_variables_too(work: Work, late: Store) -> None:
    labelled = read_labelled(work.model, late)
    covariates = late.patients[["x_age"]].to_numpy()[labelled.rows]
    assert added_value(covariates, labelled) != added_value(covariates, replace(labelled, entry=None))
    table = clinical_table(late, labelled, Draws(10))
    assert table is not None
    model = table.frame.set_index("name").loc["model", "value"]
    assert 0 < float(str(model)) < 1
    other = clinical_table(late, replace(labelled, entry=None), Draws(10))
    assert other is not None
    assert model != other.frame.set_index("name").loc["model", "value"]


def test_entries_at_the_beginning_change_nothing(work: Work, tmp_path: Path) -> None:
    store = replace(work.store, patients=with_covariates(work.store))
    zero = replace(store, patients=store.patients.assign(os_entry_days=0.0))
    for name, each in (("without", store), ("zero", zero)):
        validate(work.model_dir, each, tmp_path / name, (0.5,), draws=Draws(10))
        recalibrate(work.model_dir, each, tmp_path / f"{name}_model")
    for path in sorted((tmp_path / "without").rglob("*.csv")):
        same = tmp_path / "zero" / path.relative_to(tmp_path / "without")
        assert path.read_bytes() == same.read_bytes(), path
    heads = [tmp_path / f"{name}_model" / "head.safetensors" for name in ("without", "zero")]
    assert heads[0].read_bytes() == heads[1].read_bytes()


# Recalibration ----------------------------------------------------------------------------------------------


def test_events_expected_from_the_entry_on_become_those_observed(
    work: Work, late: Store, tmp_path: Path
) -> None:
    labelled = read_labelled(work.model, late)
    assert labelled.entry is not None
    _, event, expected = labelled.followed()
    _, _, whole = replace(labelled, entry=None).followed()
    assert (expected >= 0).all()
    assert ((expected < whole) == (labelled.entry > 0)).all()
    found, prognosis = fit_recalibration(labelled, "intercept", "x")
    assert found.intercept == pytest.approx(np.log(event.sum() / expected.sum()))
    recalibrate(work.model_dir, late, tmp_path / "new", "slope")
    new = read_labelled(load_model(tmp_path / "new"), late)
    _, event, expected = new.followed()
    assert expected.sum() == pytest.approx(event.sum(), rel=0.02)
    # the bound of what is outlived, with deaths weighted by the product limit's mass of them
    bent = replace(labelled, model=replace(work.model, prognosis=prognosis))
    days = np.array([min(float(t), _last(bent, i)) for i, t in enumerate(labelled.time)])
    depth = np.array([_only(bent, i).chance(float(day))[0] for i, day in enumerate(days)])
    weight = death_weights(labelled.time, labelled.event, labelled.entry)
    np.testing.assert_allclose(prognosis.bounds["all"], depth_quantiles(depth, weight))


def _only(labelled: Any, i: int) -> Any:
    return replace(labelled, table=labelled.table.iloc[[i]], time=labelled.time[[i]])


def _last(labelled: Any, i: int) -> float:
    return float(next(c.ends[-1] for c, _, rows in _only(labelled, i).parts() if len(rows)))


def test_maps_weighted_for_censoring_are_refused(work: Work, late: Store, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"--method isotonic: endpoint os has delayed entry.*take slope"):
        recalibrate(work.model_dir, late, tmp_path / "new", "isotonic")


# Landmarks, labels at a horizon, competing events -----------------------------------------------------------


def test_who_entered_by_a_landmark_was_there_from_the_beginning(work: Work, late: Store) -> None:
    whole = read_labelled(work.model, late)
    assert whole.entry is not None
    found = from_landmark(whole, 100.0)
    kept = whole.time > 100
    np.testing.assert_array_equal(found.rows, whole.rows[kept])
    assert found.entry is not None
    np.testing.assert_array_equal(found.entry, np.maximum(whole.entry[kept] - 100, 0))
    early = replace(whole, entry=np.minimum(whole.entry, 50.0))
    assert from_landmark(early, 100.0).entry is None


def test_a_label_at_a_horizon_needs_a_landmark(work: Work, late: Store, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="a label within 400 days can't account for that"):
        read_labelled(load_model(work.binary_dir), late)
    with pytest.raises(InputError, match="a label within 400 days can't account for that"):
        recalibrate(work.binary_dir, late, tmp_path / "local")
    task = {"name": "year", "endpoint": "os", "horizon_days": 300, "landmark_days": 100}
    probe = {"components": 3, "ridge": [0.1], "missing_heads": "shared"}
    settings = evaluation_settings(tasks=[task], probe=probe)
    fit(late, settings, work.model_dir.parent / "run", ("A", "B"), tmp_path / "model")
    labelled = read_labelled(load_model(tmp_path / "model"), late)
    assert labelled.entry is None
    rows = late.patients.iloc[labelled.rows]
    assert (rows["os_entry_days"] <= 100).all()
    assert (rows["os_time_days"] > 100).all()
    types = late.patients["cohort"] == "C"
    entered_later = types & (late.patients["os_entry_days"] > 100)
    assert labelled.left_out["not yet under observation"] == entered_later.sum()


def test_incidence_is_counted_from_the_entry_on(work: Work, late: Store, tmp_path: Path) -> None:
    store = with_deaths(late)
    labelled = read_labelled(work.model, store)
    mine, other = read_competing(labelled, store, "death")
    assert other.entry is not None
    assert (other.entry < other.time).all()
    lost = len(labelled.time) - len(mine.time)
    assert mine.left_out["death before the entry"] == lost > 0
    row = competing_rows(mine, other, [200.0], Draws(5)).iloc[0]
    fitted = AalenJohansenFitter(calculate_variance=False, seed=0).fit(
        other.time, other.cause, event_of_interest=1, entry=other.entry
    )
    assert row["incidence"] == pytest.approx(float(fitted.predict(200.0)), abs=2e-3)  # its jitter
    for name in ("predicted", "observed_expected", "low"):
        assert np.isnan(row[name])
    assert row["reason"] == UNLIKE
    last = [[s.y[-1] for s in panel.series] for panel in incidence_figure(mine, other).panels]  # type: ignore[union-attr]
    assert (np.sum(last, axis=0) <= 1 + 1e-9).all()
    page = validate(work.model_dir, store, tmp_path, (0.5,), draws=Draws(0), competing="death")
    assert UNLIKE in page.read_text(encoding="utf-8")


def test_a_net_benefit_without_a_value_says_why(work: Work, late: Store) -> None:
    """One patient at risk from the beginning, who dies before the others enter."""
    labelled = read_labelled(work.model, late)
    first = labelled.time.argmin()
    entry = np.full(len(labelled.time), labelled.time[first] + 1e-6)
    kept = np.arange(len(entry)) == first
    entry[first], event = 0.0, labelled.event | kept
    emptied = replace(labelled, entry=np.minimum(entry, labelled.time * (1 - 1e-9)), event=event)
    rows = decision_rows(emptied, np.full(len(entry), "all"), [HALF], Draws(0))
    assert np.isnan(rows["treat_all"]).all()
    assert decision_table(rows, late=True).notes == [UNDEFINED]
